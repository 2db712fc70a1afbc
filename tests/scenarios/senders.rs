//! Who sends in a row: the NLB's nodes and the clients.

use std::thread::sleep;

use lab::{
    client::Clients,
    health_check::Habits,
    nlb::{Check, Node},
    topology::Topology,
};

use crate::row::{ClientPath, Row, nodes};

/// The NLB's nodes, probing.
pub fn start_nodes(row: &Row, topology: &Topology, health_port: Option<u16>) -> Vec<Node> {
    let plan = &topology.plan;
    let check = Check::every(plan.interval, row.speech);
    let mut target = plan.target();
    target.set_port(health_port.unwrap_or(plan.port));
    let start = |number: usize| {
        // The zones' nodes do not probe at the same moment.
        sleep(plan.interval * number as u32 / 3);
        let proxy_protocol = row.proxied_probes || row.clients == ClientPath::Proxied;
        let habits = Habits { proxy_protocol, resets: row.probes_reset, ..Habits::default() };
        Node::start_with(&topology.nodes[number], plan.node(number), target, check, habits)
    };
    vec![start(0), start(1)]
}

/// Whoever else sends.
pub fn start_clients(row: &Row, topology: &Topology) -> Vec<Clients> {
    let plan = &topology.plan;
    let start = |target, rate| Clients::start(&topology.client, &plan.client.addresses, target, rate);
    match row.clients {
        ClientPath::Elsewhere => vec![start((plan.task.address(), plan.other_port).into(), 20)],
        // The last address is for what a row does by hand.
        ClientPath::Preserved => {
            vec![Clients::start(
                &topology.client,
                &plan.client.addresses[..3],
                plan.target(),
                row.requests_per_second,
            )]
        }
        ClientPath::Translated | ClientPath::Proxied => {
            let listeners = nodes(plan).map(|node| (node, plan.port).into());
            listeners.map(|listener| start(listener, row.requests_per_second / 2)).into()
        }
    }
}
