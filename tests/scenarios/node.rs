//! The node agent: namespaces that come and go, each told apart, followed by one process.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lab::{
    Netns,
    agent::{Agent, words},
    app::{App, Listen},
    client::ask,
    http::get,
    node::{Node, Task},
    witness::attached,
};
use serde_json::Value;

use crate::{row::PATIENCE, turns};

/// On a machine that is busy with other tests. The tests of leaks print what it takes when nothing else runs.
const JOIN: Duration = Duration::from_secs(6);

pub fn start(node: &Node, more: &str) -> Agent {
    start_every(node, "400ms", more)
}

/// One that writes a report this often.
pub fn start_every(node: &Node, interval: &str, more: &str) -> Agent {
    let text = format!(
        "--all-netns --port {} --nlb {} --health-interval 300ms --interval {interval} {more}",
        node.port, node.balancer
    );
    let mut all = words("trace --output json");
    all.extend(words(&text));
    Agent::start(&node.home, &all)
}

/// Addresses of the targets that are watched: started and not stopped.
pub fn watched(lines: &[Value]) -> BTreeSet<String> {
    let mut watched = BTreeSet::new();
    for (at, line) in lines.iter().enumerate() {
        match line["kind"].as_str() {
            Some("start") => drop(watched.insert(line["address"].as_str().unwrap_or_default().to_owned())),
            Some("stop") => {
                watched.remove(&address_of(&line["netns"], &lines[..at]));
            }
            _ => {}
        }
    }
    watched
}

/// Address of the target whose lines name this namespace: of the latest, because a path may be used again.
pub fn address_of(netns: &Value, lines: &[Value]) -> String {
    let start = lines.iter().rev().find(|line| line["kind"] == "start" && line["netns"] == *netns);
    start.and_then(|start| start["address"].as_str()).unwrap_or_default().to_owned()
}

/// Addresses of the targets in which a firewall on the host was found, each as often as it was.
pub fn firewalled(lines: &[Value]) -> Vec<String> {
    let opened = |line: &&Value| line["code"] == "host_firewall" && line["state"] == "opened";
    let found = lines.iter().enumerate().filter(|(_, line)| opened(line));
    found.map(|(at, line)| address_of(&line["netns"], &lines[..at])).collect()
}

pub fn addresses<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> BTreeSet<String> {
    tasks.into_iter().map(|task| task.address.to_string()).collect()
}

#[track_caller]
pub fn wait_watched(agent: &mut Agent, what: &str, wanted: &BTreeSet<String>) {
    agent.wait_until(what, JOIN.max(PATIENCE), |lines| (watched(lines) == *wanted).then_some(()));
}

#[test]
fn a_dozen_come_and_go_and_each_is_joined_in_time_and_left() {
    // In time means: on a machine that has some.
    let _turn = turns::alone();
    let mut node = Node::new();
    let mut agent = start(&node, "");
    let mut tasks: Vec<Task> = (0..6).map(|_| node.task()).collect();
    wait_watched(&mut agent, "the first six", &addresses(&tasks));
    // A task that listens on another port, and one that only listens on loopback, are none of its business.
    let stranger = node.task_on(node.port + 1);
    for _ in 0..6 {
        // Making it may wait for the kernel, which takes other tests' namespaces down meanwhile.
        tasks.push(node.task());
        let began = Instant::now();
        let address = tasks.last().expect("the new one").address.to_string();
        agent.wait_until("the new one", PATIENCE, |lines| watched(lines).contains(&address).then_some(()));
        let joined = began.elapsed();
        eprintln!("joined within {joined:?}");
        assert!(joined < JOIN * lab::wait::pace(), "{joined:?}");
        drop(tasks.remove(0));
    }
    wait_watched(&mut agent, "the last six", &addresses(&tasks));
    let gone =
        agent.lines().iter().filter(|line| line["kind"] == "stop" && line["reason"] == "namespace gone");
    assert_eq!(gone.count(), 6);
    for task in &tasks {
        assert_eq!(attached(&task.namespace).len(), 2, "both ways");
    }
    assert_eq!(attached(&stranger.namespace), [""; 0]);
    let ended = agent.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
    assert_eq!(ended.errors, "");
    for task in &tasks {
        assert_eq!(attached(&task.namespace), [""; 0]);
    }
}

#[test]
fn a_fault_in_one_is_found_in_that_one_only() {
    let _turn = turns::share();
    let mut node = Node::new();
    let tasks: Vec<Task> = (0..5).map(|_| node.task()).collect();
    let _probes = node.probe(&tasks, Duration::from_millis(300));
    let mut agent = start(&node, "");
    wait_watched(&mut agent, "all five", &addresses(&tasks));
    tasks[2].firewall();
    let found = agent.wait_for("the fault", PATIENCE, |line| line["code"] == "host_firewall");
    assert_eq!(address_of(&found["netns"], agent.lines()), tasks[2].address.to_string());
    // Long enough for the others to be found at fault, too, if they were mixed up.
    std::thread::sleep(Duration::from_secs(2));
    let ended = agent.stop();
    let faulty: BTreeSet<String> = ended
        .lines
        .iter()
        .filter(|line| line["kind"] == "finding" && line["severity"] == "fault")
        .map(|line| address_of(&line["netns"], &ended.lines))
        .collect();
    assert_eq!(faulty, addresses([&tasks[2]]), "{}", ended.text);
    assert!(ended.lines.iter().all(|line| line["kind"] != "common"), "a firewall is one task's own");
}

#[test]
fn what_several_miss_at_once_is_said_of_all() {
    let _turn = turns::share();
    let mut node = Node::new();
    let tasks: Vec<Task> = (0..4).map(|_| node.task()).collect();
    // As a network ACL does it: two of the tasks' subnets.
    node.block(&[&tasks[0], &tasks[3]]);
    let probes = node.probe(&tasks, Duration::from_millis(300));
    let mut agent = start(&node, "");
    wait_watched(&mut agent, "all four", &addresses(&tasks));
    let common = agent.wait_for("what two of them miss", PATIENCE, |line| {
        line["kind"] == "common" && line["code"] == "nothing_arrives" && line["targets_hit"] == 2
    });
    assert_eq!((&common["targets_hit"], &common["targets_watched"]), (&2.into(), &4.into()), "{common}");
    let hit = common["targets"].as_array().into_iter().flatten();
    let hit: BTreeSet<String> =
        hit.filter_map(|target| target["address"].as_str().map(str::to_owned)).collect();
    assert_eq!(hit, addresses([&tasks[0], &tasks[3]]));
    assert!(common["advice"].to_string().contains("network ACL"), "{common}");
    drop((agent, probes));
}

#[test]
fn a_process_that_ends_while_its_namespace_lives_on_ends_no_watching() {
    let _turn = turns::share();
    let mut node = Node::new();
    let mut task = node.task();
    let mut agent = start(&node, "");
    wait_watched(&mut agent, "the task", &addresses([&task]));
    task.change_process();
    let before = agent.lines().len();
    ask_from_home(&node, &task, 3);
    agent.wait_until("clients to be counted", PATIENCE, |lines| {
        let counted = lines[before..].iter().filter(|line| line["kind"] == "report");
        (counted.map(|line| line["arrived"].as_u64().unwrap_or(0)).sum::<u64>() >= 3).then_some(())
    });
    let ended = agent.stop();
    assert_eq!(ended.lines.iter().filter(|line| line["kind"] == "start").count(), 1, "{}", ended.text);
}

fn ask_from_home(node: &Node, task: &Task, times: usize) {
    for _ in 0..times {
        let answer = node.home.run(|| ask(node.balancer, (task.address, node.port).into()));
        answer.expect("an answer");
    }
}

#[test]
fn a_node_without_a_listener_is_watched_in_peace_but_not_diagnosed() {
    let _turn = turns::share();
    let home = Netns::new();
    let port = fastrand::u16(40_000..50_000);
    let ended = Agent::start(&home, &words(&format!("diagnose --all-netns --port {port}"))).wait_end();
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.errors.contains("has a listener on port"), "{}", ended.errors);
    let ended =
        Agent::start(&home, &words(&format!("trace --all-netns --port {port} --duration 1500ms"))).wait_end();
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""));
    assert!(ended.text.contains("no network namespace of this node has a listener"), "{}", ended.text);
}

/// One target whose interface cannot be watched does not end the others, whatever `--on-blind` says.
#[test]
fn a_blind_target_ends_nothing() {
    let _turn = turns::share();
    let mut node = Node::new();
    let good = node.task();
    // It listens, but has no default route and thus no interface to watch.
    let bare = Netns::new();
    let _app = App::start(&bare, Listen::on_all(good.address, node.port));
    let _holder = lab::node::hold(&bare);
    let mut agent = start(&node, "--on-blind exit --listen 9400");
    wait_watched(&mut agent, "the good one", &addresses([&good]));
    let blind = agent.wait_for("the blind one", PATIENCE, |line| line["state"] == "cannot_observe");
    assert!(blind["reasons"][0].to_string().contains("no default route"), "{blind}");
    // The node is ready all the same.
    let ask = |path| get(&node.home, ([127, 0, 0, 1], 9400).into(), path).expect("an answer");
    assert_eq!(ask("/readyz").status, 200, "{}", ask("/readyz").body);
    let page = ask("/metrics").body;
    let watched = page.lines().filter(|line| line.starts_with("hct_target_watched{target="));
    assert_eq!(watched.count(), 2, "{page}");
    let ended = agent.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
}
