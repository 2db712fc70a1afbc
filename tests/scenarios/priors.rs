//! What the operator said of the health check gives way to what is seen of it, and the verdict says so.

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
};
use serde_json::Value;

use crate::{
    row::{PATIENCE, nodes},
    turns,
};

fn hints(line: &Value) -> impl Iterator<Item = &str> {
    line["hints"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// What the verdict says of this flag once health checks that speak so are served.
fn said(family: Family, speech: Speech, flag: &str) -> Option<String> {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let arguments = format!(
        "--port {} --nlb {a} {b} --client-ip preserved --health-interval {}ms --interval 400ms --health-protocol {flag}",
        plan.port,
        plan.interval.as_millis()
    );
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let check = Check::every(plan.interval, speech);
    let probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    agent.wait_until("enough health checks of both", PATIENCE, |lines| {
        let served = |node: String| {
            let rows =
                lines.iter().filter(|line| line["kind"] == "report" && line["source"] == node.as_str());
            rows.filter_map(|line| line["probes_served"].as_u64()).sum::<u64>()
        };
        (served(a.to_string()) >= 5 && served(b.to_string()) >= 5).then_some(())
    });
    let verdict = agent.wait_until("a healthy verdict after them", PATIENCE, |lines| {
        let last = lines.iter().rev().find(|line| line["kind"] == "verdict");
        last.filter(|line| line["state"] == "healthy").cloned()
    });
    drop(probers);
    let ended = agent.stop();
    let faults =
        ended.lines.iter().filter(|line| line["severity"] == "fault" && line["confidence"] != "suspected");
    assert_eq!(faults.count(), 0, "{}", ended.text);
    hints(&verdict).find(|hint| hint.contains("--health-protocol")).map(str::to_owned)
}

#[test]
fn a_protocol_that_is_not_spoken_is_named_ipv4() {
    let hint = said(Family::V4, Speech::Http, "tcp").expect("a hint");
    assert!(hint.contains("are HTTP in the clear"), "{hint}");
}

#[test]
fn a_protocol_that_is_not_spoken_is_named_ipv6() {
    let hint = said(Family::V6, Speech::Tcp, "http").expect("a hint");
    assert!(hint.contains("without a word"), "{hint}");
}

#[test]
fn one_that_is_spoken_is_passed_over() {
    assert_eq!(said(Family::V4, Speech::Http, "http"), None);
    assert_eq!(said(Family::V4, Speech::Tcp, "tcp"), None);
}
