//! Faults of the host behind the nodes' addresses: what hits both kinds of connection is said of the address they share.

use std::{thread::sleep, time::Duration};

use lab::{app::Listen, nlb::Belief, plan::Plan, topology::Topology, wait};

use crate::{
    expected::Expected,
    row::{ClientPath, HEALTHY, Row, UNHEALTHY, nodes, rows},
};

/// Of both nodes, and of whoever comes through them.
fn of_the_nodes(code: &'static str, plan: &Plan) -> Expected {
    Expected::fault(code, "proven", "nlb_undecided", nodes(plan).map(|node| node.to_string()))
}

/// The host drops what it answers to the second node.
fn drop_replies(lab: &Topology) {
    // Long enough for connections that began under the agent's eyes to end.
    sleep(Duration::from_millis(2500) * wait::pace());
    let plan = &lab.plan;
    lab.firewall(
        "output",
        &format!(
            "{} daddr {} tcp sport {} tcp flags & (syn | ack) == syn | ack drop",
            plan.family.nft(),
            plan.node(1),
            plan.port
        ),
    );
}

fn replies_to_the_second(plan: &Plan) -> Vec<Expected> {
    let source = [plan.node(1).to_string()];
    vec![Expected::fault("reply_dropped", "proven", "nlb_undecided", source), Expected::shared(plan)]
}

fn deaf(plan: &Plan) -> Listen {
    Listen { backlog: 3, accepts: false, ..Listen::on_all(plan.task.address(), plan.port) }
}

rows! {
    nobody_listens_behind_shared_addresses => Row {
        clients: ClientPath::Translated,
        listen: |_| None,
        expected: |plan| vec![of_the_nodes("no_listener", plan)],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    nobody_listens_behind_proxy_protocol => Row {
        clients: ClientPath::Proxied,
        listen: |_| None,
        expected: |plan| vec![of_the_nodes("no_listener", plan)],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    the_accept_queue_is_full_behind_shared_addresses => Row {
        clients: ClientPath::Translated,
        listen: |plan| Some(deaf(plan)),
        expected: |plan| vec![of_the_nodes("accept_queue_full", plan)],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    the_accept_queue_is_full_behind_proxy_protocol => Row {
        clients: ClientPath::Proxied,
        listen: |plan| Some(deaf(plan)),
        expected: |plan| vec![of_the_nodes("accept_queue_full", plan)],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    replies_are_dropped_on_the_host_behind_shared_addresses => Row {
        clients: ClientPath::Translated,
        after: Some(drop_replies),
        expected: replies_to_the_second,
        beliefs: [Belief::Healthy, Belief::Unhealthy],
        verdict: "fault",
        ..HEALTHY
    };

    replies_are_dropped_on_the_host_behind_proxy_protocol => Row {
        clients: ClientPath::Proxied,
        listen: |plan| Some(Listen { proxy_protocol: true, ..Listen::on_all(plan.task.address(), plan.port) }),
        after: Some(drop_replies),
        expected: replies_to_the_second,
        beliefs: [Belief::Healthy, Belief::Unhealthy],
        verdict: "fault",
        ..HEALTHY
    };
}
