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
    matrix,
    row::{ClientPath, HEALTHY, Kind, PATIENCE, Row, UNHEALTHY, nodes, recording, rows},
    strangers::{hits, send_as_stranger, stranger},
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
fn checksums(row: &Row, family: Family, every: u64, times: u32) {
    let fault = row.kind() == Kind::Fault;
    let is_shared = row.clients == ClientPath::Translated;
    matrix::forget();
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let mut arguments = format!(
        "--port {} --nlb {} --health-interval {}ms --interval 200ms",
        plan.port,
        plan.node(0),
        plan.interval.as_millis()
    );
    let (class, from, target) = if is_shared {
        lab.translate_at_node(0);
        ("nlb_undecided", plan.node(0), (plan.node(0), plan.port).into())
    } else {
        arguments.push_str(&format!(" --client {} --client-ip preserved", plan.client.subnet));
        ("client", plan.client.addresses[3], plan.target())
    };
    let mut agent = Agent::trace(&lab.task, &[words(&arguments), recording()].concat());
    let check = Check::every(plan.interval, row.speech);
    let _node = Node::start(&lab.nodes[0], plan.node(0), plan.target(), check);
    let clients = Clients::start(&lab.client, &plan.client.addresses[..3], target, 80);
    wait_verdict(&mut agent, "healthy");
    for _ in 0..times {
        let (before, _) = clients.counts();
        wait::until("clients between two damaged ones", PATIENCE, || clients.counts().0 >= before + every);
        send_damaged(&lab, from);
    }
    // The latest one is read, too.
    sleep(Duration::from_millis(500) * wait::pace());
    let is_said = |line: &Value| line["code"] == "bad_checksum" && line["state"] != "cleared";
    let said = agent.lines().iter().rfind(|line| is_said(line)).cloned();
    let ended = agent.stop();
    let said = said.unwrap_or_else(|| panic!("nothing is said of it: {}", ended.text));
    let severity = if fault { "fault" } else { "note" };
    assert_eq!((&said["severity"], &said["confidence"]), (&severity.into(), &"proven".into()), "{said}");
    assert_eq!((&said["class"], &said["place"]), (&class.into(), &"host network".into()), "{said}");
    let mut others =
        ended.lines.iter().filter(|line| line["severity"] == "fault" && line["confidence"] != "suspected");
    assert!(others.all(|line| fault && line["code"] == "bad_checksum"), "{}", ended.text);
    // On a slow machine it may be over when the agent is stopped.
    let last = ended.lines.iter().rposition(is_said).expect("it was said");
    matrix::keep_by_hand(row, plan, &ended.lines[..=last]);
}

/// One SYN in a few.
pub const CHECKSUMS_ARE_WRONG: Row = Row {
    expected: |plan| vec![Expected::of_clients("bad_checksum", "proven", plan)],
    verdict: "fault",
    ..HEALTHY
};
/// The same over HTTP, with the node's address.
pub const CHECKSUMS_OF_A_NODE_ARE_WRONG: Row = Row {
    clients: ClientPath::Translated,
    speech: Speech::Http,
    expected: |plan| {
        let node = [plan.node(0).to_string()];
        let shared = Expected { sources: node.clone().into(), ..Expected::shared(plan) };
        vec![Expected::fault("bad_checksum", "proven", "nlb_undecided", node), shared]
    },
    ..CHECKSUMS_ARE_WRONG
};
/// Fewer than one in a hundred, also of what an emulated machine sends within a window.
pub const A_CHECKSUM_IS_WRONG: Row = Row {
    near: &[Code::BadChecksum],
    expected: |plan| {
        vec![Expected { severity: "note", ..Expected::of_clients("bad_checksum", "proven", plan) }]
    },
    ..HEALTHY
};

/// The same over HTTP, with the node's address.
pub const A_CHECKSUM_OF_A_NODE_IS_WRONG: Row = Row {
    clients: ClientPath::Translated,
    speech: Speech::Http,
    expected: |plan| {
        let note = |finding| Expected { severity: "note", ..finding };
        (CHECKSUMS_OF_A_NODE_ARE_WRONG.expected)(plan).into_iter().map(note).collect()
    },
    ..A_CHECKSUM_IS_WRONG
};

#[test]
pub fn checksums_are_wrong_ipv4() {
    checksums(&CHECKSUMS_ARE_WRONG, Family::V4, 4, 20);
}

#[test]
pub fn checksums_are_wrong_ipv6() {
    checksums(&CHECKSUMS_OF_A_NODE_ARE_WRONG, Family::V6, 4, 20);
}

#[test]
pub fn a_checksum_is_wrong_now_and_then_ipv4() {
    checksums(&A_CHECKSUM_IS_WRONG, Family::V4, 300, 3);
}

#[test]
pub fn a_checksum_is_wrong_now_and_then_ipv6() {
    checksums(&A_CHECKSUM_OF_A_NODE_IS_WRONG, Family::V6, 300, 3);
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
            let (family, stranger) = (lab.plan.family.nft(), stranger(lab.plan.family));
            refuse_by_policy(lab, &[stranger]);
            lab.firewall("input", &format!("{family} saddr {stranger} counter"));
            lab.firewall("output", &format!("{family} daddr {stranger} counter"));
            send_as_stranger(lab, 5);
            assert_eq!(hits(lab, "input"), 5, "they have to get past every rule");
            // An answer would be on its way by then.
            sleep(Duration::from_millis(100) * wait::pace());
            assert_eq!(hits(lab, "output"), 0, "the policy has to drop them");
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
