//! What the operator said of the health check gives way to what is seen of it, and the verdict says so.

use std::{thread::sleep, time::Duration};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    client::Clients,
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

/// What came of health checks of both nodes to the traffic port, and to another one if so asked, after `--health-port` said the
/// other one: the last verdict, and the notes that the addresses are shared. Nothing may be missed meanwhile.
fn said_of_the_port(family: Family, speech: Speech, at_given: bool, verdict: &str) -> (Value, Vec<Value>) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let own = plan.task.address();
    let _apps = [plan.port, plan.other_port].map(|port| App::start(&lab.task, Listen::on_all(own, port)));
    let [a, b] = nodes(plan);
    // Slow enough for an agent that looks five times a second to see the rhythm.
    let interval = Duration::from_millis(1500) * wait::pace();
    let arguments = format!(
        "--port {} --health-port {} --nlb {a} {b} --health-interval {}ms --interval 200ms",
        plan.port,
        plan.other_port,
        interval.as_millis()
    );
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let check = Check::every(interval, speech);
    let to =
        |port: u16| [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), (own, port).into(), check));
    let probers = (to(plan.port), at_given.then(|| to(plan.other_port)));
    // Six intervals: as long as it may take to be sure which port is meant.
    sleep(7 * interval);
    agent.wait_until(&format!("the verdict {verdict}"), PATIENCE, |lines| {
        let last = lines.iter().rev().find(|line| line["kind"] == "verdict");
        last.filter(|line| line["state"] == verdict).map(|_| ())
    });
    drop(probers);
    let ended = agent.stop();
    let faults =
        ended.lines.iter().filter(|line| line["severity"] == "fault" && line["confidence"] != "suspected");
    assert_eq!(faults.count(), 0, "{}", ended.text);
    let last = ended.lines.iter().rfind(|line| line["kind"] == "verdict" && line["state"] == verdict);
    let notes = ended.lines.iter().filter(|line| line["code"] == "shared_source");
    (last.expect("it was there").clone(), notes.cloned().collect())
}

fn a_port_that_is_not_checked(family: Family) {
    let (verdict, notes) = said_of_the_port(family, Speech::Http, false, "healthy");
    let note = notes.last().expect("a note");
    assert_eq!((&note["severity"], &note["confidence"]), (&"note".into(), &"proven".into()), "{note}");
    assert_eq!((&note["class"], &note["health_port_seen"]), (&"nlb_probe".into(), &note["port"]), "{note}");
    assert_ne!(note["health_port_given"], note["health_port_seen"], "{note}");
    assert!(hints(&verdict).any(|hint| hint.starts_with("--health-port")), "{verdict}");
}

#[test]
fn a_port_that_is_not_checked_is_named_and_the_verdict_goes_by_the_other_ipv4() {
    a_port_that_is_not_checked(Family::V4);
}

#[test]
fn a_port_that_is_not_checked_is_named_and_the_verdict_goes_by_the_other_ipv6() {
    a_port_that_is_not_checked(Family::V6);
}

/// A node tests the targets of a TLS listener like that, too.
#[test]
fn health_checks_without_a_word_on_another_port_are_followed_and_not_called_healthy() {
    let (verdict, notes) = said_of_the_port(Family::V4, Speech::Tcp, false, "inconclusive");
    assert_eq!(notes.last().expect("a note")["confidence"], "inferred");
    assert!(verdict["reasons"].to_string().contains("connectivity tests"), "{verdict}");
}

/// Another target group's health checks come to the traffic port, say.
#[test]
fn a_port_that_is_checked_is_left_as_it_was_said() {
    let (verdict, notes) = said_of_the_port(Family::V4, Speech::Http, true, "healthy");
    assert_eq!(hints(&verdict).count(), 0, "{verdict}");
    assert!(notes.is_empty(), "{notes:?}");
}

/// What is said of `--client-ip translated` while clients come so: with their own address, or with a node's.
fn said_of_translated(family: Family, own: bool) -> Option<String> {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let arguments = format!(
        "--port {} --nlb {a} {b} --client {} --client-ip translated --health-interval {}ms --interval 400ms",
        plan.port,
        plan.client.subnet,
        plan.interval.as_millis()
    );
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let check = Check::every(plan.interval, Speech::Tcp);
    let _probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    let _clients = if own {
        Clients::start(&lab.client, &plan.client.addresses[..3], plan.target(), 40)
    } else {
        Clients::start(&lab.nodes[0], &[a], plan.target(), 40)
    };
    let verdict = agent.wait_until("a healthy verdict after some clients", PATIENCE, |lines| {
        let reports = lines.iter().filter(|line| line["kind"] == "report");
        let of_clients = |line: &Value| {
            line[if line["class"] == "client" { "served" } else { "clients_ended" }].as_u64().unwrap_or(0)
        };
        let last = lines.iter().rev().find(|line| line["kind"] == "verdict");
        let is_healthy = |line: &&Value| line["state"] == "healthy";
        (reports.map(of_clients).sum::<u64>() >= 40).then_some(last.filter(is_healthy)?.clone())
    });
    agent.stop();
    hints(&verdict).find(|hint| hint.contains("--client-ip translated")).map(str::to_owned)
}

#[test]
fn clients_that_keep_their_addresses_although_they_were_said_not_to_are_named() {
    let hint = said_of_translated(Family::V4, true).expect("a hint");
    assert!(hint.contains("with addresses of their own"), "{hint}");
}

#[test]
fn clients_that_carry_a_nodes_address_as_was_said_are_passed_over() {
    assert_eq!(said_of_translated(Family::V6, false), None);
}
