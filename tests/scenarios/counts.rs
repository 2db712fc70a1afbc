//! Counts are exact: what was sent, what nftables counted and what the agent reports are the same number.

use std::{net::IpAddr, thread, time::Duration};

use lab::{
    agent::{Agent, Ended},
    app::{App, Listen},
    client::Clients,
    flood,
    frame::{Frame, Link},
    kernel::MAY_MISS_RUNS,
    plan::{Family, Plan},
    topology::Topology,
    witness::Witness,
};

use serde_json::Value;

use crate::{blind::dropped_by, expected::arrived, row::nodes, turns};

/// SYNs of the great flood; `LAB_FLOOD` makes it smaller where the machine is emulated.
fn flood_size() -> u64 {
    std::env::var("LAB_FLOOD").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

/// Different source ports of one flooding source.
const PORTS: u16 = 64;

fn frames(lab: &Topology, source: IpAddr) -> Vec<Vec<u8>> {
    let plan = &lab.plan;
    let link = Link {
        source: flood::hardware_address(&lab.fabric, "task"),
        destination: flood::hardware_address(&lab.task, &plan.task.interface),
        tags: Vec::new(),
    };
    (0..PORTS).map(|port| Frame::syn(source, 40_000 + port, plan.target()).on(&link)).collect()
}

/// A source outside every named prefix.
fn stranger(family: Family) -> IpAddr {
    match family {
        Family::V4 => "198.51.100.7".parse(),
        Family::V6 => "2001:db8:77::7".parse(),
    }
    .expect("an address")
}

fn arguments(plan: &Plan) -> Vec<String> {
    let [a, b] = nodes(plan);
    let text = format!(
        "--port {} --nlb {a} {b} --client {} --client-ip preserved --interval 300ms --health-interval 1s",
        plan.port, plan.client.subnet
    );
    text.split_whitespace().map(str::to_owned).collect()
}

/// Sends the flood from four sources over both CPUs, with the agent reading all the time.
fn a_million(family: Family) {
    let _turn = turns::alone();
    let plan = Plan::draw(family);
    let lab = Topology::new(plan.clone());
    // Behind the agent's hook, so that the kernel need not answer a million SYNs. The packet sockets put each SYN on
    // the CPU of their thread.
    lab.firewall("prerouting", &format!("tcp dport {} counter drop", plan.port));
    let sources = [plan.node(0), plan.node(1), plan.client.address(), stranger(family)];
    let witness = Witness::new(&lab.task, family, &sources, plan.port);
    let mut agent = Agent::trace(&lab.task, &arguments(&plan));

    let share = flood_size() / sources.len() as u64;
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for (number, source) in sources.into_iter().enumerate() {
            let frames = frames(&lab, source);
            let fabric = &lab.fabric;
            scope.spawn(move || flood::send(fabric, "task", &frames, share, number % cpus));
        }
    });
    let seen = witness.counts();
    for source in sources {
        assert_eq!(seen[&source.to_string()], share, "nftables did not see what was sent from {source}");
    }
    // Every count is in the maps by now; the reports that follow hold them.
    agent.wait_until("all SYNs to be reported", Duration::from_secs(30), |lines| {
        (arrived(lines, plan.port).values().sum::<u64>() >= 4 * share).then_some(())
    });
    let ended = agent.stop();
    let counted = arrived(&ended.lines, plan.port);
    let labels = [
        plan.node(0).to_string(),
        plan.node(1).to_string(),
        plan.client.subnet.to_string(),
        "any".to_owned(),
    ];
    for label in labels {
        assert_eq!(counted.get(&label), Some(&share), "{label}: {counted:?}\n{}", ended.text);
    }
    // All of them were dropped, and filed under the reason.
    let dropped: u64 = ended
        .lines
        .iter()
        .filter(|line| line["kind"] == "report")
        .map(|line| dropped_by(line, "NETFILTER_DROP"))
        .sum();
    let missed = missed(&ended);
    assert!(
        (4 * share - missed..=4 * share).contains(&dropped),
        "{dropped}, {missed} missed\n{}",
        ended.text
    );
    assert!(ended.lines.iter().filter(|line| line["kind"] == "loss").all(|line| line["drops"] == 0));
}

#[test]
fn a_million_syns_are_counted_to_the_packet_ipv4() {
    a_million(Family::V4);
}

#[test]
fn a_million_syns_are_counted_to_the_packet_ipv6() {
    a_million(Family::V6);
}

/// Runs of tracepoint programs that this kernel left out and the agent knows of; none where there must be none.
fn missed(ended: &Ended) -> u64 {
    let last = ended.lines.iter().rev().find(|line| line["kind"] == "loss");
    let missed = last.and_then(|line| line["recursion_misses"].as_u64()).expect("a line about loss");
    if *MAY_MISS_RUNS { missed } else { 0 }
}

/// Real connections, dropped ones, and those that nobody wants, all at once, against nftables.
fn a_mixed_run(family: Family) {
    let _turn = turns::alone();
    let plan = Plan::draw(family);
    let lab = Topology::new(plan.clone());
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(&plan);
    lab.firewall("input", &format!("{} saddr {b} tcp dport {} counter drop", family.nft(), plan.port));
    let mut sources = vec![a, b, stranger(family)];
    sources.extend(&plan.client.addresses);
    let witness = Witness::new(&lab.task, family, &sources, plan.port);
    let mut agent = Agent::trace(&lab.task, &arguments(&plan));

    let clients = Clients::start(&lab.client, &plan.client.addresses, plan.target(), 300);
    let share = flood_size() / 20;
    thread::scope(|scope| {
        for (number, source) in [a, b, stranger(family)].into_iter().enumerate() {
            let frames = frames(&lab, source);
            let fabric = &lab.fabric;
            scope.spawn(move || flood::send(fabric, "task", &frames, share, number % 2));
        }
    });
    clients.wait_served(100, Duration::from_secs(60));
    let (_, served) = clients.stop();
    let seen = witness.counts();
    let clients_seen: u64 = plan.client.addresses.iter().map(|address| seen[&address.to_string()]).sum();
    let all = seen[""];
    agent.wait_until("all SYNs to be reported", Duration::from_secs(30), |lines| {
        (arrived(lines, plan.port).values().sum::<u64>() >= all).then_some(())
    });
    let ended = agent.stop();
    drop(app);
    let counted = arrived(&ended.lines, plan.port);
    for source in [a, b] {
        assert_eq!(counted[&source.to_string()], seen[&source.to_string()], "{source}\n{}", ended.text);
    }
    assert_eq!(counted[&plan.client.subnet.to_string()], clients_seen, "{}", ended.text);
    assert_eq!(counted["any"], seen[&stranger(family).to_string()], "{}", ended.text);
    assert_eq!(counted.values().sum::<u64>(), all, "{}", ended.text);
    let of = |source: &str| {
        let source = Value::from(source);
        ended.lines.iter().filter(move |line| line["kind"] == "report" && line["source"] == source)
    };
    let sum =
        |source: &str, field: &str| -> u64 { of(source).map(|line| line[field].as_u64().unwrap_or(0)).sum() };
    let dropped: u64 = of(&b.to_string()).map(|line| dropped_by(line, "NETFILTER_DROP")).sum();
    let missed = missed(&ended);
    let clients = plan.client.subnet.to_string();
    for (what, counted, happened) in [
        ("dropped", dropped, seen[&b.to_string()]),
        ("served", sum(&clients, "served"), served),
        ("established", sum(&clients, "established"), served),
    ] {
        let range = happened.saturating_sub(missed)..=happened;
        assert!(range.contains(&counted), "{what}: {counted} of {happened}, {missed} missed\n{}", ended.text);
    }
}

#[test]
fn a_mixed_run_agrees_with_nftables_ipv4() {
    a_mixed_run(Family::V4);
}

#[test]
fn a_mixed_run_agrees_with_nftables_ipv6() {
    a_mixed_run(Family::V6);
}
