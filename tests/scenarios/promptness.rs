//! How soon a fault of the host is named: within one probe after it happens, and one second.

use std::time::{Duration, Instant};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    shell,
    topology::Topology,
    wait::until,
};

use crate::{
    expected::wait_verdict,
    row::{PATIENCE, nodes},
    turns,
};

/// As often as AWS checks at most, so that what the agent needs is small beside what the probe takes to come.
const INTERVAL: Duration = Duration::from_secs(5);

/// From the latest probe that may meet the fault to the finding.
const GRACE: Duration = Duration::from_secs(1);

/// The agent looks once a second; a busy machine takes half of one more.
const ONE_LOOK: Duration = Duration::from_millis(1500);

/// Two nodes probe in turn, half an interval apart. Does something to a healthy service, and takes the time until the agent
/// names it: after the harm, and after the first probe that met it.
fn named_in_time(code: &str, after_probe: Duration, harm: impl FnOnce(&Topology, &mut Option<App>)) {
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
    let check = Check::every(INTERVAL, Speech::Http);
    let start = |at: usize| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check);
    let probers = [start(0), {
        std::thread::sleep(INTERVAL / 2);
        start(1)
    }];
    wait_verdict(&mut agent, "healthy");
    harm(&lab, &mut app);
    let sent = || probers.iter().map(|node| node.record().sent).sum::<u64>();
    let (before, harmed) = (sent(), Instant::now());
    until("a probe that meets the harm", PATIENCE, || sent() > before);
    let began = Instant::now();
    agent.wait_until(code, PATIENCE, |lines| {
        lines.iter().any(|line| line["code"] == code && line["severity"] == "fault").then_some(())
    });
    let (took, since_harm) = (began.elapsed(), harmed.elapsed());
    drop(probers);
    let ended = agent.stop();
    eprintln!("{code} was named {took:.1?} after the probe");
    assert!(since_harm <= INTERVAL + GRACE, "{code} took {since_harm:.1?} in all\n{}", ended.text);
    assert!(took <= after_probe * lab::wait::pace(), "{code} took {took:.1?}\n{}", ended.text);
}

/// People see it, too, however long they said that a report may take.
#[test]
fn a_fault_is_shown_to_people_before_the_next_report_is_due() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V6));
    let plan = &lab.plan;
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let text = format!("trace --port {} --nlb {a} {b} --client-ip preserved --interval 1h", plan.port);
    let mut agent = Agent::start(&lab.task, &words(&text));
    agent.wait_text("the agent to watch", lab::agent::START, |text| text.contains("hooks").then_some(()));
    let check = Check::every(Duration::from_millis(500) * lab::wait::pace(), Speech::Http);
    let _probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    lab.firewall("input", &format!("tcp dport {} drop", plan.port));
    agent.wait_text("the fault", PATIENCE, |text| text.contains("host_firewall").then_some(()));
}

#[test]
fn a_rule_of_the_host() {
    named_in_time("host_firewall", ONE_LOOK, |lab, _| {
        lab.firewall("input", &format!("tcp dport {} drop", lab.plan.port))
    });
}

#[test]
fn an_application_that_ends() {
    named_in_time("no_listener", ONE_LOOK, |_, app| drop(app.take()));
}

#[test]
fn a_route_that_is_gone() {
    named_in_time("no_return_route", ONE_LOOK, |lab, _| shell::ip(&lab.task, "route del default"));
}
