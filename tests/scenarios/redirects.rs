//! Redirects inside the host that come and go.

use std::thread::sleep;

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    nlb::{Belief, Check, Node, Speech},
    plan::{Family, Plan},
    shell,
    topology::Topology,
};
use serde_json::Value;

use crate::{
    row::{PATIENCE, nodes},
    turns,
};

fn redirect(lab: &Topology) {
    let family = lab.plan.family.nft();
    shell::nft(
        &lab.task,
        &format!(
            "add table {family} mesh
             add chain {family} mesh in {{ type nat hook prerouting priority -100; }}
             add rule {family} mesh in tcp dport {} redirect to :{}",
            lab.plan.port, lab.plan.other_port
        ),
    );
}

fn note(lines: &[Value]) -> Option<&Value> {
    lines.iter().rev().find(|line| line["kind"] == "finding" && line["code"] == "port_translated")
}

/// Something listens on both ports. The redirect is followed while it is there, named by what was read of it, and no longer once
/// it is taken away. Nothing is wrong all the time.
fn comes_and_goes(family: Family) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let apps = [plan.port, plan.other_port]
        .map(|port| App::start(&lab.task, Listen::on_all(plan.task.address(), port)));
    redirect(&lab);
    let [a, b] = nodes(plan);
    let arguments = format!(
        "--port {} --nlb {a} {b} --client-ip preserved --health-interval {}ms --interval 400ms",
        plan.port,
        plan.interval.as_millis()
    );
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let check = Check::every(plan.interval, Speech::Tcp);
    let probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    for prober in &probers {
        prober.wait_for(Belief::Healthy, PATIENCE);
    }
    let is_healthy = |lines: &[Value]| {
        let last = lines.iter().rev().find(|line| line["kind"] == "verdict");
        last.is_some_and(|line| line["state"] == "healthy")
    };
    let found = agent.wait_until("the redirect to be followed and all to be well", PATIENCE, |lines| {
        note(lines).filter(|_| is_healthy(lines)).cloned()
    });
    assert_eq!(found["local_port"], plan.other_port.to_string(), "{found}");
    assert_eq!(found["listeners_on_port"], 1, "{found}");
    assert!(found["connections_on_local_port"].as_u64() > Some(1), "{found}");
    // Two windows: it goes on as long as it is there.
    sleep(plan.interval * 8);

    shell::nft(&lab.task, &format!("delete table {} mesh", family.nft()));
    agent.wait_until("the redirect to be over and all to be well", PATIENCE, |lines| {
        (note(lines).is_some_and(|line| line["state"] == "cleared") && is_healthy(lines)).then_some(())
    });
    drop(probers);
    let ended = agent.stop();
    drop(apps);
    let states: Vec<_> = ended.lines.iter().filter(|line| line["code"] == "port_translated").collect();
    assert_eq!(states.iter().filter(|line| line["state"] == "cleared").count(), 1, "{}", ended.text);
    let faults =
        ended.lines.iter().filter(|line| line["severity"] == "fault" && line["confidence"] != "suspected");
    assert_eq!(faults.count(), 0, "{}", ended.text);
}

#[test]
fn a_redirect_beside_a_listener_is_followed_until_it_is_taken_away_ipv4() {
    comes_and_goes(Family::V4);
}

#[test]
fn a_redirect_beside_a_listener_is_followed_until_it_is_taken_away_ipv6() {
    comes_and_goes(Family::V6);
}
