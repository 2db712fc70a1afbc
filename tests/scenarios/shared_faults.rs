//! Faults of the host behind the nodes' addresses: what hits both kinds of connection is said of the address they share.

use std::{thread::sleep, time::Duration};

use lab::{app::Listen, nlb::Belief, plan::Plan, topology::Topology, wait};

use crate::{
    expected::Expected,
    row::{ClientPath, HEALTHY, Row, UNHEALTHY, nodes, rows},
};

/// Long enough for connections that began under the agent's eyes to end, so that both kinds are known to share the addresses.
pub fn wait_until_both_are_known() {
    sleep(Duration::from_millis(2500) * wait::pace());
}

/// The host drops what it answers to the second node.
fn drop_replies(lab: &Topology) {
    wait_until_both_are_known();
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
    vec![Expected::of_addresses("reply_dropped", &[plan.node(1)]), Expected::shared(plan)]
}

fn deaf(plan: &Plan) -> Listen {
    Listen { backlog: 3, accepts: false, ..Listen::on_all(plan.task.address(), plan.port) }
}

rows! {
    nobody_listens_behind_shared_addresses => Row {
        clients: ClientPath::Translated,
        listen: |_| None,
        expected: |plan| vec![Expected::of_addresses("no_listener", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    nobody_listens_behind_proxy_protocol => Row {
        clients: ClientPath::Proxied,
        listen: |_| None,
        expected: |plan| vec![Expected::of_addresses("no_listener", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    the_accept_queue_is_full_behind_shared_addresses => Row {
        clients: ClientPath::Translated,
        listen: |plan| Some(deaf(plan)),
        expected: |plan| vec![Expected::of_addresses("accept_queue_full", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    the_accept_queue_is_full_behind_proxy_protocol => Row {
        clients: ClientPath::Proxied,
        listen: |plan| Some(deaf(plan)),
        expected: |plan| vec![Expected::of_addresses("accept_queue_full", &nodes(plan))],
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
