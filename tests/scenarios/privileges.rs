//! What the agent may do while it watches: the kernel's own record of every thread is the witness.

use std::{collections::BTreeMap, fs, process::Command};

use lab::{
    Netns,
    agent::{Agent, START, binary, words},
    kernel::GIVES_DROP_REASONS,
    plan::{Family, Plan},
    topology::Topology,
    witness::{attached, disciplines},
};

use crate::{
    fallbacks::{hooks, ids},
    row::PATIENCE,
    turns,
};

/// Numbers of capabilities (include/uapi/linux/capability.h, v6.1).
const NET_ADMIN: u64 = 1 << 12;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// What a task definition for ECS can name.
const ECS: &str = "-all,+sys_admin,+net_admin,+sys_resource";

/// What a thread may do.
#[derive(Debug)]
struct Thread {
    name: String,
    sets: BTreeMap<String, u64>,
}

impl Thread {
    fn may(&self, set: &str) -> u64 {
        *self.sets.get(set).unwrap_or_else(|| panic!("the kernel shows no {set}"))
    }
}

/// The first thread of a process, which watches, and the others.
fn threads(process: u32) -> (Thread, Vec<Thread>) {
    let mut others = Vec::new();
    let mut first = None;
    for entry in fs::read_dir(format!("/proc/{process}/task")).expect("a living process") {
        let path = entry.expect("its thread").path();
        let Ok(text) = fs::read_to_string(path.join("status")) else { continue };
        let fields = text.lines().filter_map(|line| line.split_once(":\t"));
        let mut thread = Thread { name: String::new(), sets: BTreeMap::new() };
        for (name, value) in fields {
            if name == "Name" {
                thread.name = value.to_owned();
            } else if name.starts_with("Cap") || name == "NoNewPrivs" {
                let number = u64::from_str_radix(value.trim(), 16).expect("a number");
                thread.sets.insert(name.to_owned(), number);
            }
        }
        if path.ends_with(process.to_string()) { first = Some(thread) } else { others.push(thread) }
    }
    (first.expect("the first thread"), others)
}

/// Kernels before 5.19 ask for a capability at every look into a map.
fn asks_at_every_look() -> bool {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the release");
    let mut numbers = text.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) < (Some(5), Some(19))
}

/// Only the first thread may do anything, and that is this; nothing can be had back.
#[track_caller]
fn keeps(process: u32, permitted: u64, in_force: u64) {
    // A thread that has just begun gives up what it came with as the first thing it does.
    let (first, others) =
        lab::wait::for_some("every other thread to give up what it came with", PATIENCE, || {
            let (first, others) = threads(process);
            others.iter().all(|thread| thread.may("CapPrm") == 0).then_some((first, others))
        });
    assert_eq!(first.may("CapPrm"), permitted, "permitted to {first:?}");
    assert_eq!(first.may("CapEff"), in_force, "in force for {first:?}");
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(first.may(set), 0, "{set} of {first:?}");
    }
    assert_eq!(first.may("NoNewPrivs"), 1);
    assert!(!others.is_empty(), "signals and output have threads of their own");
    for thread in &others {
        assert_eq!((thread.may("CapPrm"), thread.may("CapEff")), (0, 0), "{thread:?}");
        assert_eq!(thread.may("NoNewPrivs"), 1, "{thread:?}");
    }
}

fn watch_after_settling() -> u64 {
    if asks_at_every_look() { NET_ADMIN | BPF } else { NET_ADMIN }
}

#[test]
fn once_hooked_up_it_keeps_what_reading_and_unhooking_take() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    for attach in ["auto", "clsact"] {
        let arguments = format!("--port 80 --nlb 10.255.0.1 --attach {attach} --interval 200ms --ready-file");
        let ready = std::env::temp_dir().join(format!("hct-ready-{}-{attach}", std::process::id()));
        let mut all = words(&arguments);
        all.push(ready.display().to_string());
        let mut agent = Agent::trace(&lab.task, &all);
        lab::wait::until("the ready file", PATIENCE, || ready.exists());
        keeps(agent.id(), watch_after_settling(), watch_after_settling());
        let (first, _) = threads(agent.id());
        assert_eq!(first.may("CapBnd"), 0, "whoever may change it gives it up");
        // It still reads, and it unhooks everything.
        agent.wait_until("two reports", PATIENCE, |lines| {
            (lines.iter().filter(|line| line["kind"] == "verdict").count() >= 2).then_some(())
        });
        let ended = agent.stop();
        assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""));
        assert_eq!((attached(&lab.task), disciplines(&lab.task)), (vec![], vec![]));
    }
}

/// Container root on ECS: no BPF and no PERFMON can be had, SYS_ADMIN stands in for them.
#[test]
fn what_a_task_definition_can_name_is_enough_for_container_root() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    for (attach, on_blind) in [("auto", "exit"), ("clsact", "exit"), ("auto", "stay")] {
        let mut agent = spawn_with(&lab.task, ECS, &["--attach", attach, "--on-blind", on_blind]);
        let start = agent.wait_for("the agent to watch", START, |line| line["kind"] == "start");
        assert_eq!(hooks(&start), 7, "{start}");
        let blind: &[&str] = if *GIVES_DROP_REASONS { &[] } else { &["drop_reasons"] };
        assert_eq!(ids(&start), blind, "{start}");
        agent.wait_for("a report", PATIENCE, |line| line["kind"] == "verdict");
        let with_admin = NET_ADMIN | SYS_ADMIN;
        let (permitted, in_force) = match (on_blind, asks_at_every_look()) {
            (_, true) => (with_admin, with_admin),
            ("stay", false) => (with_admin, NET_ADMIN),
            (_, false) => (NET_ADMIN, NET_ADMIN),
        };
        keeps(agent.id(), permitted, in_force);
        let ended = agent.stop();
        assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""));
        assert_eq!((attached(&lab.task), disciplines(&lab.task)), (vec![], vec![]));
    }
}

/// What joins keeps what joining takes, and has it in force only while it joins.
#[test]
fn a_node_agent_may_join_and_lays_that_down_in_between() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let home = Netns::new();
    let path = lab.task.path().display().to_string();
    let arguments = ["--port", "80", "--interval", "200ms", "--on-blind", "stay", "--netns", &path];
    let mut agent = Agent::trace(&home, &arguments.map(str::to_owned));
    agent.wait_for("a report", PATIENCE, |line| line["kind"] == "verdict");
    let in_force = NET_ADMIN | BPF;
    keeps(agent.id(), NET_ADMIN | BPF | PERFMON | SYS_ADMIN | SYS_PTRACE, in_force);
    assert_eq!(agent.stop().status.code(), Some(0));
    assert_eq!(attached(&lab.task), [""; 0]);
}

/// The near miss: what is documented is needed, each of it.
#[test]
fn with_one_of_them_missing_it_says_so() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    // With tcx, SYS_ADMIN alone has been enough since 6.9; clsact always takes NET_ADMIN.
    for capabilities in ["-all,+net_admin,+sys_resource", "-all,+bpf,+perfmon", "-all,+sys_admin"] {
        let ended = spawn_with(&lab.task, capabilities, &["--attach", "clsact"]).wait_end();
        assert_eq!(ended.status.code(), Some(3), "{capabilities}: {}{}", ended.errors, ended.text);
        assert!(ended.errors.contains("CAP_NET_ADMIN"), "{}", ended.errors);
        assert_eq!(attached(&lab.task), [""; 0]);
    }
}

/// Root whose container runtime left it no more than these.
fn spawn_with(namespace: &Netns, capabilities: &str, more: &[&str]) -> Agent {
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps", "-all", "--bounding-set", capabilities]).arg(binary());
    command.args(["trace", "--port", "80", "--output", "json", "--interval", "200ms"]);
    command.args(["--nlb", "10.255.0.1"]).args(more);
    Agent::spawn(namespace, command)
}
