//! However it ends, nothing is left behind.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use lab::{
    agent::{Agent, Ended, words},
    descriptors::Objects,
    plan::{Family, Plan},
    topology::Topology,
    wait,
    witness::{attached, disciplines},
};
use rustix::process::{Pid, Signal};

use crate::{row::PATIENCE, turns};

fn lab() -> Topology {
    Topology::new(Plan::draw(Family::V4))
}

/// An agent that is going to end.
struct Mortal {
    process: u32,
    objects: Objects,
}

impl Mortal {
    fn new(process: u32) -> Self {
        let objects = Objects::of(process);
        let [programs, maps, _] = objects.counts();
        assert!(programs >= 5, "two tc programs and three tracepoints at least");
        assert!(maps > 0, "counts are kept in maps");
        Self { process, objects }
    }
}

#[track_caller]
fn nothing_is_left(lab: &Topology, Mortal { process, objects }: &Mortal) {
    // The kernel takes links down a moment after the process.
    wait::until("the hooks to go", PATIENCE, || attached(&lab.task).is_empty());
    assert_eq!(disciplines(&lab.task), [""; 0]);
    wait::until("its programs, maps and links to go", PATIENCE, || objects.still_there(&lab.task).is_empty());
    assert!(!PathBuf::from(format!("/proc/{process}")).exists());
}

/// Starts it, checks that it is hooked up, ends it in some way.
fn end_by(arguments: &str, end: impl FnOnce(Agent) -> Ended) -> (Topology, Mortal, Ended) {
    let lab = lab();
    let agent = Agent::trace(&lab.task, &words(arguments));
    assert_eq!(attached(&lab.task).len(), 2, "one hook each way");
    let mortal = Mortal::new(agent.id());
    let ended = end(agent);
    (lab, mortal, ended)
}

fn by_signal(signal: Signal) -> impl FnOnce(Agent) -> Ended {
    move |mut agent| {
        agent.signal(signal);
        agent.wait_end()
    }
}

#[test]
fn sigterm_and_sigint_end_it_well_with_last_words() {
    let _turn = turns::share();
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        for attach in ["auto", "clsact"] {
            let (lab, process, ended) =
                end_by(&format!("--port 80 --nlb 10.255.0.1 --attach {attach}"), by_signal(signal));
            assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
            let kinds: Vec<_> =
                ended.lines.iter().rev().take(3).map(|line| line["kind"].as_str().unwrap_or("")).collect();
            assert_eq!(kinds, ["stop", "loss", "verdict"], "{}", ended.text);
            let stop = ended.lines.last().expect("a last line");
            assert_eq!(stop["reason"], name);
            assert!(stop["summary"].to_string().contains("no SYN from any NLB node"), "{stop}");
            nothing_is_left(&lab, &process);
        }
    }
}

#[test]
fn sigkill_leaves_nothing_where_the_kernel_has_tcx() {
    let _turn = turns::share();
    let lab = lab();
    let mut agent = Agent::trace(&lab.task, &words("--port 80 --nlb 10.255.0.1"));
    let process = Mortal::new(agent.id());
    let has_tcx = agent.lines()[0]["hooks"].to_string().contains("tcx");
    agent.signal(Signal::KILL);
    let ended = agent.wait_end();
    assert_eq!(ended.status.code(), None, "it was killed");
    if has_tcx {
        nothing_is_left(&lab, &process);
    } else {
        // What is left is what the next start removes.
        let (_, process) = sweep(&lab);
        nothing_is_left(&lab, &process);
    }
}

/// Starts and ends an agent that uses clsact; what it saw attached meanwhile.
fn sweep(lab: &Topology) -> (usize, Mortal) {
    let agent = Agent::trace(&lab.task, &words("--port 80 --attach clsact"));
    let (process, while_it_ran) = (Mortal::new(agent.id()), attached(&lab.task).len());
    assert_eq!(agent.stop().status.code(), Some(0));
    (while_it_ran, process)
}

#[test]
fn the_next_start_removes_filters_of_a_killed_agent_and_no_others() {
    let _turn = turns::share();
    let lab = lab();
    let mut killed = Agent::trace(&lab.task, &words("--port 80 --nlb 10.255.0.1 --attach clsact"));
    let living = Agent::trace(&lab.task, &words("--port 81 --attach clsact"));
    assert_eq!(attached(&lab.task).len(), 4, "two of each");
    killed.signal(Signal::KILL);
    killed.wait_end();
    assert_eq!(attached(&lab.task).len(), 4, "filters outlive their agent");
    let (while_it_ran, _) = sweep(&lab);
    assert_eq!(while_it_ran, 4, "two of the living agent, two of the new one");
    assert_eq!(attached(&lab.task).len(), 2, "those of the living agent");
    let process = Mortal::new(living.id());
    assert_eq!(living.stop().status.code(), Some(0));
    nothing_is_left(&lab, &process);
}

#[test]
fn a_panic_unhooks_everything() {
    let _turn = turns::share();
    for attach in ["auto", "clsact"] {
        let after = 700 * lab::wait::pace() * lab::wait::pace();
        let arguments = format!("--port 80 --panic-after {after}ms --attach {attach}");
        let (lab, process, ended) = end_by(&arguments, Agent::wait_end);
        assert_eq!(ended.status.code(), Some(5), "{}", ended.errors);
        assert!(ended.errors.contains("internal failure: told to panic"), "{}", ended.errors);
        nothing_is_left(&lab, &process);
    }
}

/// An agent whose output nobody reads, once that holds up its writing.
fn unread(lab: &Topology) -> (Child, ChildStdout) {
    let mut command = Command::new(lab::agent::binary());
    command.args(["trace", "--port", "80", "--interval", "10ms", "--output", "json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = lab.task.spawn(&mut command);
    wait::until("the hooks", PATIENCE, || attached(&lab.task).len() == 2);
    let pipe = child.stdout.take().expect("its standard output is a pipe");
    // It reports every 10 ms: when nothing more comes in a long while, the pipe is full.
    let in_pipe = || rustix::io::ioctl_fionread(&pipe).expect("a pipe knows what is in it");
    wait::until("the pipe to fill", PATIENCE, || {
        let before = in_pipe();
        sleep(Duration::from_millis(300) * wait::pace());
        before > 0 && in_pipe() == before
    });
    (child, pipe)
}

fn terminate(child: &Child) {
    rustix::process::kill_process(Pid::from_child(child), Signal::TERM).expect("a signal");
}

#[test]
fn a_reader_that_does_not_read_holds_up_neither_the_unhooking_nor_the_end() {
    let _turn = turns::share();
    let lab = lab();
    let (mut child, pipe) = unread(&lab);
    let process = Mortal::new(child.id());
    terminate(&child);
    wait::until("the hooks to go", PATIENCE, || attached(&lab.task).is_empty());
    let status = wait::for_some("the agent to end", PATIENCE, || child.try_wait().expect("its state"));
    assert_eq!(status.code(), Some(0));
    nothing_is_left(&lab, &process);
    drop(pipe);
}

#[test]
fn a_second_signal_ends_at_once() {
    let _turn = turns::share();
    let lab = lab();
    let (mut child, pipe) = unread(&lab);
    let process = Mortal::new(child.id());
    terminate(&child);
    // The last words wait two seconds for a reader; unhooking comes before that and is soon done.
    sleep(Duration::from_secs(1));
    assert!(child.try_wait().expect("its state").is_none(), "it waits for a reader");
    terminate(&child);
    let status = wait::for_some("the agent to end", PATIENCE, || child.try_wait().expect("its state"));
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
    nothing_is_left(&lab, &process);
    drop(pipe);
}

#[test]
fn the_ready_file_lives_as_long_as_the_hooks() {
    let _turn = turns::share();
    let lab = lab();
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("ready-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("ready");
    std::fs::write(&file, "of an agent that was killed").expect("an old file");
    let arguments = format!("trace --port 80 --ready-file {}", file.display());
    let agent = Agent::start(&lab.task, &words(&arguments));
    let process = agent.id();
    wait::until("the ready file", PATIENCE, || {
        std::fs::read_to_string(&file).is_ok_and(|text| text == format!("{process}\n"))
    });
    let mortal = Mortal::new(process);
    assert_eq!(attached(&lab.task).len(), 2, "it is ready when it says so");
    assert_eq!(agent.stop().status.code(), Some(0));
    assert_eq!(std::fs::read_dir(&directory).expect("the directory").count(), 0);
    std::fs::remove_dir_all(&directory).expect("removing the directory");
    nothing_is_left(&lab, &mortal);
}
