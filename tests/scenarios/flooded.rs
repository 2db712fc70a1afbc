//! A flood of clients on the addresses that health checks come from: every health check is told from it, and a fault of theirs is
//! named all the same.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use lab::{
    Netns,
    agent::{Agent, Ended, words},
    app::{Answer, App, Listen},
    client::ask,
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    shell,
    topology::{Topology, list},
    wait,
};
use serde_json::Value;

use crate::{
    expected::{Expected, open_findings, wait_verdict},
    judge::skipped_runs,
    row::PATIENCE,
    turns,
};

/// Threads that ask from each of the four nodes' addresses.
const THREADS: u32 = 2;

/// So many connections, so many a second.
#[derive(Clone, Copy)]
struct Flood {
    connections: u64,
    per_second: u32,
    /// Fewer a second would prove nothing.
    at_least: f64,
}

/// Twenty seconds of it.
const SUSTAINED: Flood = Flood { connections: 18_000, per_second: 900, at_least: 700.0 };

/// Five seconds of it, on a machine that has time for it.
const BURST: Flood = Flood { connections: 10_000, per_second: 2_000, at_least: 1_000.0 };

/// As fast as this machine goes, which is printed.
const GREAT: Flood = Flood { connections: 40_000, per_second: u32::MAX, at_least: 1_500.0 };

impl Flood {
    /// As many a second, for a part of the time.
    const fn in_short(self, part: u64) -> Self {
        Self { connections: self.connections / part, ..self }
    }

    /// Sends it from these addresses in turn; connections that were served, and how many a second.
    fn send(self, nodes: &[(&Netns, IpAddr)], target: SocketAddr) -> (u64, f64) {
        let (begun, served) = (AtomicU64::new(0), AtomicU64::new(0));
        let pause = Duration::from_secs(1) * wait::pace() * THREADS * nodes.len() as u32 / self.per_second;
        let began = Instant::now();
        let ask_on = |node: IpAddr| {
            let mut due = Instant::now();
            while begun.fetch_add(1, Ordering::Relaxed) < self.connections {
                served.fetch_add(u64::from(ask(node, target).is_ok()), Ordering::Relaxed);
                due += pause;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        };
        thread::scope(|scope| {
            for (namespace, node) in nodes {
                // A thread starts in the namespace of the one that makes it.
                namespace.run(|| (0..THREADS).for_each(|_| drop(scope.spawn(|| ask_on(*node)))));
            }
        });
        let served = served.into_inner();
        (served, served as f64 / began.elapsed().as_secs_f64())
    }
}

/// Two nodes live in each of the two namespaces: each of the lab's own has a neighbour in its subnet.
fn four_nodes(lab: &Topology) -> [(&Netns, IpAddr); 4] {
    let place = |at: usize| {
        let (namespace, side) = (&lab.nodes[at], &lab.plan.nodes[at]);
        // Beyond those that are drawn.
        let neighbour = match side.subnet {
            IpNet::V4(subnet) => subnet.hosts().nth(251).map(IpAddr::from),
            IpNet::V6(subnet) => subnet.hosts().nth(251).map(IpAddr::from),
        };
        let neighbour = neighbour.expect("subnets are large");
        let nodad = if neighbour.is_ipv6() { "nodad" } else { "" };
        let length = side.subnet.prefix_len();
        let interface = &side.interface;
        shell::ip(namespace, &format!("address add {neighbour}/{length} dev {interface} {nodad}"));
        [(namespace, side.address()), (namespace, neighbour)]
    };
    let ([a, b], [c, d]) = (place(0), place(1));
    [a, b, c, d]
}

/// What came of a flood.
struct Outcome {
    ended: Ended,
    /// Each node's address, and the probes it sent.
    sent: Vec<(IpAddr, u64)>,
    /// Connections of clients that were served.
    served: u64,
}

/// Four nodes probe; with `cut` the application closes the health checks of the last one unanswered. Clients flood all the while,
/// from the same addresses.
fn flooded(family: Family, flood: Flood, cut: bool) -> Outcome {
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let nodes = four_nodes(&lab);
    let addresses = nodes.map(|(_, address)| address);
    let answer = if cut { Answer::ChecksCut(addresses[3]) } else { Answer::Status(200) };
    let app = App::start(&lab.task, Listen { answer, ..Listen::on_all(plan.task.address(), plan.port) });
    let interval = Duration::from_millis(500) * wait::pace();
    let mut agent = Agent::trace(
        &lab.task,
        &words(&format!(
            "--port {} --nlb {} --interval 500ms --health-interval {}ms",
            plan.port,
            list(&addresses).replace(',', ""),
            interval.as_millis()
        )),
    );
    let check = Check { timeout: 10 * interval, ..Check::every(interval, Speech::Http) };
    let start = |(namespace, address): (&Netns, IpAddr)| {
        thread::sleep(interval / 4);
        Node::start(namespace, address, plan.target(), check)
    };
    let mut probers = Vec::new();
    if !cut {
        probers.extend(nodes.map(start));
        wait_verdict(&mut agent, "healthy");
        // Connections that ended before may have begun unseen: clients among them are not counted.
        thread::sleep(Duration::from_millis(2500));
    }
    let (served, rate) = thread::scope(|scope| {
        let flooding = scope.spawn(|| flood.send(&nodes, plan.target()));
        if cut {
            // In the midst of it the nodes begin.
            thread::sleep(Duration::from_secs(1));
            probers.extend(nodes.map(start));
            agent.wait_for("the fault", PATIENCE, |line| line["code"] == "app_reset");
            assert!(!flooding.is_finished(), "it was named only when the flood was over");
        }
        flooding.join().expect("no panic")
    });
    let sent: Vec<(IpAddr, u64)> =
        addresses.into_iter().zip(probers.into_iter().map(|node| node.stop().sent)).collect();
    agent.wait_until("every probe to be recognised", PATIENCE, |lines| {
        sent.iter().all(|(node, sent)| sum(lines, Some(*node), "probes_ended") >= *sent).then_some(())
    });
    let ended = agent.stop();
    drop(app);
    eprintln!("{sent:?} probes among {served} requests, {rate:.0} a second");
    assert!(rate * f64::from(wait::pace()) >= flood.at_least, "a flood of {rate:.0} a second is none");
    Outcome { ended, sent, served }
}

/// The sum of a count over all reports, of one source or of all.
fn sum(lines: &[Value], of: Option<IpAddr>, name: &str) -> u64 {
    let of = of.map(|address| address.to_string());
    let is_it = |line: &&Value| of.as_ref().is_none_or(|of| line["source"] == of.as_str());
    let reports = lines.iter().filter(|line| line["kind"] == "report").filter(is_it);
    reports.filter_map(|line| line[name].as_u64()).sum()
}

/// On a machine without an idle CPU the kernel may leave out runs of the agent's programs, and the agent says rightly that it is
/// not sure then: once more.
fn judged(family: Family, flood: Flood, cut: bool, judge: impl Fn(&Outcome)) {
    let _turn = turns::alone();
    let mut outcome = flooded(family, flood, cut);
    if skipped_runs(&outcome.ended.lines) {
        eprintln!("AGAIN: the kernel skipped runs of the agent's programs");
        outcome = flooded(family, flood, cut);
    }
    let Outcome { ended, sent, .. } = &outcome;
    for (node, sent) in sent {
        assert_eq!(sum(&ended.lines, Some(*node), "probes_ended"), *sent, "{node}\n{}", ended.text);
    }
    judge(&outcome);
}

/// The note that holds here, and nothing else, from the first sure verdict on.
fn every_probe_is_recognised(family: Family, flood: Flood) {
    judged(family, flood, false, |Outcome { ended, sent, served }| {
        // One that its client gave up on is a client's, too.
        assert!(sum(&ended.lines, None, "clients_ended") >= *served, "{}", ended.text);
        let sources = sent.iter().map(|(node, _)| node.to_string());
        let note = Expected {
            severity: "note",
            ..Expected::fault("shared_source", "proven", "nlb_undecided", sources)
        };
        assert_eq!(open_findings(&ended.lines), [note].into(), "{}", ended.text);
        let first =
            ended.lines.iter().position(|line| line["kind"] == "verdict" && line["state"] == "healthy");
        let since = &ended.lines[first.expect("it was waited for")..];
        let is_other = |line: &&Value| match line["kind"].as_str() {
            Some("finding") => line["code"] != "shared_source",
            Some("verdict") => line["state"] != "healthy",
            _ => false,
        };
        assert_eq!(since.iter().find(is_other), None, "{}", ended.text);
        assert_eq!(ended.lines.last().expect("a last line")["verdict"], "healthy");
    });
}

/// The one node is named, and nobody else is blamed.
fn a_fault_is_named(family: Family, flood: Flood) {
    judged(family, flood, true, |Outcome { ended, sent, .. }| {
        let cut = [sent[3].0.to_string()];
        let fault = Expected::fault("app_reset", "proven", "nlb_probe", cut);
        let open = open_findings(&ended.lines);
        let faults: Vec<_> = open.iter().filter(|finding| finding.severity == "fault").collect();
        assert_eq!(faults, [&fault], "{}", ended.text);
        let is_other = |line: &&Value| {
            let is_absence = ["probes_missing", "nothing_arrives"].iter().any(|code| line["code"] == *code);
            line["kind"] == "finding"
                && line["severity"] == "fault"
                && line["code"] != "app_reset"
                // Before the nodes begin nobody probes.
                && !(is_absence && (line["confidence"] == "suspected" || line["state"] == "cleared"))
        };
        assert_eq!(ended.lines.iter().find(is_other), None, "{}", ended.text);
        assert_eq!(ended.lines.last().expect("a last line")["verdict"], "fault");
    });
}

#[test]
fn nine_hundred_a_second_hide_no_probe() {
    every_probe_is_recognised(Family::V4, SUSTAINED);
}

#[test]
fn ten_thousand_in_a_burst_hide_no_probe() {
    every_probe_is_recognised(Family::V6, BURST);
}

#[test]
fn a_great_flood_hides_no_probe() {
    every_probe_is_recognised(Family::V6, GREAT);
}

#[test]
fn nine_hundred_a_second_hide_no_fault() {
    a_fault_is_named(Family::V6, SUSTAINED.in_short(2));
}

#[test]
fn ten_thousand_in_a_burst_hide_no_fault() {
    a_fault_is_named(Family::V4, BURST);
}
