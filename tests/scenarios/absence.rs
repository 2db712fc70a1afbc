//! Faults in front of the host: what should arrive does not, or goes where nobody looks.

use std::thread::sleep;

use agent::domain::finding::Code;
use lab::{
    app::Listen,
    nlb::{Belief, Speech},
    topology::Topology,
};

use crate::{
    asked::Asked,
    expected::Expected,
    row::{ClientPath, HEALTHY, Row, UNHEALTHY, nodes, rows},
};

/// A rhythm is known after four intervals. It rests on health checks that were recognised, in readings of the agent's own pace.
fn stop_probes_once_known(lab: &Topology, node: usize) {
    sleep(12 * lab.plan.interval);
    lab.stop_probes_at_node(node);
}

rows! {
    the_security_group_never_let_one_node_in => Row {
        before: |lab| lab.block_towards_task(&[lab.plan.node(0)]),
        expected: |plan| vec![Expected::of_probes("probes_missing", "inferred", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        unseen: |plan| vec![plan.node(0)],
        verdict: "fault",
        ..HEALTHY
    };

    the_security_group_never_let_any_node_in => Row {
        near: &[Code::NothingArrives],
        before: |lab| lab.block_towards_task(&nodes(&lab.plan)),
        expected: |plan| vec![Expected::of_probes("probes_missing", "inferred", &nodes(plan))],
        beliefs: UNHEALTHY,
        unseen: |plan| nodes(plan).to_vec(),
        verdict: "fault",
        ..HEALTHY
    };

    /// Clients of one node still come, with the node's address and to the traffic port; its probes do not.
    the_security_group_never_opened_the_health_check_port => Row {
        near: &[Code::NothingArrives],
        clients: ClientPath::Translated,
        health_port: |plan| Some(plan.other_port + 1),
        before: |lab| lab.block(&format!("tcp dport {}", lab.plan.other_port + 1)),
        expected: |plan| vec![Expected::of_probes("probes_missing", "inferred", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    health_checks_go_to_a_port_on_which_nobody_listens => Row {
        before: |lab| lab.check_another_port(&nodes(&lab.plan), lab.plan.other_port),
        expected: |plan| vec![Expected::of_probes("probes_other_port", "proven", &nodes(plan))],
        beliefs: UNHEALTHY,
        unseen: |plan| nodes(plan).to_vec(),
        verdict: "fault",
        ..HEALTHY
    };

    health_checks_of_one_node_move_to_a_port_that_nobody_watches => Row {
        after: Some(|lab| lab.check_another_port(&[lab.plan.node(0)], lab.plan.other_port)),
        expected: |plan| vec![Expected::of_probes("probes_other_port", "proven", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    /// The target is healthy there; the agent was told of another port.
    health_checks_are_served_on_a_port_that_nobody_watches => Row {
        clients: ClientPath::Elsewhere,
        listen: |plan| Some(Listen::on_all(plan.task.address(), plan.other_port)),
        before: |lab| lab.check_another_port(&nodes(&lab.plan), lab.plan.other_port),
        expected: |plan| vec![Expected::of_probes("probes_other_port", "inferred", &nodes(plan))],
        unseen: |plan| nodes(plan).to_vec(),
        verdict: "fault",
        ..HEALTHY
    };

    the_security_group_shuts_out_one_node => Row {
        after: Some(|lab| lab.block_towards_task(&[lab.plan.node(1)])),
        expected: |plan| vec![Expected::of_probes("probes_stopped", "inferred", &[plan.node(1)])],
        beliefs: [Belief::Healthy, Belief::Unhealthy],
        unseen: |plan| vec![plan.node(1)],
        verdict: "fault",
        asked: Asked::LateAs("probes_missing", 1),
        ..HEALTHY
    };

    /// Its clients go on to come with its address, and so do health checks and clients of the other.
    health_checks_of_one_node_stop_while_its_clients_go_on => Row {
        clients: ClientPath::Translated,
        after: Some(|lab| stop_probes_once_known(lab, 0)),
        asked: Asked::LateAs("probes_missing", 1),
        expected: |plan| vec![
            Expected::shared(plan),
            Expected::fault("probes_stopped", "inferred", "nlb_undecided", [plan.node(0).to_string()]),
        ],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };
    health_checks_over_http_of_one_node_stop_while_its_clients_go_on => Row {
        clients: ClientPath::Translated,
        speech: Speech::Http,
        after: Some(|lab| stop_probes_once_known(lab, 1)),
        asked: Asked::LateAs("probes_missing", 1),
        expected: |plan| vec![
            Expected::shared(plan),
            Expected::fault("probes_stopped", "inferred", "nlb_undecided", [plan.node(1).to_string()]),
        ],
        beliefs: [Belief::Healthy, Belief::Unhealthy],
        verdict: "fault",
        ..HEALTHY
    };

    /// The API answers 500 although every target is healthy.
    the_security_group_shuts_out_clients_only => Row {
        before: |lab| lab.block_towards_task(&lab.plan.client.addresses),
        expected: |plan| vec![Expected::of_clients("clients_missing", "inferred", plan)],
        unseen: |plan| plan.client.addresses.clone(),
        verdict: "fault",
        ..HEALTHY
    };

    nothing_gets_through_at_all => Row {
        clients: ClientPath::Elsewhere,
        before: |lab| lab.block_towards_task(&nodes(&lab.plan)),
        expected: |plan| {
            let nodes = nodes(plan).map(|node| node.to_string());
            let sources = nodes.into_iter().chain([plan.client.subnet.to_string()]);
            vec![Expected::fault("nothing_arrives", "inferred", "nlb_probe", sources)]
        },
        beliefs: UNHEALTHY,
        unseen: |plan| nodes(plan).to_vec(),
        verdict: "fault",
        ..HEALTHY
    };
}
