//! How soon a fault of the host is named: within one probe after it happens, and one second.

use std::time::{Duration, Instant};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    shell,
    topology::Topology,
};

use crate::{
    expected::wait_verdict,
    row::{PATIENCE, nodes},
    turns,
};

/// As often as AWS checks at most, so that what the agent needs is small beside what the probe takes to come.
const INTERVAL: Duration = Duration::from_secs(5);

/// From the next probe to the finding.
const GRACE: Duration = Duration::from_secs(1);

/// Two nodes probe in turn, half an interval apart. Does something to a healthy service, and takes the time until the agent
/// names it.
fn named_in_time(code: &str, harm: impl FnOnce(&Topology, &mut Option<App>)) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let plan = &lab.plan;
    let mut app = Some(App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port)));
    let [a, b] = nodes(plan);
    let arguments = format!(
        "--port {} --nlb {a} {b} --client-ip preserved --health-interval 5s --interval 5s",
        plan.port
    );
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let check = Check {
        speech: Speech::Http,
        interval: INTERVAL,
        timeout: INTERVAL,
        unhealthy_threshold: 2,
        healthy_threshold: 2,
    };
    let start = |at: usize| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check);
    let probers = [start(0), {
        std::thread::sleep(INTERVAL / 2);
        start(1)
    }];
    wait_verdict(&mut agent, "healthy");
    harm(&lab, &mut app);
    let began = Instant::now();
    agent.wait_until(code, PATIENCE, |lines| {
        lines.iter().any(|line| line["code"] == code && line["severity"] == "fault").then_some(())
    });
    let took = began.elapsed();
    drop(probers);
    let ended = agent.stop();
    assert!(took <= INTERVAL + GRACE, "{code} took {took:.1?}\n{}", ended.text);
}

#[test]
fn a_rule_of_the_host() {
    named_in_time("host_firewall", |lab, _| {
        lab.firewall("input", &format!("tcp dport {} drop", lab.plan.port))
    });
}

#[test]
fn an_application_that_ends() {
    named_in_time("no_listener", |_, app| drop(app.take()));
}

#[test]
fn a_route_that_is_gone() {
    named_in_time("no_return_route", |lab, _| shell::ip(&lab.task, "route del default"));
}
