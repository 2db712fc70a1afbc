//! What the agent learns of rhythms that nobody told it.

use std::{
    ops::RangeInclusive,
    thread::{self, sleep},
    time::Duration,
};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    health_check::{Habits, probe},
    nginx::{Nginx, Site},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
    wait,
};
use serde_json::Value;

use crate::{
    row::{PATIENCE, nodes},
    turns,
};

/// Slow enough for several checkers to be told apart by an agent that looks five times a second.
fn interval() -> Duration {
    Duration::from_millis(1500) * wait::pace()
}

fn is_of(line: &Value, source: &str) -> bool {
    line["kind"] == "report" && line["source"] == source
}

fn rhythm(line: &Value) -> Option<(f64, u64)> {
    Some((line["rhythm_seconds"].as_f64()?, line["rhythm_per_interval"].as_u64()?))
}

/// As many checkers as there are phases, in percent of the interval, probe from the first node's address.
fn checkers(lab: &Topology, phases: &[u32]) -> Vec<Node> {
    let mut before = 0;
    let start = |phase: &u32| {
        sleep(interval() * (phase - before) / 100);
        before = *phase;
        let check = Check::every(interval(), Speech::Tcp);
        Node::start(&lab.nodes[0], lab.plan.node(0), lab.plan.target(), check)
    };
    phases.iter().map(start).collect()
}

/// Three checkers of one node; the node goes for a while, and comes back out of step.
fn is_learned_and_kept(family: Family) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let arguments =
        format!("--port {} --nlb {} --client-ip preserved --interval 200ms", plan.port, plan.node(0));
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let label = plan.node(0).to_string();
    let near: RangeInclusive<f64> = interval().as_secs_f64() * 0.8..=interval().as_secs_f64() * 1.2;
    let is_right = |line: &Value| {
        is_of(line, &label)
            && rhythm(line).is_some_and(|(every, number)| near.contains(&every) && number == 3)
    };
    let first = checkers(&lab, &[0, 10, 20]);
    let line = agent.wait_for("three checkers", PATIENCE, is_right);
    assert_eq!(line["class"], "nlb_probe", "{line}");
    drop(first);
    sleep(interval() * 3);
    let gone = agent.lines().len();
    let second = checkers(&lab, &[0, 70, 80]);
    agent.wait_until("three checkers again", PATIENCE, |lines| {
        let again = lines[gone..].iter().filter(|line| is_right(line) && line["arrived"] != 0);
        (again.count() > 15).then_some(())
    });
    drop(second);
    let ended = agent.stop();
    drop(app);
    let stopped: Vec<_> = ended.lines.iter().filter(|line| line["code"] == "probes_stopped").collect();
    assert!(stopped.is_empty(), "{stopped:?}");
}

#[test]
fn checkers_of_one_node_are_counted_and_known_again_ipv4() {
    is_learned_and_kept(Family::V4);
}

#[test]
fn checkers_of_one_node_are_counted_and_known_again_ipv6() {
    is_learned_and_kept(Family::V6);
}

/// Behind TLS a health check and a client look alike. One node only probes; through the other, clients come, too.
fn tells_clockwork_from_clients(family: Family) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let nginx = Nginx::start(&lab.task, &Site::tls(plan.task.address(), plan.port, "TLSv1.2"));
    let [a, b] = nodes(plan);
    let arguments = format!("--port {} --nlb {a} {b} --interval 200ms", plan.port);
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let check = Check::every(interval(), Speech::Https);
    let probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    let told = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            lab.nodes[1].run(|| {
                let mut draw = fastrand::Rng::with_seed(plan.seed);
                let mut served = 0;
                // As long as it takes to be sure of the other node, and some more.
                for _ in 0..40 {
                    served += u32::from(probe(b, plan.target(), &check, &Habits::default()));
                    sleep(interval() * draw.u32(10..70) / 100);
                }
                served
            })
        });
        let told = agent.wait_for("a class that rests on a rhythm", PATIENCE, |line| {
            is_of(line, &a.to_string()) && line["class_confidence"] == "inferred"
        });
        assert!(clients.join().expect("no panic") > 20, "clients are not served: the lab is broken");
        told
    });
    assert_eq!(told["class"], "nlb_probe", "{told}");
    drop(probers);
    let ended = agent.stop();
    drop(nginx);
    let of_b = ended.lines.iter().filter(|line| is_of(line, &b.to_string()));
    let classes: Vec<_> = of_b.filter_map(|line| line["class"].as_str()).collect();
    assert!(classes.iter().all(|class| *class == "nlb_undecided"), "{classes:?}");
    let faults = ended.lines.iter().filter(|line| line["kind"] == "finding" && line["severity"] == "fault");
    let faults: Vec<_> = faults.filter(|line| line["confidence"] != "suspected").collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn tls_like_clockwork_is_a_health_check_and_clients_are_not_ipv4() {
    tells_clockwork_from_clients(Family::V4);
}

#[test]
fn tls_like_clockwork_is_a_health_check_and_clients_are_not_ipv6() {
    tells_clockwork_from_clients(Family::V6);
}

/// Nobody said how often they probe, and each comes up to 30 % early or late. Then one node stops, or none does.
fn said_after_jitter(stops: bool) -> Vec<Value> {
    /// As often as AWS checks at most: no shorter interval is learned.
    const INTERVAL: Duration = Duration::from_secs(5);
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let plan = &lab.plan;
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let arguments = format!("--port {} --nlb {a} {b} --client-ip preserved --interval 1s", plan.port);
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let check = Check::every(INTERVAL, Speech::Tcp);
    let habits = Habits { jitter_percent: 30, ..Habits::default() };
    let start = |at: usize| Node::start_with(&lab.nodes[at], plan.node(at), plan.target(), check, habits);
    let (steady, other) = (start(0), start(1));
    for node in [a, b] {
        agent.wait_for("a rhythm of its own", PATIENCE, |line| {
            is_of(line, &node.to_string()) && rhythm(line).is_some()
        });
    }
    let _other = (!stops).then_some(other);
    sleep(INTERVAL * 5);
    drop(steady);
    let ended = agent.stop();
    ended.lines.into_iter().filter(|line| line["kind"] == "finding" && line["severity"] == "fault").collect()
}

#[test]
fn a_learned_rhythm_that_is_off_by_a_third_is_not_missed() {
    assert_eq!(said_after_jitter(false), Vec::<Value>::new());
}

#[test]
fn a_learned_rhythm_that_is_off_by_a_third_is_missed_when_it_stops() {
    let said = said_after_jitter(true);
    let is_it = |line: &Value| line["code"] == "probes_stopped" && line["confidence"] == "inferred";
    assert!(said.iter().any(is_it) && said.iter().all(|line| line["code"] == "probes_stopped"), "{said:?}");
}
