//! The life of a task, from metadata that tell its age to the signal that ends it: what absence means in it.

use std::{net::UdpSocket, thread, thread::sleep, time::Duration};

use lab::{
    agent::Ended,
    app::{App, Listen},
    client::Clients,
    metadata::{Manner, Metadata, task_page},
    nlb::{Belief, Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
};
use serde_json::Value;

use crate::{
    expected::{open_findings, wait_verdict},
    metadata::trace,
    row::{PATIENCE, nodes},
    turns,
};

/// Long registered.
const OLD: Duration = Duration::from_secs(3600);

/// Registration takes up to 180 s.
const YOUNG: Duration = Duration::from_secs(20);

/// Who comes to a task of which no node ever makes a health check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// Clients with their own addresses.
    Clients,
    /// Nobody to the watched port; the interface receives other packets.
    Nobody,
}

/// What is told of the age of the task, and how it ends: by SIGTERM once absence has lasted for longer than it takes to be sure.
fn never_probed(family: Family, age: Duration, comes: Comes) -> (Topology, Ended) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let page = task_page(plan.task.address(), &plan.task.subnet.to_string(), age);
    let ecs = Metadata::start(&lab.task, page, Manner::Answers);
    let [a, b] = nodes(plan);
    let (mut agent, _) = trace(
        &lab,
        Some(&ecs),
        None,
        &format!(
            "--port {} --nlb {a} {b} --client {} --client-ip preserved --health-interval {}ms --interval 400ms",
            plan.port,
            plan.client.subnet,
            plan.interval.as_millis()
        ),
    );
    let port = if comes == Comes::Clients { plan.port } else { plan.other_port };
    let target = (plan.task.address(), port).into();
    let clients = Clients::start(&lab.client, &plan.client.addresses[..3], target, 40);
    let code = if comes == Comes::Clients { "probes_missing" } else { "nothing_arrives" };
    agent.wait_until("absence for longer than it takes to be sure", PATIENCE, |lines| {
        let is_late = |line: &&Value| {
            line["watched_seconds"].as_f64() > Some((plan.interval * 5).as_secs_f64()) && line["code"] == code
        };
        lines.iter().any(|line| is_late(&line)).then_some(())
    });
    let ended = agent.stop();
    drop((clients, app));
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{}", ended.text);
    (lab, ended)
}

/// Where the age leaves room for it, absence is suspected and not more; told to stop, it says what never came.
fn is_suspected_only(family: Family, comes: Comes) {
    let (lab, ended) = never_probed(family, YOUNG, comes);
    let faults: Vec<&Value> = faults(&ended.lines).collect();
    assert!(!faults.is_empty() && faults.iter().all(|line| line["confidence"] == "suspected"), "{faults:?}");
    assert_eq!(
        ended.lines.iter().find(|line| line["kind"] == "verdict" && line["state"] == "fault"),
        None,
        "{}",
        ended.text
    );
    let [a, b] = nodes(&lab.plan).map(|node| node.to_string());
    let open = open_findings(&ended.lines);
    assert!(
        open.iter().any(|finding| finding.sources.contains(&a) && finding.sources.contains(&b)),
        "it is still said in the end\n{}",
        ended.text
    );
    let stop = stopped(&ended, &["inconclusive"]);
    assert!(stop.contains("no SYN from any NLB node"), "{stop}");
    let of_clients =
        if comes == Comes::Clients { " SYNs from any client, " } else { "no SYN from any client" };
    assert!(stop.contains(of_clients), "{stop}");
}

/// The same silence, and nothing to excuse it.
fn is_inferred(family: Family, comes: Comes) {
    let (_, ended) = never_probed(family, OLD, comes);
    let code = if comes == Comes::Clients { "probes_missing" } else { "nothing_arrives" };
    let sure: Vec<&Value> = faults(&ended.lines).filter(|line| line["confidence"] == "inferred").collect();
    assert!(!sure.is_empty() && sure.iter().all(|line| line["code"] == code), "{}", ended.text);
    assert!(ended.lines.iter().all(|line| line["task_age_seconds"].is_null()), "{}", ended.text);
    let stop = stopped(&ended, &["fault"]);
    assert!(stop.contains("no SYN from any NLB node"), "{stop}");
}

fn faults(lines: &[Value]) -> impl Iterator<Item = &Value> {
    lines.iter().filter(|line| line["kind"] == "finding" && line["severity"] == "fault")
}

/// The last words of one that ended by SIGTERM with one of these verdicts.
#[track_caller]
fn stopped(ended: &Ended, verdicts: &[&str]) -> String {
    let stop = ended.lines.last().expect("a last line");
    assert_eq!((&stop["kind"], &stop["reason"]), (&"stop".into(), &"SIGTERM".into()), "{}", ended.text);
    assert!(verdicts.iter().any(|verdict| stop["verdict"] == *verdict), "{}", ended.text);
    stop["summary"].as_str().expect("a text").to_owned()
}

#[test]
fn a_young_task_without_health_checks_is_told_to_stop_ipv4() {
    is_suspected_only(Family::V4, Comes::Clients);
}

#[test]
fn a_young_task_without_health_checks_is_told_to_stop_ipv6() {
    is_suspected_only(Family::V6, Comes::Clients);
}

#[test]
fn a_young_task_to_which_nobody_comes_is_told_to_stop() {
    is_suspected_only(Family::V4, Comes::Nobody);
}

#[test]
fn an_old_task_without_health_checks_is_told_to_stop() {
    is_inferred(Family::V6, Comes::Clients);
}

#[test]
fn an_old_task_to_which_nobody_comes_is_told_to_stop() {
    is_inferred(Family::V4, Comes::Nobody);
}

/// How clients of a task come that is deployed anew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    /// With their own addresses.
    Kept,
    /// With the nodes' addresses.
    Shared,
    /// Not at all: the service is quiet.
    Nobody,
}

/// Nodes and clients of a healthy task leave together, as in a deploy. After so many intervals the application ends, and in the
/// same moment the agent is told to stop.
fn deploy(family: Family, path: Path, age: Duration, drains_for: u32) -> Ended {
    let shared = path == Path::Shared;
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    if shared {
        lab.translate_at_node(0);
        lab.translate_at_node(1);
    }
    let page = task_page(plan.task.address(), &plan.task.subnet.to_string(), age);
    let ecs = Metadata::start(&lab.task, page, Manner::Answers);
    let [a, b] = nodes(plan);
    let mut arguments = format!(
        "--port {} --nlb {a} {b} --health-interval {}ms --interval 400ms",
        plan.port,
        plan.interval.as_millis()
    );
    if !shared {
        arguments.push_str(&format!(" --client {} --client-ip preserved", plan.client.subnet));
    }
    if path == Path::Kept {
        arguments.push_str(" --expect-clients");
    }
    let (mut agent, _) = trace(&lab, Some(&ecs), None, &arguments);
    let check = Check::every(plan.interval, Speech::Http);
    let probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    let listeners = if shared { [a, b].map(|node| (node, plan.port).into()) } else { [plan.target(); 2] };
    let listeners = if path == Path::Nobody { Vec::new() } else { listeners.to_vec() };
    let start = |to| Clients::start(&lab.client, &plan.client.addresses[..3], to, 20);
    let clients: Vec<_> = listeners.into_iter().map(start).collect();
    wait_verdict(&mut agent, "healthy");
    // Long enough for a rhythm that may break off.
    sleep(8 * plan.interval);
    assert!(probers.iter().all(|node| node.belief() == Belief::Healthy));
    let served: u64 = thread::scope(|scope| {
        let nodes = probers.map(|node| scope.spawn(|| node.stop().passed));
        let clients: Vec<_> = clients.into_iter().map(|clients| scope.spawn(|| clients.stop().1)).collect();
        nodes.into_iter().for_each(|node| assert!(node.join().is_ok_and(|passed| passed > 0)));
        clients.into_iter().map(|clients| clients.join().expect("no panic")).sum()
    });
    assert_eq!(served > 0, path != Path::Nobody, "{served} clients were served: the lab is broken");
    others_go_on(&lab, drains_for * plan.interval);
    drop(app);
    let ended = agent.stop();
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{}", ended.text);
    ended
}

/// Packets to another port: on an interface that receives nothing, nothing is missed.
fn others_go_on(lab: &Topology, long: Duration) {
    let socket = lab.client.run(|| UdpSocket::bind((lab.plan.client.address(), 0))).expect("a socket");
    let (every, to) = (Duration::from_millis(100), (lab.plan.task.address(), 9));
    for _ in 0..long.as_millis().div_ceil(every.as_millis()) {
        // Refused by whoever does not listen there, which does not matter.
        let _sent_or_refused = socket.send_to(b"?", to);
        thread::sleep(every);
    }
}

/// No fault at any time, however long the last moments take; what is said of them is that everybody left.
fn raises_no_fault(family: Family, path: Path, age: Duration) {
    for (drains_for, is_noted) in [(1, false), (8, true)] {
        let ended = deploy(family, path, age, drains_for);
        let leaving: Vec<&Value> = faults(&ended.lines).collect();
        // Before the first probe of a node its absence may be suspected.
        let is_early = |line: &&Value| line["code"] == "probes_missing" && line["confidence"] == "suspected";
        assert!(leaving.iter().all(is_early), "{}\n{leaving:#?}", ended.text);
        let codes: Vec<_> = open_findings(&ended.lines).into_iter().map(|finding| finding.code).collect();
        assert_eq!(codes.contains(&"probes_withdrawn"), is_noted, "{codes:?}\n{}", ended.text);
        // What was served within the window still counts for as long as it lasts.
        let summary = stopped(&ended, if is_noted { &["healthy", "inconclusive"] } else { &["healthy"] });
        assert!(summary.contains(" SYNs from any NLB node, ") && !summary.contains("never"), "{summary}");
    }
}

#[test]
fn a_deploy_ends_an_old_task_without_a_fault() {
    raises_no_fault(Family::V4, Path::Kept, OLD);
}

#[test]
fn a_deploy_ends_an_old_task_behind_shared_addresses_without_a_fault() {
    raises_no_fault(Family::V6, Path::Shared, OLD);
}

#[test]
fn a_deploy_that_is_taken_back_ends_a_young_task_without_a_fault() {
    raises_no_fault(Family::V6, Path::Kept, YOUNG);
}

/// Nothing tells it from a security group that shuts out the nodes, and it happens far more often.
#[test]
fn a_deploy_ends_a_task_to_which_no_client_ever_came_without_a_fault() {
    raises_no_fault(Family::V4, Path::Nobody, OLD);
}
