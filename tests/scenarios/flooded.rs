//! A flood of clients on the addresses that health checks come from: every health check is told from it, and a fault of theirs is
//! named all the same.

use std::{
    any::Any,
    collections::BTreeMap,
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
    nginx::{Nginx, Site},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    shell,
    topology::{Topology, list},
    wait,
    witness::Witness,
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

/// So many connections a second.
#[derive(Clone, Copy)]
struct Flood {
    lasts: Duration,
    per_second: u32,
    /// Fewer a second would prove nothing.
    at_least: f64,
}

/// For longer than a conclusion takes.
const SUSTAINED: Flood = Flood { lasts: Duration::from_secs(20), per_second: 900, at_least: 700.0 };

/// Ten thousand a second, as far as this machine goes, which is printed: half of it has to come where nothing is emulated.
const BURST: Flood = Flood { lasts: Duration::from_secs(5), per_second: 10_000, at_least: 5_000.0 };

/// As fast as this machine goes, which is printed.
const GREAT: Flood = Flood { lasts: Duration::from_secs(5), per_second: u32::MAX, at_least: 1_500.0 };

impl Flood {
    /// As many a second, for a part of the time.
    fn in_short(self, part: u32) -> Self {
        Self { lasts: self.lasts / part, ..self }
    }

    /// Sends it from these addresses in turn; connections that were served, and how many a second.
    fn send(self, nodes: &[(&Netns, IpAddr)], target: SocketAddr) -> (u64, f64) {
        let served = AtomicU64::new(0);
        let pause = Duration::from_secs(1) * wait::pace() * THREADS * nodes.len() as u32 / self.per_second;
        let began = Instant::now();
        let ask_on = |node: IpAddr| {
            let mut due = Instant::now();
            while began.elapsed() < self.lasts {
                let answer = ask(node, target);
                served.fetch_add(u64::from(answer.is_ok_and(|answer| !answer.is_empty())), Ordering::Relaxed);
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

/// Who serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    /// The lab's own.
    App,
    Nginx,
    /// The lab's own; it closes the health checks of the last node unanswered.
    Cut,
}

impl Server {
    /// Serves until dropped.
    fn start(self, lab: &Topology, last: IpAddr) -> Box<dyn Any> {
        let (address, port) = (lab.plan.task.address(), lab.plan.port);
        let answer = if self == Self::Cut { Answer::ChecksCut(last) } else { Answer::Status(200) };
        match self {
            Self::Nginx => Box::new(Nginx::start(&lab.task, &Site::on(address, port))),
            Self::App | Self::Cut => {
                Box::new(App::start(&lab.task, Listen { answer, ..Listen::on_all(address, port) }))
            }
        }
    }
}

/// Ports that a node connects from: so few that in a burst each is taken again and again, while the task keeps it in TIME_WAIT.
const PORTS: (u16, u16) = (20_000, 21_999);

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
    /// Whether there were enough a second.
    is_flood: bool,
    /// SYNs as nftables counted them: from each node, and in all under no name.
    syns: BTreeMap<String, u64>,
}

/// Four nodes probe, and clients flood all the while from the same addresses.
fn flooded(family: Family, flood: Flood, server: Server) -> Outcome {
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let nodes = four_nodes(&lab);
    let addresses = nodes.map(|(_, address)| address);
    for node in &lab.nodes {
        shell::sysctl(node, "ipv4/ip_local_port_range", &format!("{} {}", PORTS.0, PORTS.1));
    }
    let served_by = server.start(&lab, addresses[3]);
    let witness = Witness::new(&lab.task, family, &addresses, plan.port);
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
    if server != Server::Cut {
        probers.extend(nodes.map(start));
        wait_verdict(&mut agent, "healthy");
        // Connections that ended before may have begun unseen: clients among them are not counted.
        thread::sleep(Duration::from_millis(2500));
    }
    let (served, rate) = thread::scope(|scope| {
        let flooding = scope.spawn(|| flood.send(&nodes, plan.target()));
        if server == Server::Cut {
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
    drop(served_by);
    eprintln!("{sent:?} probes among {served} requests, {rate:.0} a second");
    let pace = f64::from(wait::pace());
    let is_flood = rate * pace * pace >= flood.at_least;
    Outcome { ended, sent, served, is_flood, syns: witness.counts() }
}

/// The sum of a count over all reports, of one source or of all.
fn sum(lines: &[Value], of: Option<IpAddr>, name: &str) -> u64 {
    let of = of.map(|address| address.to_string());
    let is_it = |line: &&Value| of.as_ref().is_none_or(|of| line["source"] == of.as_str());
    let reports = lines.iter().filter(|line| line["kind"] == "report").filter(is_it);
    reports.filter_map(|line| line[name].as_u64()).sum()
}

/// On a machine without an idle CPU the kernel may leave out runs of the agent's programs, and the agent says rightly that it is
/// not sure then: once more. Nor may others leave enough of it for a flood.
fn judged(family: Family, flood: Flood, server: Server, judge: impl Fn(&Outcome)) {
    let _turn = turns::alone();
    let mut outcome = flooded(family, flood, server);
    if skipped_runs(&outcome.ended.lines) || !outcome.is_flood {
        eprintln!("AGAIN: the kernel skipped runs of the agent's programs, or it was no flood");
        outcome = flooded(family, flood, server);
    }
    assert!(outcome.is_flood, "so few a second are none");
    let Outcome { ended, sent, syns, .. } = &outcome;
    for (node, sent) in sent {
        let of_node = |name| sum(&ended.lines, Some(*node), name);
        assert_eq!(of_node("probes_ended"), *sent, "{node}\n{}", ended.text);
        assert_eq!(of_node("arrived"), syns[&node.to_string()], "{node}\n{}", ended.text);
    }
    judge(&outcome);
}

/// The note that holds here, and nothing else, from the first sure verdict on.
fn every_probe_is_recognised(family: Family, flood: Flood, server: Server) {
    judged(family, flood, server, |Outcome { ended, sent, served, .. }| {
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
    judged(family, flood, Server::Cut, |Outcome { ended, sent, .. }| {
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
    every_probe_is_recognised(Family::V4, SUSTAINED, Server::App);
}

/// Of nginx.
#[test]
fn ten_thousand_a_second_hide_no_probe() {
    every_probe_is_recognised(Family::V6, BURST, Server::Nginx);
}

#[test]
fn a_great_flood_hides_no_probe() {
    every_probe_is_recognised(Family::V6, GREAT, Server::App);
}

#[test]
fn nine_hundred_a_second_hide_no_fault() {
    a_fault_is_named(Family::V6, SUSTAINED.in_short(2));
}

#[test]
fn ten_thousand_a_second_hide_no_fault() {
    a_fault_is_named(Family::V4, BURST);
}
