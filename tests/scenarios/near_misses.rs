//! What looks broken and is not, or is not what it looks like: nothing is reported, or the right thing.

use lab::{
    app::Listen,
    nlb::{Belief, Speech},
    shell,
};

use crate::row::{ClientPath, Expected, HEALTHY, Row, nodes, rows};

rows! {
    all_is_well_under_load => Row { requests_per_second: 400, ..HEALTHY };

    all_is_well_over_http => Row { speech: Speech::Http, ..HEALTHY };

    all_is_well_behind_shared_addresses => Row {
        clients: ClientPath::Translated,
        speech: Speech::Http,
        requests_per_second: 200,
        ..HEALTHY
    };

    the_application_defers_accepting => Row {
        speech: Speech::Http,
        listen: |plan| Some(Listen { defer_accept: true, ..Listen::on_all(plan.task.address(), plan.port) }),
        ..HEALTHY
    };

    a_dual_stack_listener_serves => Row {
        listen: |plan| Some(Listen::on_all(std::net::Ipv6Addr::UNSPECIFIED.into(), plan.port)),
        ..HEALTHY
    };

    /// The security group shuts all nodes out while clients go on: it may be a deregistration, so nothing is sure yet.
    all_nodes_stop_and_clients_go_on => Row {
        after: Some(|lab| lab.block_towards_task(&nodes(&lab.plan))),
        expected: |plan| vec![Expected::of_probes("probes_stopped", "suspected", &nodes(plan))],
        beliefs: [Belief::Unhealthy, Belief::Unhealthy],
        unseen: |plan| nodes(plan).to_vec(),
        verdict: "inconclusive",
        ..HEALTHY
    };

    /// A firewall that turns strangers away does its work.
    a_firewall_drops_strangers => Row {
        before: |lab| {
            let family = lab.plan.family.nft();
            let [a, b] = nodes(&lab.plan);
            lab.firewall("input", &format!(
                "{family} saddr != {{ {a}, {b}, {} }} tcp dport {} drop",
                lab.plan.client.subnet, lab.plan.port
            ));
            let other = lab.plan.other_port;
            shell::nft(&lab.task, &format!("add rule inet host input tcp dport {other} drop"));
        },
        ..HEALTHY
    };

    the_port_is_redirected_inside_the_host => Row {
        listen: |plan| Some(Listen::on_all(plan.task.address(), plan.other_port)),
        before: |lab| {
            let family = lab.plan.family.nft();
            shell::nft(&lab.task, &format!(
                "add table {family} mesh
                 add chain {family} mesh in {{ type nat hook prerouting priority -100; }}
                 add rule {family} mesh in tcp dport {} redirect to :{}",
                lab.plan.port, lab.plan.other_port
            ));
        },
        expected: |_| vec![Expected {
            severity: "note",
            ..Expected::fault("port_translated", "proven", "other", [])
        }],
        ..HEALTHY
    };
}
