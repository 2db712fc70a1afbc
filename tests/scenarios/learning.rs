//! Nobody named the NLB: who is a node is learned by what senders do, and nothing is made of what only looks like one.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    client::Clients,
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
    unruly::Unruly,
    wait,
};
use serde_json::Value;

use crate::{
    row::{PATIENCE, nodes},
    turns,
};

fn trace(lab: &Topology) -> Agent {
    Agent::trace(&lab.task, &words(&format!("--port {} --interval 200ms", lab.plan.port)))
}

/// The sources that were learned with this confidence.
fn learned(lines: &[Value], confidence: &str) -> BTreeSet<String> {
    let reports = lines.iter().filter(|line| line["kind"] == "report" && line["learned"] == confidence);
    reports.filter_map(|line| line["source"].as_str()).map(str::to_owned).collect()
}

fn faults(lines: &[Value]) -> Vec<&Value> {
    let all = lines.iter().filter(|line| line["kind"] == "finding" && line["severity"] == "fault");
    all.filter(|line| line["confidence"] != "suspected").collect()
}

/// They call themselves a health check. Clients carry their addresses, too.
fn nodes_that_say_what_they_are(family: Family) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    lab.translate_at_node(1);
    let mut agent = trace(&lab);
    let check = Check::every(Duration::from_millis(700) * wait::pace(), Speech::Http);
    let probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    let kept = Clients::start(&lab.client, &plan.client.addresses, plan.target(), 20);
    let translated =
        Clients::start(&lab.client, &plan.client.addresses, (plan.node(1), plan.port).into(), 20);
    let wanted: BTreeSet<String> = nodes(plan).iter().map(IpAddr::to_string).collect();
    agent.wait_until("both nodes to be learned", PATIENCE, |lines| {
        (learned(lines, "inferred") == wanted).then_some(())
    });
    let verdict = agent.wait_for("a verdict that names them", PATIENCE, |line| {
        let reasons = line["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
        line["kind"] == "verdict" && reasons.into_iter().any(|reason| reason.contains("an NLB or an ALB"))
    });
    assert_eq!(verdict["state"], "inconclusive", "{verdict}");
    assert!(faults(agent.lines()).is_empty(), "{:?}", faults(agent.lines()));
    // What is learned is a source like any other.
    lab.firewall("input", &format!("{} saddr {} tcp dport {} drop", family.nft(), plan.node(0), plan.port));
    let label = plan.node(0).to_string();
    agent.wait_for("the rule that drops a learned node", PATIENCE, |line| {
        line["code"] == "host_firewall"
            && line["confidence"] == "proven"
            && line["sources"] == serde_json::json!([label])
            && ["nlb_probe", "nlb_undecided"].iter().any(|class| line["class"] == *class)
    });
    drop((kept, translated, probers));
    let ended = agent.stop();
    assert_eq!(ended.errors, "");
    drop(app);
    assert_eq!(learned(&ended.lines, "inferred"), wanted, "nobody else");
    assert!(learned(&ended.lines, "suspected").is_empty(), "{:?}", learned(&ended.lines, "suspected"));
}

#[test]
fn nodes_that_say_what_they_are_are_learned_ipv4() {
    nodes_that_say_what_they_are(Family::V4);
}

#[test]
fn nodes_that_say_what_they_are_are_learned_ipv6() {
    nodes_that_say_what_they_are(Family::V6);
}

/// One node connects and closes like a clock, as a monitor may do. Unruly clients do so without one. The node then goes.
fn who_only_looks_like_a_node(family: Family) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let mut agent = trace(&lab);
    let interval = Duration::from_millis(1000) * wait::pace();
    let monitor =
        Node::start(&lab.nodes[0], plan.node(0), plan.target(), Check::every(interval, Speech::Tcp));
    let unruly = Unruly::start(&lab.client, plan.client.address(), plan.target(), plan.target(), 20);
    let wanted = BTreeSet::from([plan.node(0).to_string()]);
    agent.wait_until("a suspected node", PATIENCE, |lines| {
        (learned(lines, "suspected") == wanted).then_some(())
    });
    drop(monitor);
    // Longer than three of the shortest intervals that are ever assumed.
    std::thread::sleep(Duration::from_secs(18));
    drop(unruly);
    let ended = agent.stop();
    drop(app);
    assert!(faults(&ended.lines).is_empty(), "{:?}", faults(&ended.lines));
    assert_eq!(learned(&ended.lines, "suspected"), wanted);
    assert!(learned(&ended.lines, "inferred").is_empty());
    let reasons: Vec<String> = ended
        .lines
        .iter()
        .filter(|line| line["kind"] == "verdict")
        .map(|line| line["reasons"].to_string())
        .collect();
    assert!(reasons.iter().any(|reasons| reasons.contains("no NLB node is certain")), "{reasons:?}");
    assert!(ended.lines.iter().all(|line| line["kind"] != "verdict" || line["state"] == "inconclusive"));
}

#[test]
fn a_monitor_is_suspected_and_no_fault_rests_on_it_ipv4() {
    who_only_looks_like_a_node(Family::V4);
}

#[test]
fn a_monitor_is_suspected_and_no_fault_rests_on_it_ipv6() {
    who_only_looks_like_a_node(Family::V6);
}
