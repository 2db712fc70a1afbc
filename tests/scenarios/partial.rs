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
    expected::last_verdict,
    matrix,
    row::{ClientPath, HEALTHY, Kind, PATIENCE, Row, nodes, recording},
    senders::start_clients,
    turns,
};

/// As often as AWS checks at most: no shorter interval is learned.
const INTERVAL: Duration = Duration::from_secs(5);

/// One node probes on and on; the other does so, too, or makes two probes only. What faults are said of the other until the
/// rhythm of the first has been known for more than three intervals.
fn said_of_the_other(row: &Row, family: Family) -> (Vec<Value>, Vec<Value>) {
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
    let about = |line: &&Value| is_fault(line) && line["sources"].to_string().contains(&b.to_string());
    let said = ended.lines.iter().filter(about).cloned().collect();
    (said, ended.lines)
}

/// It makes two health checks only.
pub const IS_SEEN_TWICE: Row = Row { verdict: "fault", clients: ClientPath::Elsewhere, ..HEALTHY };
/// The same over HTTP.
pub const IS_SEEN_TWICE_OVER_HTTP: Row = Row { speech: Speech::Http, ..IS_SEEN_TWICE };
/// It goes on.
pub const GOES_ON: Row = Row { near: &[Code::ProbesPartial], clients: ClientPath::Elsewhere, ..HEALTHY };
/// Clients that carry the nodes' addresses go on to come: two connections may only have looked like health checks.
pub const IS_SEEN_TWICE_BESIDE_CLIENTS: Row =
    Row { near: &[Code::ProbesPartial], clients: ClientPath::Translated, verdict: "inconclusive", ..HEALTHY };
/// The same, and it goes on.
pub const GOES_ON_BESIDE_CLIENTS: Row =
    Row { near: &[Code::ProbesPartial], clients: ClientPath::Translated, ..HEALTHY };

/// The interval is known from the node that goes on.
fn is_missed(row: &Row, family: Family) {
    let (said, lines) = said_of_the_other(row, family);
    let confidence = if row.kind() == Kind::Fault { "inferred" } else { "suspected" };
    let partial = said.iter().find(|line| line["code"] == "probes_partial").expect("it is said");
    assert_eq!(partial["confidence"], confidence, "{partial}");
    let verdict = last_verdict(&lines);
    assert_eq!(verdict, Some(row.verdict), "{lines:?}");
    assert!(said.iter().all(|line| line["code"] == "probes_partial"), "{said:?}");
    matrix::keep_by_hand(row, &lines);
}

fn is_not_missed(row: &Row, family: Family) {
    let (said, lines) = said_of_the_other(row, family);
    assert_eq!(said, Vec::<Value>::new());
    matrix::keep_by_hand(row, &lines);
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
    is_not_missed(&GOES_ON, Family::V6);
}
