//! An application that listens later than its health checks come.

use std::collections::BTreeSet;

use agent::domain::finding::Code;
use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    client::Clients,
    nlb::{Belief, Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
    wait,
};
use serde_json::Value;

use crate::{
    blind::{gives_drop_reasons, healthy_at_best},
    expected::{Expected, wait_verdict},
    matrix,
    row::{ClientPath, HEALTHY, Kind, PATIENCE, Row, recording},
    turns,
};

/// Refused twice before the application listens: at fault as soon as it does, until one is served. What is said of it, at any
/// time, and nothing else is but the refusals of one that is late.
fn starts(row: &Row, family: Family) -> Vec<Value> {
    matrix::forget();
    let is_late = row.kind() == Kind::Fault;
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let start_app = || App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let early = (!is_late).then(start_app);
    if row.clients == ClientPath::Translated {
        lab.translate_at_node(0);
    }
    // Slow enough to see the application listen before the next probe.
    let interval = 3 * plan.interval;
    let client_ip = if row.clients == ClientPath::Translated { "auto" } else { "preserved" };
    let arguments = format!(
        "--port {} --nlb {} --client-ip {client_ip} --health-interval {}ms --interval 100ms",
        plan.port,
        plan.node(0),
        interval.as_millis()
    );
    let mut agent = Agent::trace(&lab.task, &[words(&arguments), recording()].concat());
    let check = Check::every(interval, row.speech);
    let node = Node::start(&lab.nodes[0], plan.node(0), plan.target(), check);
    let come = || {
        let target = (plan.node(0), plan.port).into();
        (row.clients == ClientPath::Translated)
            .then(|| Clients::start(&lab.client, &plan.client.addresses, target, 20))
    };
    let mut clients = come();
    wait::until("two of its probes", PATIENCE, || node.record().sent >= 2);
    let late = is_late.then(|| {
        agent.wait_for("the refusal", PATIENCE, |line| line["code"] == "no_listener");
        // Whoever is served first ends it, and clients come more often than the agent looks.
        drop(clients.take());
        start_app()
    });
    let at_fault = is_late.then(|| {
        agent.wait_for("the late start", PATIENCE, |line| {
            line["code"] == "slow_start" && line["severity"] == "fault"
        });
        wait_verdict(&mut agent, "fault");
        clients = come();
        agent.lines().to_vec()
    });
    wait_verdict(&mut agent, "healthy");
    if !is_late && row.clients == ClientPath::Translated {
        agent.wait_for("the address to be known as shared", PATIENCE, |line| line["code"] == "shared_source");
    }
    let ended = agent.stop();
    drop((early, late, node, clients));
    let (said, others): (Vec<_>, Vec<_>) = ended
        .lines
        .iter()
        .filter(|line| line["kind"] == "finding")
        .partition(|line| line["code"] == "slow_start");
    let is_of_the_row = |line: &Value| match line["code"].as_str() {
        Some("no_listener") => is_late,
        Some("shared_source") => row.clients == ClientPath::Translated && line["severity"] == "note",
        // Before the first health check its absence may be suspected.
        Some("probes_missing") => line["confidence"] == "suspected",
        _ => false,
    };
    assert!(others.iter().all(|line| is_of_the_row(line)), "{others:?}");
    matrix::keep_by_hand(row, plan, at_fault.as_ref().unwrap_or(&ended.lines));
    said.into_iter().cloned().collect()
}

/// It listens late.
pub const LISTENS_LATE: Row = Row {
    clients: ClientPath::Elsewhere,
    expected: |plan| vec![Expected::of_probes("slow_start", "proven", &[plan.node(0)])],
    verdict: "fault",
    ..HEALTHY
};
/// The same over HTTP, while clients come with the node's address.
pub const LISTENS_LATE_BEHIND_A_SHARED_ADDRESS: Row = Row {
    clients: ClientPath::Translated,
    speech: Speech::Http,
    expected: |plan| vec![Expected::of_addresses("slow_start", &[plan.node(0)])],
    ..LISTENS_LATE
};
/// It listens in time.
pub const LISTENS_IN_TIME: Row = Row { near: &[Code::SlowStart], clients: ClientPath::Elsewhere, ..HEALTHY };
/// The same over HTTP, while clients come with the node's address.
pub const LISTENS_IN_TIME_BEHIND_A_SHARED_ADDRESS: Row = Row {
    clients: ClientPath::Translated,
    speech: Speech::Http,
    expected: |plan| vec![Expected { sources: [plan.node(0).to_string()].into(), ..Expected::shared(plan) }],
    ..LISTENS_IN_TIME
};

fn is_at_fault_until_it_has_served(row: &Row, family: Family) {
    let said = starts(row, family);
    assert_eq!(said[0]["confidence"], "proven");
    let last = said.iter().rfind(|line| line["state"] != "cleared").expect("it is said");
    assert_eq!(last["severity"], "note", "once it is served: {said:?}");
}

#[test]
pub fn an_application_that_listens_late_is_at_fault_until_it_has_served_ipv4() {
    is_at_fault_until_it_has_served(&LISTENS_LATE, Family::V4);
}

#[test]
pub fn an_application_that_listens_late_is_at_fault_until_it_has_served_ipv6() {
    is_at_fault_until_it_has_served(&LISTENS_LATE_BEHIND_A_SHARED_ADDRESS, Family::V6);
}

fn is_not_at_fault(row: &Row, family: Family) {
    assert_eq!(starts(row, family), Vec::<Value>::new());
}

#[test]
pub fn an_application_that_listens_in_time_is_not_ipv4() {
    is_not_at_fault(&LISTENS_IN_TIME, Family::V4);
}

#[test]
pub fn an_application_that_listens_in_time_is_not_ipv6() {
    is_not_at_fault(&LISTENS_IN_TIME, Family::V6);
}

#[test]
pub fn an_application_that_listens_in_time_behind_a_shared_address_is_not_ipv4() {
    is_not_at_fault(&LISTENS_IN_TIME_BEHIND_A_SHARED_ADDRESS, Family::V4);
}

/// Refused until the application listens, late as soon as it does, and healthy once it has served.
#[test]
pub fn an_application_that_starts_late_is_refused_and_then_served_ipv4() {
    starts_late(Family::V4);
}

#[test]
pub fn an_application_that_starts_late_is_refused_and_then_served_ipv6() {
    starts_late(Family::V6);
}

/// Refused, and served in the end.
pub const STARTS_LATE: Row = Row {
    near: &[Code::NoListener],
    clients: ClientPath::Elsewhere,
    expected: |plan| {
        vec![Expected { severity: "note", ..Expected::of_probes("slow_start", "proven", &[plan.node(0)]) }]
    },
    ..HEALTHY
};

fn starts_late(family: Family) {
    matrix::forget();
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let arguments = format!(
        "--port {} --nlb {} --client-ip preserved --health-interval {}ms --interval 200ms",
        plan.port,
        plan.node(0),
        plan.interval.as_millis()
    );
    let mut agent = Agent::trace(&lab.task, &arguments.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let check = Check::every(plan.interval, Speech::Tcp);
    let node = Node::start(&lab.nodes[0], plan.node(0), plan.target(), check);
    if gives_drop_reasons(&mut agent) {
        agent.wait_for("the refusal", PATIENCE, |line| {
            line["kind"] == "finding" && line["code"] == "no_listener"
        });
    }
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    node.wait_for(Belief::Healthy, PATIENCE);
    wait_verdict(&mut agent, healthy_at_best());
    let ended = agent.stop();
    let codes: BTreeSet<_> = ended.lines.iter().filter_map(|line| line["code"].as_str()).collect();
    assert!(codes.is_subset(&BTreeSet::from(["no_listener", "probes_missing", "slow_start"])), "{codes:?}");
    drop((node, app));
    matrix::keep_by_hand(&STARTS_LATE, plan, &ended.lines);
}
