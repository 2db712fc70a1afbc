//! Bad input: one clear line that says what to do, the exit code of the contract, and nothing left attached.

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use lab::{
    Netns,
    agent::{Agent, Ended, START, binary, run, words},
    http::{get, sample},
    plan::{Family, Plan},
    shell,
    tampered::Copied,
    topology::Topology,
    wait, witness,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{row::PATIENCE, turns};

const NOBODY: u32 = 65_534;

fn lab() -> Topology {
    Topology::new(Plan::draw(Family::V4))
}

/// One line on standard error with these words, nothing on standard output, this exit code, nothing attached.
#[track_caller]
fn refuses(namespace: &Netns, ended: &Ended, code: i32, words: &[&str]) {
    let errors = &ended.errors;
    assert_eq!(ended.status.code(), Some(code), "{errors}{}", ended.text);
    assert_eq!(errors.lines().count(), 1, "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in: {errors}");
    }
    assert_eq!(ended.text, "");
    assert_eq!(witness::attached(namespace), [""; 0]);
    assert_eq!(witness::disciplines(namespace), [""; 0]);
}

/// `agent trace` with these arguments refuses.
#[track_caller]
fn refuses_arguments(namespace: &Netns, arguments: &str, code: i32, words: &[&str]) {
    let all: Vec<&str> = ["trace"].into_iter().chain(arguments.split_whitespace()).collect();
    refuses(namespace, &run(namespace, &all), code, words);
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    let _turn = turns::share();
    let lab = lab();
    for (arguments, words) in [
        ("--port 0", &["0 is no port", "1 to 65535"][..]),
        ("--port 70000", &["70000 is no port"]),
        ("--port 80 --client 10.0.0.1/8", &["bits set behind the prefix", "did you mean 10.0.0.0/8?"]),
        ("--port 80 --client nonsense", &["nonsense is neither an address nor a prefix"]),
        ("--port 80 --nlb 10.0.0.300", &["10.0.0.300 is neither"]),
        ("--port 80 --nlb 10.0.1.0/24 --client 10.0.1.0/24", &["10.0.1.0/24 is given both", "name it once"]),
        ("--port 80 --interface eth99", &["no interface eth99", "there are: lo"]),
        ("--port 80 --netns /nowhere", &["opening network namespace /nowhere", "/run/netns/NAME"]),
        ("--port 80 --netns /proc/self/status", &["is not a network namespace"]),
        ("--port 80 --netns 4194304", &["/proc/4194304/ns/net"]),
        ("--port 80 --interval 0s", &["out of range"]),
        ("--port 80 --health-interval soon", &["soon is no time"]),
        ("--port 80 --output xml", &["invalid value 'xml'", "agent trace --help"]),
        ("--prot 80", &["unexpected argument '--prot'"]),
        ("--port 80 --ready-file /nowhere/ready", &["writing --ready-file /nowhere/ready"]),
        ("", &["nothing listens on any port here", "--port"]),
    ] {
        refuses_arguments(&lab.task, arguments, 2, words);
    }
}

#[test]
fn a_name_server_that_does_not_answer_ends_nothing() {
    let _turn = turns::share();
    let lab = lab();
    let arguments = ["trace", "--port", "80", "--nlb", "no-such-name.invalid", "--duration", "500ms"];
    let ended = run(&lab.task, &arguments);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
    // Whether the question is refused or waits in vain.
    let told = "resolving --nlb no-such-name.invalid";
    assert!(ended.errors.contains(told), "{}", ended.errors);
}

#[test]
fn without_a_default_route_an_interface_has_to_be_named() {
    let _turn = turns::share();
    let namespace = Netns::new();
    refuses_arguments(&namespace, "--port 80", 2, &["no default route", "--interface"]);
}

#[test]
fn nobody_may_not_load_programs_and_is_told_what_is_missing() {
    let _turn = turns::share();
    let lab = lab();
    // Somebody without rights cannot reach into the directory of the build.
    let copy = Copied::new(&lab.task);
    let mut command = Command::new(&copy.0);
    command.args(["trace", "--port", "80"]).uid(NOBODY).gid(NOBODY);
    let ended = Agent::spawn(&lab.task, command).wait_end();
    refuses(&lab.task, &ended, 3, &["CAP_BPF", "CAP_NET_ADMIN", "SYS_ADMIN"]);
}

#[test]
fn a_vanished_interface_ends_it() {
    let _turn = turns::share();
    let lab = lab();
    let agent = Agent::trace(&lab.task, &["--port", "80"].map(str::to_owned));
    shell::ip(&lab.fabric, "link del task");
    let ended = agent.wait_end();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.errors);
    assert_eq!(ended.errors, format!("agent: interface {} is gone\n", lab.plan.task.interface));
    assert_eq!(witness::attached(&lab.task), [""; 0]);
}

#[test]
fn told_to_stay_it_waits_for_the_interface_to_come_back() {
    let _turn = turns::share();
    let lab = lab();
    let interface = &lab.plan.task.interface;
    let text = format!("--port 80 --interface {interface} --on-blind stay --interval 200ms");
    let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let mut agent = Agent::trace(&lab.task, &arguments);
    shell::ip(&lab.fabric, "link del task");
    let blind =
        agent.wait_for("the verdict cannot_observe", PATIENCE, |line| line["state"] == "cannot_observe");
    let why = format!("no interface {interface} in this network namespace");
    assert!(blind["reasons"][0].to_string().contains(&why), "{blind}");
    shell::ip(
        &lab.fabric,
        &format!("link add task type veth peer name {interface} netns {}", lab.task.path().display()),
    );
    agent.wait_until("it to watch again", PATIENCE, |lines| {
        (lines.iter().filter(|line| line["kind"] == "start").count() == 2).then_some(())
    });
    let ended = agent.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
    assert_eq!(witness::attached(&lab.task), [""; 0]);
}

#[test]
fn a_namespace_that_ends_is_told_apart_from_silence() {
    let _turn = turns::share();
    let lab = lab();
    let home = Netns::new();
    let arguments = ["--port", "80", "--netns"].map(str::to_owned);
    let path = lab.task.path().display().to_string();
    let mut agent = Agent::trace(&home, &[&arguments[..], std::slice::from_ref(&path)].concat());
    assert_eq!(agent.lines()[0]["netns"], path.as_str());
    assert_eq!(witness::attached(&lab.task).len(), 2, "all hooks are in the task's namespace");
    assert_eq!(witness::attached(&home), [""; 0]);
    drop(lab);
    let ended = agent.wait_end();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.errors);
    assert_eq!(ended.errors, format!("agent: network namespace {path} is gone\n"));
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let _turn = turns::share();
    let lab = lab();
    let mut command = Command::new("sh");
    let script = "{ \"$0\" trace --port 80 --interval 50ms; echo code $? >&2; } | head -n 3";
    command.args(["-c", script]).arg(binary());
    let ended = Agent::spawn(&lab.task, command).wait_end();
    assert_eq!(ended.errors, "code 0\n");
    assert_eq!(ended.text.lines().count(), 3);
    lab::wait::until("the hooks to go", PATIENCE, || witness::attached(&lab.task).is_empty());
}

#[test]
fn a_full_disk_is_said_once_and_ends_it() {
    let _turn = turns::share();
    let lab = lab();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("the full device");
    let mut command = Command::new(binary());
    command.args(["trace", "--port", "80", "--interval", "50ms"]).stdin(Stdio::null());
    command.stdout(full).stderr(Stdio::piped());
    let output = lab.task.spawn(&mut command).wait_with_output().expect("its output");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("writing standard output: No space left on device"), "{errors}");
    assert_eq!(witness::attached(&lab.task), [""; 0]);
}

/// With `--listen`, somebody sees what it finds: a closed pipe or a full disk costs lines, not the agent.
#[track_caller]
fn outlives_its_standard_output(stdout: Stdio, cause: &str) {
    let lab = lab();
    let here = SocketAddr::from(([127, 0, 0, 1], 9400));
    let mut command = Command::new(binary());
    command.args(["trace", "--port", "80", "--interval", "50ms", "--listen", "9400"]);
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    let mut child = lab.task.spawn(&mut command);
    // The reader's end, where it is a pipe.
    drop(child.stdout.take());
    let lost = || {
        let page = get(&lab.task, here, "/metrics").ok()?;
        sample(&page.body, "hct_output_lines_lost_total")
    };
    let at_first = wait::for_some("lines to be lost", START, || lost().filter(|lost| *lost > 0.0));
    wait::until("more lines to be lost", PATIENCE, || lost().is_some_and(|lost| lost > at_first));
    assert_eq!(witness::attached(&lab.task).len(), 2, "it still watches");
    kill_process(Pid::from_child(&child), Signal::TERM).expect("a signal");
    let output = child.wait_with_output().expect("its output");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert_eq!(errors.lines().count(), 1, "it is said once: {errors}");
    assert!(errors.contains(&format!("writing standard output: {cause}")), "{errors}");
    assert!(errors.contains("counted as output_lines"), "{errors}");
    assert_eq!(witness::attached(&lab.task), [""; 0]);
}

#[test]
fn a_closed_pipe_does_not_end_it_where_it_has_another_outlet() {
    let _turn = turns::share();
    outlives_its_standard_output(Stdio::piped(), "Broken pipe");
}

#[test]
fn a_full_disk_does_not_end_it_where_it_has_another_outlet() {
    let _turn = turns::share();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("the full device");
    outlives_its_standard_output(full.into(), "No space left on device");
}

#[test]
fn it_finds_ports_and_interface_by_itself_and_says_why() {
    let _turn = turns::share();
    let lab = lab();
    let plan = &lab.plan;
    let app = lab::app::App::start(&lab.task, lab::app::Listen::on_all(plan.task.address(), plan.port));
    let mut agent = Agent::trace(&lab.task, &[]);
    let start = agent.lines()[0].clone();
    assert_eq!(start["ports"], serde_json::json!([plan.port]), "{start}");
    assert_eq!(start["interface"], plan.task.interface.as_str());
    let choices = start["choices"].to_string();
    assert!(choices.contains("the source address of the default route"), "{choices}");
    assert!(choices.contains("listened on now; name others with --port"), "{choices}");
    let verdict = agent.wait_for("a verdict", START, |line| line["kind"] == "verdict");
    assert!(verdict["hints"][0].to_string().contains("add --nlb"), "{verdict}");
    drop((agent, app));
}

#[test]
fn help_and_version_are_answers_and_not_errors() {
    let namespace = Netns::new();
    for arguments in [&["--help"][..], &["trace", "--help"], &["--version"]] {
        let ended = run(&namespace, arguments);
        assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(!ended.text.is_empty());
    }
    let ended = run(&namespace, &[]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.errors.contains("agent trace --port 8080"), "{}", ended.errors);
    // The duration flag ends it without a signal.
    let lab = lab();
    let ended = run(&lab.task, &["trace", "--port", "80", "--duration", "300ms"]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
    assert!(ended.text.contains("stopped by duration"), "{}", ended.text);
}

/// No root, no SYS_ADMIN: the three capabilities that the documentation names, and nothing else, give every hook that
/// root gets on this kernel.
#[test]
fn the_documented_capabilities_are_enough_for_somebody_who_is_not_root() {
    let _turn = turns::share();
    let lab = lab();
    let arguments = words("trace --port 80 --output json --interval 200ms --nlb 10.255.0.1");
    let mut root = Agent::start(&lab.task, &arguments);
    let of_root = root.wait_for("root's agent to watch", START, |line| line["kind"] == "start");
    root.stop();
    let copy = Copied::new(&lab.task);
    let capabilities = "-all,+bpf,+perfmon,+net_admin";
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]);
    command.args([
        "--inh-caps",
        capabilities,
        "--ambient-caps",
        capabilities,
        "--bounding-set",
        capabilities,
    ]);
    command.arg(&copy.0).args(arguments);
    let mut agent = Agent::spawn(&lab.task, command);
    let start = agent.wait_for("the agent to watch", START, |line| line["kind"] == "start");
    assert!(start["hooks"].as_array().is_some_and(|hooks| hooks.len() >= 7), "{start}");
    assert_eq!(start["hooks"], of_root["hooks"]);
    assert_eq!(start["blind_spots"], serde_json::json!([]), "{start}");
    let ended = agent.stop();
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""));
    assert_eq!(witness::attached(&lab.task), [""; 0]);
}
