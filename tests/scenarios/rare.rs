//! Findings that few will see, each with what only looks like it.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    thread::sleep,
    time::Duration,
};

use agent::domain::finding::Code;
use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    client::Clients,
    flood,
    frame::{Frame, Link},
    nlb::{Belief, Check, Node, Speech},
    plan::{Family, Plan},
    shell,
    topology::Topology,
    wait,
};
use serde_json::Value;

use crate::{
    asked::Asked,
    expected::{Expected, wait_verdict},
    row::{HEALTHY, PATIENCE, Row, UNHEALTHY, nodes, recording, rows},
    turns,
};

/// Sends a SYN from this address whose TCP checksum is wrong, as a broken middlebox or driver makes them.
pub fn send_damaged(lab: &Topology, from: IpAddr) {
    let plan = &lab.plan;
    let link = Link {
        source: flood::hardware_address(&lab.fabric, "task"),
        destination: flood::hardware_address(&lab.task, &plan.task.interface),
        tags: Vec::new(),
    };
    let mut frame = Frame::syn(from, 45_678, plan.target()).on(&link);
    // The checksum is at 16 of the 20 bytes of the header, which ends the frame.
    let at = frame.len() - 4;
    frame[at] ^= 0x55;
    flood::send(&lab.fabric, "task", &[frame], 1, 0);
}

/// Clients are served all the time, and one in so many of their SYNs is damaged. What is said of it in the end.
fn checksums(family: Family, every: u64, times: u32, fault: bool) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let arguments = format!(
        "--port {} --nlb {} --client {} --client-ip preserved --health-interval {}ms --interval 200ms",
        plan.port,
        plan.node(0),
        plan.client.subnet,
        plan.interval.as_millis()
    );
    let mut agent = Agent::trace(&lab.task, &[words(&arguments), recording()].concat());
    let check = Check::every(plan.interval, Speech::Tcp);
    let _node = Node::start(&lab.nodes[0], plan.node(0), plan.target(), check);
    let clients = Clients::start(&lab.client, &plan.client.addresses[..3], plan.target(), 80);
    wait_verdict(&mut agent, "healthy");
    for _ in 0..times {
        let (before, _) = clients.counts();
        wait::until("clients between two damaged ones", PATIENCE, || clients.counts().0 >= before + every);
        send_damaged(&lab, plan.client.addresses[3]);
    }
    // The latest one is read, too.
    sleep(Duration::from_millis(500) * wait::pace());
    let is_said = |line: &Value| line["code"] == "bad_checksum" && line["state"] != "cleared";
    let said = agent.lines().iter().rfind(|line| is_said(line)).cloned();
    let ended = agent.stop();
    let said = said.unwrap_or_else(|| panic!("nothing is said of it: {}", ended.text));
    let severity = if fault { "fault" } else { "note" };
    assert_eq!((&said["severity"], &said["confidence"]), (&severity.into(), &"proven".into()), "{said}");
    assert_eq!((&said["class"], &said["place"]), (&"client".into(), &"host network".into()), "{said}");
    let mut others =
        ended.lines.iter().filter(|line| line["severity"] == "fault" && line["confidence"] != "suspected");
    assert!(others.all(|line| fault && line["code"] == "bad_checksum"), "{}", ended.text);
}

#[test]
pub fn checksums_are_wrong_ipv4() {
    checksums(Family::V4, 4, 20, true);
}

#[test]
pub fn checksums_are_wrong_ipv6() {
    checksums(Family::V6, 4, 20, true);
}

/// Fewer than one in a hundred, also of what an emulated machine sends within a window.
#[test]
pub fn a_checksum_is_wrong_now_and_then_ipv4() {
    checksums(Family::V4, 300, 3, false);
}

#[test]
pub fn a_checksum_is_wrong_now_and_then_ipv6() {
    checksums(Family::V6, 300, 3, false);
}

/// Other packets for a while: on an interface that receives nothing, nothing is missed.
pub fn chatter(lab: &Topology) {
    let from = SocketAddr::new(lab.plan.client.addresses[3], 0);
    let socket = lab.client.run(|| UdpSocket::bind(from)).expect("a socket");
    let to = SocketAddr::new(lab.plan.task.address(), 9);
    std::thread::spawn(move || {
        for _ in 0..100 {
            // Refused by whoever does not listen there, which does not matter.
            let _sent_or_refused = socket.send_to(b"?", to);
            sleep(Duration::from_millis(200));
        }
    });
}

/// An IPsec policy of the host lets nothing of these sources in: the network layers drop it, and no firewall does.
pub fn refuse_by_policy(lab: &Topology, sources: &[IpAddr]) {
    for source in sources {
        let (length, any) = if source.is_ipv4() { (32, "0.0.0.0/0") } else { (128, "::/0") };
        shell::ip(
            &lab.task,
            &format!("xfrm policy add dir in src {source}/{length} dst {any} proto 6 action block"),
        );
    }
}

rows! {
    a_policy_of_the_host_drops_one_node => Row {
        after: Some(|lab| refuse_by_policy(lab, &[lab.plan.node(0)])),
        expected: |plan| vec![Expected::of_probes("host_drop", "proven", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    a_policy_of_the_host_is_about_others => Row {
        near: &[Code::HostDrop],
        after: Some(|lab| {
            let nobody = match lab.plan.family {
                Family::V4 => "192.0.2.99",
                Family::V6 => "2001:db8::9999:9999",
            };
            refuse_by_policy(lab, &[nobody.parse().expect("an address")]);
        }),
        ..HEALTHY
    };

    /// What a deregistration looks like from here: nodes and clients leave together.
    everybody_leaves_together => Row {
        near: &[Code::ProbesStopped],
        after: Some(|lab| {
            chatter(lab);
            lab.block(&format!("tcp dport {}", lab.plan.port));
        }),
        expected: |plan| vec![Expected {
            severity: "note",
            ..Expected::of_probes("probes_withdrawn", "inferred", &nodes(plan))
        }],
        beliefs: UNHEALTHY,
        verdict: "inconclusive",
        asked: Asked::LateAs("nothing_arrives", 1),
        ..HEALTHY
    };

    /// Only the nodes do: that may be a deregistration, too, and is no more than suspected for two minutes.
    all_nodes_leave_and_clients_go_on => Row {
        near: &[Code::ProbesStopped, Code::ProbesWithdrawn],
        after: Some(|lab| lab.block_towards_task(&nodes(&lab.plan))),
        expected: |plan| vec![Expected::of_probes("probes_stopped", "suspected", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "inconclusive",
        asked: Asked::LateAs("probes_missing", 1),
        ..HEALTHY
    };
}

/// As often as AWS checks at most: no shorter interval is learned.
const INTERVAL: Duration = Duration::from_secs(5);

/// One node probes on and on; the other does so, too, or makes two probes only. What is said of the other until the rhythm of
/// the first has been known for more than three intervals.
fn said_of_the_other(family: Family, goes_on: bool) -> Vec<Value> {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let arguments = format!("--port {} --nlb {a} {b} --client-ip preserved --interval 1s", plan.port);
    let mut agent = Agent::trace(&lab.task, &[words(&arguments), recording()].concat());
    let check = Check::every(INTERVAL, Speech::Tcp);
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
    ended.lines.iter().filter(about).cloned().collect()
}

/// The interval is known from the node that goes on.
fn is_missed(family: Family) {
    let said = said_of_the_other(family, false);
    let partial = said.iter().find(|line| line["code"] == "probes_partial").expect("it is said");
    assert_eq!(
        (&partial["severity"], &partial["confidence"]),
        (&"fault".into(), &"inferred".into()),
        "{partial}"
    );
    assert!(said.iter().all(|line| line["code"] == "probes_partial"), "{said:?}");
}

#[test]
pub fn a_node_that_was_seen_twice_only_is_missed_while_another_goes_on_ipv4() {
    is_missed(Family::V4);
}

#[test]
pub fn a_node_that_was_seen_twice_only_is_missed_while_another_goes_on_ipv6() {
    is_missed(Family::V6);
}

#[test]
pub fn a_node_that_goes_on_is_not_missed_ipv4() {
    assert_eq!(said_of_the_other(Family::V4, true), Vec::<Value>::new());
}

#[test]
pub fn a_node_that_goes_on_is_not_missed_ipv6() {
    assert_eq!(said_of_the_other(Family::V6, true), Vec::<Value>::new());
}

/// Refused twice before the application listens: at fault as soon as it does, until one is served.
fn starts(family: Family, is_late: bool) -> Vec<Value> {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let start_app = || App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let early = (!is_late).then(start_app);
    // Slow enough to see the application listen before the next probe.
    let interval = 3 * plan.interval;
    let arguments = format!(
        "--port {} --nlb {} --client-ip preserved --health-interval {}ms --interval 100ms",
        plan.port,
        plan.node(0),
        interval.as_millis()
    );
    let mut agent = Agent::trace(&lab.task, &[words(&arguments), recording()].concat());
    let check = Check::every(interval, Speech::Tcp);
    let node = Node::start(&lab.nodes[0], plan.node(0), plan.target(), check);
    wait::until("two of its probes", PATIENCE, || node.record().sent >= 2);
    let late = is_late.then(|| {
        agent.wait_for("the refusal", PATIENCE, |line| line["code"] == "no_listener");
        start_app()
    });
    if is_late {
        agent.wait_for("the late start", PATIENCE, |line| {
            line["code"] == "slow_start" && line["severity"] == "fault"
        });
    }
    wait_verdict(&mut agent, "healthy");
    let ended = agent.stop();
    drop((early, late, node));
    ended.lines.into_iter().filter(|line| line["code"] == "slow_start").collect()
}

fn is_at_fault_until_it_has_served(family: Family) {
    let said = starts(family, true);
    assert_eq!(said[0]["confidence"], "proven");
    let last = said.iter().rfind(|line| line["state"] != "cleared").expect("it is said");
    assert_eq!(last["severity"], "note", "once it is served: {said:?}");
}

#[test]
pub fn an_application_that_listens_late_is_at_fault_until_it_has_served_ipv4() {
    is_at_fault_until_it_has_served(Family::V4);
}

#[test]
pub fn an_application_that_listens_late_is_at_fault_until_it_has_served_ipv6() {
    is_at_fault_until_it_has_served(Family::V6);
}

#[test]
pub fn an_application_that_listens_in_time_is_not_ipv4() {
    assert_eq!(starts(Family::V4, false), Vec::<Value>::new());
}

#[test]
pub fn an_application_that_listens_in_time_is_not_ipv6() {
    assert_eq!(starts(Family::V6, false), Vec::<Value>::new());
}
