//! The table of connections that began like a health check: what finds no place is counted, and what was left is taken out.

use std::{io::Write, net::TcpStream, time::Duration};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    descriptors,
    nlb::{Check, Node, Speech, connect},
    plan::{Family, Plan},
    topology::Topology,
    wait,
};
use serde_json::Value;

use crate::{
    blind::healthy_at_best,
    expected::wait_verdict,
    loss::lost,
    row::{PATIENCE, nodes},
    turns,
};

/// Opens a connection that says to be a health check and does not end.
fn hold(lab: &Topology) -> TcpStream {
    let mut stream = lab.nodes[0]
        .run(|| connect(lab.plan.node(0), lab.plan.target(), PATIENCE))
        .expect("a place in the accept queue");
    stream.write_all(b"GET / HTTP/1.1\r\nUser-Agent: ELB-HealthChecker/2.0\r\n").expect("it is open");
    stream
}

fn has_lost(agent: &mut Agent, probes: u64) {
    agent.wait_for("so many to be lost", PATIENCE, |line| line["kind"] == "loss" && line["probes"] == probes);
}

#[test]
fn health_checks_beyond_the_table_are_counted_and_concern_their_own_time() {
    let _turn = turns::share();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    let [a, b] = nodes(&plan);
    let app =
        App::start(&lab.task, Listen { accepts: false, ..Listen::on_all(plan.task.address(), plan.port) });
    let arguments = words(&format!(
        "--port {} --nlb {a} {b} --probe-entries 2 --interval 200ms --health-interval 500ms",
        plan.port
    ));
    let mut agent = Agent::trace(&lab.task, &arguments);
    let held: Vec<_> = (0..5).map(|_| hold(&lab)).collect();
    has_lost(&mut agent, 3);
    agent.wait_for("the loss in the verdict", PATIENCE, |line| {
        line["kind"] == "verdict" && line["reasons"].to_string().contains("lost records")
    });
    let table = Table::of(&lab, agent.id());
    assert_eq!(table.keys(&lab).len(), 2);
    drop((held, app));
    wait::until("those who ended to make room", PATIENCE, || table.keys(&lab).is_empty());
    // A window later nothing is lacking any more.
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let check = Check::every(Duration::from_millis(500) * wait::pace(), Speech::Http);
    let probers =
        [0, 1].map(|number| Node::start(&lab.nodes[number], plan.node(number), plan.target(), check));
    wait_verdict(&mut agent, healthy_at_best());
    drop((probers, app));
    let ended = agent.stop();
    assert_eq!(lost(&ended, "probes"), 3, "{}", ended.text);
}

/// As after a run that the kernel skipped, by the hand of bpftool: the connection has ended, and nobody took it out.
#[test]
fn what_was_left_in_the_table_is_taken_out() {
    /// Older than that, it cannot be a health check any more (agent/src/kernel/probe_table.rs).
    const OLDEST_SECONDS: u64 = 300;
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec.unsigned_abs();
    if up <= OLDEST_SECONDS {
        eprintln!("SKIPPED: the machine is up for {up} s only, so nothing in it can be older");
        return;
    }
    let _turn = turns::share();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    let app =
        App::start(&lab.task, Listen { accepts: false, ..Listen::on_all(plan.task.address(), plan.port) });
    let arguments = words(&format!(
        "--port {} --nlb {} --probe-entries 1 --interval 200ms --health-interval 500ms",
        plan.port,
        plan.node(0)
    ));
    let mut agent = Agent::trace(&lab.task, &arguments);
    let table = Table::of(&lab, agent.id());
    let first = hold(&lab);
    wait::until("the first to be recorded", PATIENCE, || table.keys(&lab).len() == 1);
    let kept = table.keys(&lab);
    table.make_old(&lab, &kept[0]);
    let second = hold(&lab);
    has_lost(&mut agent, 1);
    wait::until("the old one to be taken out", PATIENCE, || table.keys(&lab).is_empty());
    let third = hold(&lab);
    wait::until("another to be recorded", PATIENCE, || table.keys(&lab).len() == 1);
    // This one is young, and stays.
    let fourth = hold(&lab);
    has_lost(&mut agent, 2);
    assert_eq!(table.keys(&lab).len(), 1);
    drop((first, second, third, fourth, app));
    agent.stop();
}

/// An agent's table of connections that began like a health check, as bpftool shows it.
struct Table {
    id: String,
}

impl Table {
    fn of(lab: &Topology, process: u32) -> Self {
        let maps = bpftool(lab, &["map", "show"]);
        let held = descriptors::numbers(process, "map_id:");
        let is_it =
            |map: &&Value| map["name"] == "PROBES" && map["id"].as_u64().is_some_and(|id| held.contains(&id));
        let map = maps.as_array().into_iter().flatten().find(is_it).expect("the agent's map");
        Self { id: map["id"].to_string() }
    }

    /// Keys as bytes, each as bpftool writes and reads it.
    fn keys(&self, lab: &Topology) -> Vec<Vec<String>> {
        let entries = bpftool(lab, &["map", "dump", "id", &self.id]);
        let bytes = |entry: &Value| {
            let bytes = entry["key"].as_array().expect("bytes");
            bytes.iter().map(|byte| byte.as_str().expect("a word").to_owned()).collect()
        };
        entries.as_array().into_iter().flatten().map(bytes).collect()
    }

    /// Begun when the machine was started.
    fn make_old(&self, lab: &Topology, key: &[String]) {
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let update = [&["map", "update", "id", &self.id, "key"], &key[..], &["value"], &["0"; 16]].concat();
        bpftool(lab, &update);
    }
}

fn bpftool(lab: &Topology, arguments: &[&str]) -> Value {
    let text = lab::shell::run(&lab.task, "bpftool", &[&["-j"], arguments].concat(), "");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}
