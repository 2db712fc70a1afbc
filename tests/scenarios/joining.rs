//! How soon a node agent watches what begins to listen.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    descriptors,
    node::{Node, Task},
    shell::ip,
};

use serde_json::{Value, json};

use crate::{
    node::{address_of, addresses, start, wait_watched, watched},
    row::PATIENCE,
    turns,
};

/// What a node agent promises for a new target, on a machine that has time for it.
const PROMISED: Duration = Duration::from_secs(2);

#[test]
fn a_new_target_is_joined_within_two_seconds() {
    joins(1, PROMISED);
}

/// A quarter of a second of CPU time each, four at a time: on two CPUs a dozen take about as long as is promised for one.
#[test]
fn a_dozen_that_begin_to_listen_at_once_take_little_longer() {
    joins(12, 2 * PROMISED);
}

/// So many begin to listen at once, while another one is watched already.
fn joins(count: usize, limit: Duration) {
    let _turn = turns::alone();
    let mut node = Node::new();
    let mut agent = start(&node, "");
    let first = node.task();
    wait_watched(&mut agent, "the first", &addresses([&first]));
    let mut tasks: Vec<Task> = (0..count).map(|_| node.task_to_be(node.port)).collect();
    let (began, before) = (Instant::now(), Spent::until_now(agent.id()));
    for task in &mut tasks {
        task.listen();
    }
    wait_watched(&mut agent, "all of them", &addresses(tasks.iter().chain([&first])));
    let joined = began.elapsed();
    let after = Spent::until_now(agent.id());
    let own = after.own - before.own;
    let others = (after.all - before.all).saturating_sub(own);
    eprintln!("{} joined within {joined:?}: {own:?} of CPU, {others:?} of others", tasks.len());
    // Where others want the CPUs, too, what can be promised is the work.
    let is_calm = others < joined / 3;
    let took = if is_calm { joined } else { own };
    assert!(took < limit * lab::wait::pace(), "{took:?}, calm: {is_calm}");
    let ended = agent.stop();
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""));
}

/// A namespace that was just made may not have its route yet; the next report is a minute away.
#[test]
fn one_that_cannot_be_watched_yet_is_tried_again_soon() {
    let _turn = turns::share();
    let mut node = Node::new();
    let (good, late) = (node.task(), node.task());
    ip(&late.namespace, "route del default");
    let text = format!(
        "trace --output json --all-netns --port {} --nlb {} --interval 60s",
        node.port, node.balancer
    );
    let mut agent = Agent::start(&node.home, &words(&text));
    wait_watched(&mut agent, "the good one", &addresses([&good]));
    ip(&late.namespace, "route add default dev eth0");
    let began = Instant::now();
    wait_watched(&mut agent, "the late one", &addresses([&good, &late]));
    assert!(began.elapsed() < Duration::from_secs(20) * lab::wait::pace(), "{:?}", began.elapsed());
}

/// Of a service with two ports, one may take longer to open.
#[test]
fn a_port_that_opens_later_is_watched_too_and_one_that_closes_stays_watched() {
    let _turn = turns::share();
    let mut node = Node::new();
    let second = node.port + 1;
    let mut agent = Agent::start(
        &node.home,
        &words(&format!(
            "trace --output json --all-netns --port {},{second} --nlb {} --interval 400ms",
            node.port, node.balancer
        )),
    );
    let (task, other) = (node.task(), node.task());
    let both = addresses([&task, &other]);
    wait_watched(&mut agent, "both with one port", &both);
    let late = App::start(&task.namespace, Listen::on_all(task.address, second));
    let starts = |lines: &[Value], task: &Task| {
        let of_it = |line: &&Value| line["kind"] == "start" && line["address"] == task.address.to_string();
        lines.iter().filter(of_it).map(|line| line["ports"].clone()).collect::<Vec<_>>()
    };
    let (one, two) = (json!([node.port]), json!([node.port, second]));
    agent.wait_until("the second port", PATIENCE, |lines| {
        (starts(lines, &task) == [one.clone(), two.clone()]).then_some(())
    });
    drop(late);
    agent.wait_until("some more reports", PATIENCE, |lines| {
        let after = lines.iter().rev().take_while(|line| line["kind"] != "start");
        (after.filter(|line| line["kind"] == "verdict").count() > 10).then_some(())
    });
    assert_eq!(watched(agent.lines()), both);
    assert_eq!(starts(agent.lines(), &task), [one.clone(), two]);
    assert_eq!(starts(agent.lines(), &other), [one], "the other task has nothing to do with it");
}

/// What a target takes to join is the verifier's work above all, and that is counted, not timed.
#[test]
fn no_program_keeps_the_verifier_long() {
    let _turn = turns::share();
    let mut node = Node::new();
    let mut agent = start(&node, "");
    let task = node.task();
    wait_watched(&mut agent, "the task", &addresses([&task]));
    // Instructions that the verifier followed in each program.
    let verified = descriptors::numbers(agent.id(), "verified_insns:");
    drop(agent);
    // The file says so since 5.16.
    let Some(most) = verified.iter().max() else { return };
    assert!(*most < 120_000, "instructions that the verifier followed, by program: {verified:?}");
    assert!(verified.iter().sum::<u64>() < 260_000, "{verified:?}");
}

/// What the loader needs is gone once a target is watched: its copies of all instructions and of what globals began with alone were
/// 400 KiB.
#[test]
fn a_target_more_takes_little_memory() {
    const MORE: u64 = 10;
    let _turn = turns::share();
    let mut node = Node::new();
    let mut agent = start(&node, "");
    let mut tasks: Vec<Task> = (0..2).map(|_| node.task()).collect();
    wait_watched(&mut agent, "the first", &addresses(&tasks));
    let before = agent.anonymous_kib();
    tasks.extend((0..MORE).map(|_| node.task()));
    wait_watched(&mut agent, "all of them", &addresses(&tasks));
    let each = agent.anonymous_kib().saturating_sub(before) / MORE;
    assert!(each < 200, "{each} KiB for each target");
    drop((agent, tasks));
}

/// A tracepoint belongs to the host: with a program of each target on it, every event of the host would run them all.
#[test]
fn all_targets_share_one_program_per_tracepoint() {
    let _turn = turns::share();
    let mut node = Node::new();
    let mut agent = start(&node, "");
    let tasks: Vec<Task> = (0..3).map(|_| node.task()).collect();
    wait_watched(&mut agent, "all of them", &addresses(&tasks));
    let hooked_up = || descriptors::texts(agent.id()).filter(|text| text.contains("raw_tracepoint")).count();
    assert_eq!(hooked_up(), 3);
    // Who comes into the place of another is counted, and the other is not.
    drop(tasks);
    let tasks: Vec<Task> = (0..3).map(|_| node.task()).collect();
    wait_watched(&mut agent, "those who came later", &addresses(&tasks));
    let probes = node.probe(&tasks, Duration::from_millis(300));
    agent.wait_until("each to be served", PATIENCE, |lines| {
        let is_served = |line: &Value| line["kind"] == "report" && line["served"].as_u64() > Some(0);
        let served = lines.iter().enumerate().filter(|(_, line)| is_served(line));
        let served: BTreeSet<_> = served.map(|(at, line)| address_of(&line["netns"], &lines[..at])).collect();
        served.is_superset(&addresses(&tasks)).then_some(())
    });
    drop(probes);
}

/// CPU time so far.
#[derive(Clone, Copy)]
struct Spent {
    /// Of one process.
    own: Duration,
    /// Of everybody, in all CPUs.
    all: Duration,
}

impl Spent {
    fn until_now(process: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("its times");
        let own = stat.rsplit_once(')').expect("a name").1;
        let all = fs::read_to_string("/proc/stat").expect("the machine's times");
        let all = all.lines().next().expect("a line for all CPUs").strip_prefix("cpu").expect("all CPUs");
        // User, nice and system; behind them, idle.
        Self { own: ticks(own, 11, 2), all: ticks(all, 0, 3) }
    }
}

/// The sum of so many fields, in hundredths of a second (USER_HZ is 100 wherever this runs).
fn ticks(text: &str, from: usize, count: usize) -> Duration {
    let fields = text.split_whitespace().skip(from).take(count);
    Duration::from_millis(10 * fields.map(|field| field.parse::<u64>().expect("ticks")).sum::<u64>())
}
