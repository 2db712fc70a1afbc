//! The story of the blocked health checks, told in about a minute: a small AWS, an NLB that probes, clients that ask,
//! and the agent in the task. Every chapter waits until the agent says what the story needs, and fails when it does not.

mod narrator;

use std::time::{Duration, Instant};

use lab::{
    app::{App, Listen},
    client::Clients,
    nlb::{Belief, Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
};

use narrator::Narrator;

/// The shortest interval that AWS offers is 5 s; nobody wants to watch that.
const INTERVAL: Duration = Duration::from_secs(1);

const CLIENT_REQUESTS_PER_SECOND: u32 = 50;

fn main() {
    let began = Instant::now();
    let lab = Topology::new(Plan { interval: INTERVAL, ..Plan::draw(Family::V4) });
    let (plan, [a, b]) = (&lab.plan, [lab.plan.node(0), lab.plan.node(1)]);
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let nodes = [start_node(&lab, 0), start_node(&lab, 1)];
    let clients =
        Clients::start(&lab.client, &plan.client.addresses, plan.target(), CLIENT_REQUESTS_PER_SECOND);
    let narrator = Narrator { nodes: &nodes, clients: &clients };

    narrator.chapter(
        "A healthy service",
        &format!(
            "A task at {} port {}, two NLB nodes ({a}, {b}) that check it every second over HTTP,\nclients in {} that \
             keep their address. The agent runs in the task:",
            plan.task.address(),
            plan.port,
            plan.client.subnet,
        ),
    );
    let mut agent = narrator.start_agent(&lab);
    narrator.wait_for(&mut agent, &["verdict: healthy"]);
    narrator.show([Belief::Healthy; 2]);

    narrator.chapter(
        "The security group is locked down",
        "Somebody narrows the task's security group to the clients' subnets and forgets the NLB's. The probes die in \
         front\nof the host, so nothing there drops a packet; clients are still served.",
    );
    lab.block_towards_task(&[a, b]);
    narrator.wait_for(&mut agent, &["SUSPECTED", "[probes_stopped, suspected]", "verdict: inconclusive"]);
    narrator.show([Belief::Unhealthy; 2]);

    narrator.chapter(
        "ECS replaces the task",
        "The new task fares no better. It was never probed at all, and its agent says so:",
    );
    narrator.stop_agent(agent);
    let mut agent = narrator.start_agent(&lab);
    narrator.wait_for(&mut agent, &["FAULT", "[probes_missing, inferred]", "verdict: fault"]);
    narrator.show([Belief::Unhealthy; 2]);

    narrator.chapter(
        "Not the security group: a host firewall",
        &format!("The group is mended, but an nftables rule on the host drops what comes from {a}:"),
    );
    lab.unblock();
    lab.firewall("input", &format!("ip saddr {a} tcp dport {} drop", plan.port));
    narrator.wait_for(&mut agent, &["FAULT  HOST FIREWALL", "[host_firewall, proven]", "verdict: fault"]);
    narrator.show([Belief::Unhealthy, Belief::Healthy]);

    narrator
        .chapter("Repaired", "The rule is gone, and after two intervals without a drop so is the finding:");
    lab.firewall_off();
    narrator.wait_for(&mut agent, &["verdict: healthy"]);
    narrator.show([Belief::Healthy; 2]);
    narrator.stop_agent(agent);

    println!(
        "\nThat took {} s. Nothing is left behind: the lab's namespaces end with it.",
        began.elapsed().as_secs()
    );
    drop((clients, nodes, app));
}

fn start_node(lab: &Topology, number: usize) -> Node {
    let check = Check::every(INTERVAL, Speech::Http);
    Node::start(&lab.nodes[number], lab.plan.node(number), lab.plan.target(), check)
}
