//! What the agent fails to record is counted to the one, and keeps the verdict from being `healthy`.

use std::{io::ErrorKind, net::IpAddr, ops::Range, process::Command, thread::sleep, time::Duration};

use lab::{
    agent::{self, Agent, Ended, words},
    app::{App, Listen},
    flood,
    frame::{Frame, Link},
    kernel,
    nlb::{connect, in_vain},
    plan::{Family, Plan},
    topology::Topology,
};
use serde_json::Value;

use crate::{
    blind::{dropped_by, gives_drop_reasons, healthy_at_best},
    expected::arrived,
    row::{PATIENCE, nodes},
    turns,
};

/// More dropped SYNs than the ring buffer of the programs' lines has room for at a time: 128 KiB.
const MANY: u64 = 20_000;

pub fn lost(ended: &Ended, kind: &str) -> u64 {
    let line = ended.lines.iter().rev().find(|line| line["kind"] == "loss").expect("a line about loss");
    line[kind].as_u64().expect("a count")
}

/// SYNs from a source, `each` times, dropped by the host firewall.
fn send(lab: &Topology, source: IpAddr, each: u64) {
    let link = Link {
        source: flood::hardware_address(&lab.fabric, "task"),
        destination: flood::hardware_address(&lab.task, &lab.plan.task.interface),
        tags: Vec::new(),
    };
    let frame = Frame::syn(source, 41_000, lab.plan.target()).on(&link);
    std::thread::scope(|scope| {
        scope.spawn(|| flood::send(&lab.fabric, "task", &[frame], each, 0));
    });
}

#[test]
fn drops_beyond_the_table_are_counted() {
    let _turn = turns::share();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    lab.firewall("input", &format!("tcp dport {} drop", plan.port));
    let [a, b] = nodes(&plan);
    // Two places for (source, port, reason): the third and fourth source find none.
    let arguments = words(&format!(
        "--port {} --nlb {a} {b} --client {} --drop-entries 2 --interval 300ms",
        plan.port, plan.client.subnet
    ));
    let mut agent = Agent::trace(&lab.task, &arguments);
    for (source, each) in [(a, 5), (b, 7), (plan.client.address(), 11), ("198.51.100.7".parse().unwrap(), 13)]
    {
        send(&lab, source, each);
    }
    let blind = !gives_drop_reasons(&mut agent);
    agent.wait_for("the loss to be reported", PATIENCE, |line| line["kind"] == "loss" && line["drops"] != 0);
    let ended = agent.stop();
    assert_eq!(lost(&ended, "drops"), 11 + 13, "{}", ended.text);
    // What was filed before is right, and the verdict still names it.
    let dropped: u64 = ended
        .lines
        .iter()
        .filter(|line| line["kind"] == "report")
        .map(|line| dropped_by(line, "NETFILTER_DROP"))
        .sum();
    assert_eq!(dropped, 5 + 7, "{}", ended.text);
    let verdict = if blind { "inconclusive" } else { "fault" };
    assert_eq!(ended.lines.last().map(|line| &line["verdict"]), Some(&Value::from(verdict)));
}

/// The programs' own lines go through a ring buffer, which is small: those that find no room are gone, and nothing else is.
#[test]
fn a_full_ring_buffer_costs_lines_and_no_counts() {
    let _turn = turns::share();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    lab.firewall("input", &format!("tcp dport {} drop", plan.port));
    let [a, b] = nodes(&plan);
    let mut command = Command::new(agent::binary());
    // One place for drops, which the first one takes: each of the others is worth a line.
    command.args(words(&format!(
        "trace --output json --port {} --nlb {a} {b} --client {} --drop-entries 1 --interval 300ms",
        plan.port, plan.client.subnet
    )));
    command.args(kernel::arguments()).env("RUST_LOG", "debug");
    let mut agent = Agent::spawn(&lab.task, command);
    agent.wait_for("the agent to watch", agent::START, |line| line["kind"] == "start");
    send(&lab, a, 1);
    send(&lab, plan.client.address(), MANY);
    agent.wait_until("every SYN and drop to be counted", PATIENCE, |lines| {
        let loss = lines.iter().rev().find(|line| line["kind"] == "loss")?;
        let client = arrived(lines, plan.port).values().sum::<u64>();
        (loss["drops"] == MANY && client == 1 + MANY).then_some(())
    });
    let ended = agent.stop();
    assert_eq!(lost(&ended, "drops"), MANY, "{}", ended.text);
    let lines = ended.errors.lines().filter(|line| line.contains("drop table full")).count() as u64;
    assert!((1..MANY).contains(&lines), "{lines} lines of {MANY} found room");
}

#[test]
fn a_loss_alone_makes_the_verdict_inconclusive() {
    let _turn = turns::share();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    let [a, b] = nodes(&plan);
    // Strangers on the one hand fill the table, on the other are no concern of anybody.
    lab.firewall("input", "ip saddr { 198.51.100.7, 198.51.100.8 } drop");
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let arguments = words(&format!(
        "--port {} --nlb {a} {b} --client 198.51.100.8 --client-ip preserved --drop-entries 1 --interval 200ms \
         --health-interval 10s",
        plan.port
    ));
    let mut agent = Agent::trace(&lab.task, &arguments);
    for node in 0..2 {
        let _closed =
            lab.nodes[node].run(|| connect(plan.node(node), plan.target(), PATIENCE)).expect("served");
    }
    crate::expected::wait_verdict(&mut agent, healthy_at_best());
    for source in ["198.51.100.7", "198.51.100.8"] {
        send(&lab, source.parse().unwrap(), 3);
    }
    let told = agent.wait_for("the loss in the verdict", PATIENCE, |line| {
        line["kind"] == "verdict" && line["reasons"].to_string().contains("lost records")
    });
    assert_eq!(told["state"], "inconclusive");
    let ended = agent.stop();
    drop(app);
    assert_eq!(lost(&ended, "drops"), 3, "{}", ended.text);
}

/// So many ports beside one another, none of them the plan's.
fn unused_ports(plan: &Plan, count: u16) -> Range<u16> {
    let ranges = [31_000_u16, 41_000, 51_000].map(|first| first..first + count);
    let is_unused =
        |range: &Range<u16>| ![plan.port, plan.other_port].iter().any(|port| range.contains(port));
    ranges.into_iter().find(is_unused).expect("two ports lie in two ranges at most")
}

#[test]
fn connections_beyond_the_table_of_unwatched_ports_are_counted() {
    /// Entries of the table (agent-ebpf/src/maps/elsewhere.rs).
    const TABLE: u16 = 256;
    const MORE: u16 = 9;
    let _turn = turns::share();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    let hidden = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.other_port));
    lab::shell::nft(
        &lab.task,
        &format!(
            "add table ip mesh
             add chain ip mesh in {{ type nat hook prerouting priority -100; }}
             add rule ip mesh in tcp dport {} redirect to :{}",
            plan.port, plan.other_port
        ),
    );
    // Connections on many unwatched ports: each is an entry.
    let ports = unused_ports(&plan, TABLE + MORE);
    let apps: Vec<App> = ports
        .clone()
        .map(|port| {
            App::start(&lab.task, Listen { accepts: false, ..Listen::on_all(plan.task.address(), port) })
        })
        .collect();
    // The port counts as translated as long as its one SYN-ACK is remembered: three of these intervals.
    let arguments = words(&format!(
        "--port {} --client {} --interval 200ms --health-interval {}s",
        plan.port,
        plan.client.subnet,
        10 * lab::wait::pace()
    ));
    // The one connection to the watched port is answered and never finished, so nothing tells where it is redirected
    // to, and the agent looks on every other port.
    let mut agent = Agent::trace(&lab.task, &arguments);
    lab.block(&format!("tcp dport {} tcp flags & (syn | ack) == ack", plan.port));
    let _never_finished = lab.client.run(|| {
        connect(plan.client.address(), plan.target(), Duration::from_secs(5)).expect("the SYN-ACK comes back")
    });
    agent.wait_for("the port to be called translated", PATIENCE, |line| {
        line["kind"] == "finding" && line["code"] == "port_translated"
    });
    // One tick after the finding, the programs count.
    sleep(Duration::from_millis(1500));
    for port in ports {
        let target = (plan.task.address(), port).into();
        lab.client.run(|| connect(plan.client.address(), target, PATIENCE)).expect("a listener");
    }
    agent.wait_for("the loss to be reported", PATIENCE, |line| {
        line["kind"] == "loss" && line["elsewhere"] != 0
    });
    let ended = agent.stop();
    drop((apps, hidden));
    assert_eq!(lost(&ended, "elsewhere"), u64::from(MORE), "{}", ended.text);
}

#[test]
fn syns_of_a_node_beyond_the_table_of_unwatched_ports_are_counted() {
    /// Entries of the table (agent-ebpf/src/maps/strays.rs).
    const TABLE: u16 = 256;
    const MORE: u16 = 7;
    let _turn = turns::share();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let node = plan.node(0);
    let arguments =
        words(&format!("--port {} --nlb {node} --interval 200ms --health-interval 1s", plan.port));
    let mut agent = Agent::trace(&lab.task, &arguments);
    // A node that was never heard is looked for from the first tick on.
    agent.wait_for("the first verdict", PATIENCE, |line| line["kind"] == "verdict");
    sleep(Duration::from_secs(1) * lab::wait::pace());
    for port in unused_ports(&plan, TABLE + MORE) {
        let target = (plan.task.address(), port).into();
        in_vain(lab.nodes[0].run(|| connect(node, target, PATIENCE)), ErrorKind::ConnectionRefused);
    }
    agent.wait_for("the loss to be reported", PATIENCE, |line| line["kind"] == "loss" && line["strays"] != 0);
    let ended = agent.stop();
    drop(app);
    assert_eq!(lost(&ended, "strays"), u64::from(MORE), "{}", ended.text);
}

#[test]
fn nodes_beyond_the_table_of_sources_are_counted() {
    /// Room for nodes that turn up later (agent/src/run/start.rs).
    const SPARE: u8 = 64;
    const MORE: u8 = 6;
    let _turn = turns::share();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    // A prefix too large for a tally per address: the ones that really send get one each, as long as there is room.
    let arguments =
        words(&format!("--port {} --nlb 203.0.112.0/20 --interval 200ms --health-interval 2s", plan.port));
    let mut agent = Agent::trace(&lab.task, &arguments);
    for number in 0..SPARE + MORE {
        // Slowly, because a cell of the senders seen last is overwritten by the next one with the same hash.
        send(&lab, [203, 0, 113, number + 1].into(), 1);
        agent.wait_until("the sender to be noticed", PATIENCE, |lines| {
            let last = lines.iter().rev().find(|line| line["kind"] == "loss");
            let lost = last.and_then(|line| line["sources"].as_u64()).unwrap_or(0);
            let named = (1..=number + 1)
                .filter(|host| {
                    let label = format!("203.0.113.{host}");
                    lines.iter().any(|line| line["kind"] == "report" && line["source"] == label.as_str())
                })
                .count() as u64;
            (named + lost > u64::from(number)).then_some(())
        });
    }
    let ended = agent.stop();
    drop(app);
    assert_eq!(lost(&ended, "sources"), u64::from(MORE), "{}", ended.text);
}
