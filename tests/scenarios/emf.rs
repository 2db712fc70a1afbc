//! `--output emf`: one document per interval while all is well, more while something is wrong, and never an address in it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use lab::{
    agent::{Agent, Ended, words},
    app::{App, Listen},
    http::{get, sample},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    schema,
    topology::Topology,
    wait,
    witness::Witness,
};
use serde_json::Value;

use crate::{row::PATIENCE, turns};

/// What docs/cloudwatch.md computes the cost from: an hour of a default run while nothing is wrong.
const BYTES_PER_HOUR: usize = 48_000;

/// CloudWatch Logs bills each event with this many bytes more.
const EVENT_OVERHEAD_BYTES: usize = 26;

struct Scene {
    lab: Topology,
    _app: App,
}

impl Scene {
    fn new(family: Family) -> Self {
        let lab = Topology::new(Plan::draw(family));
        let plan = &lab.plan;
        let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
        Self { _app: app, lab }
    }

    fn probe(&self) -> Vec<Node> {
        let plan = &self.lab.plan;
        let check = Check::every(plan.interval, Speech::Tcp);
        let start =
            |number: usize| Node::start(&self.lab.nodes[number], plan.node(number), plan.target(), check);
        vec![start(0), start(1)]
    }

    fn agent(&self, interval: &str) -> Agent {
        let plan = &self.lab.plan;
        let text = format!(
            "trace --output emf --interval {interval} --port {} --nlb {} {} --client-ip preserved --health-interval {}ms",
            plan.port,
            plan.node(0),
            plan.node(1),
            plan.interval.as_millis()
        );
        let mut agent = Agent::start(&self.lab.task, &words(&text));
        agent.wait_for("the agent to watch", PATIENCE, |line| line["kind"] == "start");
        agent
    }
}

fn of_kind<'a>(lines: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["kind"] == kind)
}

fn sum(lines: &[Value], metric: &str) -> u64 {
    of_kind(lines, "metrics").filter_map(|line| line[metric].as_u64()).sum()
}

fn healthy(family: Family) {
    let _turn = turns::share();
    let scene = Scene::new(family);
    let plan = scene.lab.plan.clone();
    let nodes = [plan.node(0), plan.node(1)];
    let witness = Witness::new(&scene.lab.task, family, &nodes, plan.port);
    let mut agent = scene.agent("1s");
    let probers = scene.probe();
    agent.wait_until("five documents of health", PATIENCE, |lines| {
        (of_kind(lines, "metrics").filter(|line| line["verdict"] == "healthy").count() >= 5).then_some(())
    });
    drop(probers);
    let Ended { status, lines, text, errors } = agent.stop();
    assert_eq!((status.code(), errors.as_str()), (Some(0), ""), "{text}");

    // The last document and the last words come at the end, however long ago the one before was.
    let kinds: Vec<_> = lines.iter().rev().take(2).map(|line| line["kind"].as_str().unwrap_or("")).collect();
    assert_eq!(kinds, ["stop", "metrics"], "{text}");
    // Every SYN is in exactly one document.
    let sent: u64 = nodes.iter().map(|node| witness.syns(*node)).sum();
    assert_eq!((sum(&lines, "ProbeSynArrived"), sum(&lines, "ClientSynArrived")), (sent, 0), "{text}");
    // What came before the first probe may have been a suspicion; once it is healthy there is nothing but documents.
    let healthy = lines.iter().position(|line| line["kind"] == "metrics" && line["verdict"] == "healthy");
    let rest = &lines[healthy.expect("it was healthy")..lines.len() - 1];
    let documents: Vec<_> = text
        .lines()
        .filter(|line| line.contains("\"verdict\":\"healthy\"") && line.contains("_aws"))
        .collect();
    assert!(rest.iter().all(|line| line["kind"] == "metrics"), "{text}");
    for document in &documents {
        for side in [&plan.task, &plan.client, &plan.nodes[0], &plan.nodes[1]] {
            for address in &side.addresses {
                assert!(!document.contains(&address.to_string()), "{address} in {document}");
            }
        }
    }
    let longest = documents.iter().map(|document| document.len() + 1).max().expect("a document");
    let bytes = 60 * (longest + EVENT_OVERHEAD_BYTES);
    assert!(bytes <= BYTES_PER_HOUR, "{bytes} bytes an hour");
    eprintln!("{bytes} bytes an hour, of documents of {longest} bytes");
}

#[test]
fn a_healthy_target_costs_one_short_document_per_interval_ipv4() {
    healthy(Family::V4);
}

#[test]
fn a_healthy_target_costs_one_short_document_per_interval_ipv6() {
    healthy(Family::V6);
}

#[test]
fn a_fault_is_counted_and_told_with_its_sources_and_no_longer_than_it_lasts() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let plan = scene.lab.plan.clone();
    let mut agent = scene.agent("1s");
    let _probers = scene.probe();
    let last = |lines: &[Value], verdict: &str| {
        let last = of_kind(lines, "metrics").last().cloned();
        last.filter(|line| line["verdict"] == verdict)
    };
    agent.wait_until("health", PATIENCE, |lines| last(lines, "healthy"));
    scene.lab.firewall("input", &format!("tcp dport {} drop", plan.port));
    let document = agent.wait_until("the fault", PATIENCE, |lines| last(lines, "fault"));
    assert_eq!((&document["Fault"], &document["Heartbeat"]), (&1.into(), &1.into()), "{document}");
    assert_eq!(document["findings"], serde_json::json!(["host_firewall"]), "{document}");
    let finding = agent.wait_for("the finding", PATIENCE, |line| line["code"] == "host_firewall");
    assert_eq!((&finding["state"], &finding["confidence"]), (&"opened".into(), &"proven".into()));
    agent.wait_for("the sources", PATIENCE, |line| {
        line["kind"] == "report" && line["source"] == plan.node(1).to_string().as_str()
    });
    scene.lab.firewall_off();
    agent.wait_until("health again", PATIENCE, |lines| last(lines, "healthy"));
    let ended = agent.stop();
    let (dropped, text) = (sum(&ended.lines, "SynDropped"), &ended.text);
    assert!(dropped > 0 && ended.status.code() == Some(0), "{text}");
    let states: Vec<_> = of_kind(&ended.lines, "finding")
        .filter(|line| line["code"] == "host_firewall")
        .map(|line| line["state"].as_str().unwrap_or(""))
        .collect();
    assert_eq!(states, ["opened", "cleared"], "told when it opens and clears, and not in between: {text}");
    // No line about a source once the fault is over.
    let cleared = ended.lines.iter().rposition(|line| line["state"] == "cleared").expect("it cleared");
    let late: Vec<_> = of_kind(&ended.lines[cleared..], "report").collect();
    assert!(late.is_empty(), "{late:?}\n{text}");
}

#[test]
fn a_target_that_is_gone_has_no_heartbeat() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let interface = scene.lab.plan.task.interface.clone();
    let text =
        format!("trace --output emf --interval 200ms --on-blind stay --port 80 --interface {interface}");
    let mut agent = Agent::start(&scene.lab.task, &words(&text));
    agent.wait_for("a heartbeat", PATIENCE, |line| line["Heartbeat"] == 1);
    lab::shell::ip(&scene.lab.task, &format!("link delete {interface}"));
    let document = agent.wait_for("no heartbeat", PATIENCE, |line| line["Heartbeat"] == 0);
    assert_eq!((&document["verdict"], document.get("Fault")), (&"cannot_observe".into(), None), "{document}");
    let ended = agent.stop();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.text);
    let blind = of_kind(&ended.lines, "verdict").filter(|line| line["state"] == "cannot_observe").count();
    assert_eq!(blind, 1, "why is said once: {}", ended.text);
}

/// Memory of a process that is its own, in KiB.
fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The queue in front of standard output holds for this format, too: bounded, the oldest goes, losses are counted and told.
#[test]
fn a_reader_that_does_not_read_costs_the_oldest_documents_and_they_are_counted() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let listen = SocketAddr::from(([127, 0, 0, 1], 9400));
    let mut command = Command::new(lab::agent::binary());
    command.args(["trace", "--port", "80", "--interval", "10ms", "--output", "emf", "--listen", "9400"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = scene.lab.task.spawn(&mut command);
    let pipe = child.stdout.take().expect("its standard output is a pipe");
    let lost = || {
        let page = get(&scene.lab.task, listen, "/metrics").ok()?;
        sample(&page.body, "hct_output_lines_lost_total")
    };
    wait::until("the agent to answer", PATIENCE, || lost() == Some(0.0));
    let before = resident_kib(child.id());
    // A MiB of documents, one every 10 ms.
    wait::until("lines to be lost", PATIENCE * 2, || lost().is_some_and(|lost| lost > 100.0));
    let after = resident_kib(child.id());
    // The queue's MiB, and as much again for whatever the allocator keeps.
    assert!(after < before + 3 * 1024, "it grew from {before} to {after} KiB");
    let page = get(&scene.lab.task, listen, "/healthz").expect("it still answers");
    assert_eq!(page.status, 200, "it still watches: {page:?}");

    let mut lines = BufReader::new(pipe).lines().map_while(Result::ok);
    let told = lines.by_ref().find_map(|line| {
        assert_eq!(schema::complaints(&line), "", "{line}");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        (line["kind"] == "loss" && line["output_lines"].as_u64() > Some(0)).then_some(line)
    });
    assert!(told.is_some(), "the loss is told");
    let document = lines.find(|line| line.contains("_aws")).expect("a document");
    assert!(document.contains("\"lost\":"), "{document}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .expect("a signal");
    // It reads on to the end, so that nothing holds the agent up.
    lines.for_each(drop);
    let status =
        wait::for_some("the agent to end", Duration::from_secs(15), || child.try_wait().expect("its state"));
    assert_eq!(status.code(), Some(0));
}
