//! A flood of clients on the addresses that health checks come from: every health check is told from it.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    client::ask,
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
};

use crate::{
    row::{PATIENCE, nodes},
    turns,
};

/// Threads that ask, in each of two namespaces.
const THREADS: u32 = 4;

/// Asks from the node's own address, about `per_second` times (as fast as it goes for 0), for so long.
fn flood(lab: &Topology, number: usize, per_second: u32, long: Duration, count: &AtomicU64) {
    let (node, target): (_, SocketAddr) = (lab.plan.node(number), lab.plan.target());
    let pause = Duration::from_secs(1) * THREADS / per_second.max(1);
    let over = AtomicBool::new(false);
    lab.nodes[number].run(|| {
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut due = Instant::now();
                    while !over.load(Ordering::Relaxed) {
                        if ask(node, target).is_ok() {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        due += pause;
                        if per_second > 0 {
                            thread::sleep(due.saturating_duration_since(Instant::now()));
                        }
                    }
                });
            }
            thread::sleep(long);
            over.store(true, Ordering::Relaxed);
        });
    });
}

/// Two nodes with two probers each: as many as a node sends that is probed for by several.
fn every_probe_is_recognised(family: Family, per_second: u32, long: Duration, at_least: f64) {
    let _turn = turns::alone();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let mut agent = Agent::trace(
        &lab.task,
        &words(&format!("--port {} --nlb {a} {b} --interval 500ms --health-interval 1s", plan.port)),
    );
    let check = Check {
        speech: Speech::Http,
        interval: Duration::from_millis(250),
        timeout: Duration::from_secs(5),
        unhealthy_threshold: 2,
        healthy_threshold: 2,
    };
    let probers = [0, 1, 0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    // Connections that ended before may have begun unseen: clients among them are not counted.
    thread::sleep(Duration::from_millis(2500));
    let count = AtomicU64::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        for number in 0..2 {
            let (lab, count) = (&lab, &count);
            scope.spawn(move || flood(lab, number, per_second / 2, long, count));
        }
    });
    let rate = count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let sent: u64 = probers.into_iter().map(|node| node.stop().sent).sum();
    let sum = |lines: &[serde_json::Value], name: &str| -> u64 {
        lines.iter().filter(|line| line["kind"] == "report").filter_map(|line| line[name].as_u64()).sum()
    };
    agent.wait_until("every probe to be recognised", PATIENCE, |lines| {
        (sum(lines, "probes_ended") >= sent).then_some(())
    });
    let ended = agent.stop();
    drop(app);
    eprintln!("{sent} probes among {} requests, {rate:.0} a second", count.load(Ordering::Relaxed));
    assert!(rate >= at_least, "a flood of {rate:.0} a second is none");
    assert_eq!(sum(&ended.lines, "probes_ended"), sent, "{}", ended.text);
    // One that its client gave up on is a client's, too.
    assert!(sum(&ended.lines, "clients_ended") >= count.load(Ordering::Relaxed), "{}", ended.text);
}

#[test]
fn nine_hundred_a_second_hide_no_probe() {
    every_probe_is_recognised(Family::V4, 900, Duration::from_secs(8), 700.0);
}

/// As fast as this machine goes, which is printed.
#[test]
fn a_great_flood_hides_no_probe() {
    every_probe_is_recognised(Family::V6, 0, Duration::from_secs(5), 1500.0);
}
