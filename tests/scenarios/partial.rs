//! A node that was seen once or twice and never again, while another goes on.

use std::{thread::sleep, time::Duration};

use agent::domain::finding::Code;
use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
    wait,
};
use serde_json::Value;

use crate::{
    expected::Expected,
    matrix,
    row::{ClientPath, HEALTHY, PATIENCE, Row, nodes, recording},
    senders::start_clients,
    turns,
};

/// As often as AWS checks at most: no shorter interval is learned.
const INTERVAL: Duration = Duration::from_secs(5);

/// One node probes on and on; the other does so, too, or makes two probes only. What faults are said, and of whom, until the rhythm of
/// the first has been known for more than three intervals: none, or of the other only.
fn said_of_the_other(row: &Row, family: Family) -> Vec<Value> {
    matrix::forget();
    let goes_on = row.verdict == "healthy";
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let is_translated = row.clients == ClientPath::Translated;
    if is_translated {
        (0..2).for_each(|at| lab.translate_at_node(at));
    }
    let client_ip = if is_translated { "auto" } else { "preserved" };
    let arguments = format!("--port {} --nlb {a} {b} --client-ip {client_ip} --interval 1s", plan.port);
    let mut agent = Agent::trace(&lab.task, &[words(&arguments), recording()].concat());
    let check = Check::every(INTERVAL, row.speech);
    let start = |at: usize| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check);
    let (_steady, other) = (start(0), start(1));
    let _clients = start_clients(row, &lab);
    wait::until("two of its probes", PATIENCE, || other.record().sent >= 2);
    let _other = goes_on.then_some(other);
    agent.wait_until("the rhythm of the steady one", PATIENCE, |lines| {
        let mut reports = lines.iter().filter(|line| line["source"] == a.to_string().as_str());
        reports.any(|line| !line["rhythm_seconds"].is_null()).then_some(())
    });
    sleep(4 * INTERVAL);
    let ended = agent.stop();
    let is_fault = |line: &Value| line["kind"] == "finding" && line["severity"] == "fault";
    let said: Vec<_> = ended.lines.iter().filter(|line| is_fault(line)).cloned().collect();
    let is_of_the_other =
        |line: &Value| line["sources"].as_array().is_some_and(|all| *all == [b.to_string()]);
    assert!(said.iter().all(is_of_the_other), "{said:?}");
    matrix::keep_by_hand(row, plan, &ended.lines);
    said
}

/// It makes two health checks only.
pub const IS_SEEN_TWICE: Row = Row {
    clients: ClientPath::Elsewhere,
    expected: |plan| vec![Expected::of_probes("probes_partial", "inferred", &[plan.node(1)])],
    verdict: "fault",
    ..HEALTHY
};
/// The same over HTTP.
pub const IS_SEEN_TWICE_OVER_HTTP: Row = Row { speech: Speech::Http, ..IS_SEEN_TWICE };
/// It goes on.
pub const GOES_ON: Row = Row { near: &[Code::ProbesPartial], clients: ClientPath::Elsewhere, ..HEALTHY };
/// The same over HTTP.
pub const GOES_ON_OVER_HTTP: Row = Row { speech: Speech::Http, ..GOES_ON };
/// Clients that carry the nodes' addresses go on to come: two connections may only have looked like health checks.
pub const IS_SEEN_TWICE_BESIDE_CLIENTS: Row = Row {
    expected: |plan| {
        let other = [plan.node(1).to_string()];
        vec![Expected::fault("probes_partial", "suspected", "nlb_undecided", other), Expected::shared(plan)]
    },
    verdict: "inconclusive",
    ..GOES_ON_BESIDE_CLIENTS
};
/// The same, and it goes on.
pub const GOES_ON_BESIDE_CLIENTS: Row = Row {
    near: &[Code::ProbesPartial],
    clients: ClientPath::Translated,
    expected: |plan| vec![Expected::shared(plan)],
    ..HEALTHY
};

/// The interval is known from the node that goes on.
fn is_missed(row: &Row, family: Family) {
    let said = said_of_the_other(row, family);
    assert!(said.iter().all(|line| line["code"] == "probes_partial"), "{said:?}");
}

fn is_not_missed(row: &Row, family: Family) {
    assert_eq!(said_of_the_other(row, family), Vec::<Value>::new());
}

#[test]
pub fn a_node_that_was_seen_twice_only_is_missed_while_another_goes_on_ipv4() {
    is_missed(&IS_SEEN_TWICE, Family::V4);
}

#[test]
pub fn a_node_that_was_seen_twice_only_is_missed_while_another_goes_on_ipv6() {
    is_missed(&IS_SEEN_TWICE_OVER_HTTP, Family::V6);
}

#[test]
pub fn a_node_that_was_seen_twice_only_is_suspected_while_its_clients_go_on_ipv4() {
    is_missed(&IS_SEEN_TWICE_BESIDE_CLIENTS, Family::V4);
}

#[test]
pub fn a_node_that_goes_on_beside_its_clients_is_not_missed_ipv6() {
    is_not_missed(&GOES_ON_BESIDE_CLIENTS, Family::V6);
}

#[test]
pub fn a_node_that_goes_on_is_not_missed_ipv4() {
    is_not_missed(&GOES_ON, Family::V4);
}

#[test]
pub fn a_node_that_goes_on_is_not_missed_ipv6() {
    is_not_missed(&GOES_ON_OVER_HTTP, Family::V6);
}
