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
    matrix,
    row::{ClientPath, HEALTHY, Kind, PATIENCE, Row, nodes, recording},
    turns,
};

/// As often as AWS checks at most: no shorter interval is learned.
const INTERVAL: Duration = Duration::from_secs(5);

/// One node probes on and on; the other does so, too, or makes two probes only. What is said of the other until the rhythm of
/// the first has been known for more than three intervals.
fn said_of_the_other(row: &Row, family: Family) -> (Vec<Value>, Vec<Value>) {
    matrix::forget();
    let goes_on = row.kind() != Kind::Fault;
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let arguments = format!("--port {} --nlb {a} {b} --client-ip preserved --interval 1s", plan.port);
    let mut agent = Agent::trace(&lab.task, &[words(&arguments), recording()].concat());
    let check = Check::every(INTERVAL, row.speech);
    let start = |at: usize| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check);
    let (_steady, other) = (start(0), start(1));
    wait::until("two of its probes", PATIENCE, || other.record().sent >= 2);
    let _other = goes_on.then_some(other);
    agent.wait_until("the rhythm of the steady one", PATIENCE, |lines| {
        let mut reports = lines.iter().filter(|line| line["source"] == a.to_string().as_str());
        reports.any(|line| !line["rhythm_seconds"].is_null()).then_some(())
    });
    sleep(4 * INTERVAL);
    let ended = agent.stop();
    let about =
        |line: &&Value| line["kind"] == "finding" && line["sources"].to_string().contains(&b.to_string());
    let said = ended.lines.iter().filter(about).cloned().collect();
    (said, ended.lines)
}

/// It makes two health checks only.
pub const IS_SEEN_TWICE: Row = Row { verdict: "fault", clients: ClientPath::Elsewhere, ..HEALTHY };
/// The same over HTTP.
pub const IS_SEEN_TWICE_OVER_HTTP: Row = Row { speech: Speech::Http, ..IS_SEEN_TWICE };
/// It goes on.
pub const GOES_ON: Row = Row { near: &[Code::ProbesPartial], clients: ClientPath::Elsewhere, ..HEALTHY };

/// The interval is known from the node that goes on.
fn is_missed(row: &Row, family: Family) {
    let (said, lines) = said_of_the_other(row, family);
    let partial = said.iter().find(|line| line["code"] == "probes_partial").expect("it is said");
    assert_eq!(
        (&partial["severity"], &partial["confidence"]),
        (&"fault".into(), &"inferred".into()),
        "{partial}"
    );
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
pub fn a_node_that_goes_on_is_not_missed_ipv4() {
    is_not_missed(&GOES_ON, Family::V4);
}

#[test]
pub fn a_node_that_goes_on_is_not_missed_ipv6() {
    is_not_missed(&GOES_ON, Family::V6);
}
