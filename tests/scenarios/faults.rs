//! Faults of the host: each exists, and it is named. Those in front of it are in `absence.rs`, the application's in
//! `application.rs`.

use lab::{
    app::Listen,
    client::ask,
    conntrack,
    nlb::{Belief, Speech, connect, connect_from},
    plan::Family,
    shell,
};

use std::{net::IpAddr, time::Duration};

use crate::{
    asked::Asked,
    expected::Expected,
    row::{ClientPath, HEALTHY, PATIENCE, Row, UNHEALTHY, nodes, rows},
    shared_faults::wait_until_both_are_known,
};

rows! {
    host_firewall_drops_one_node => Row {
        after: Some(|lab| {
            let family = lab.plan.family.nft();
            lab.firewall("input", &format!("{family} saddr {} tcp dport {} drop", lab.plan.node(0), lab.plan.port));
        }),
        expected: |plan| vec![Expected::of_probes("host_firewall", "proven", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    host_firewall_drops_clients_only => Row {
        after: Some(|lab| {
            let family = lab.plan.family.nft();
            lab.firewall("input", &format!("{family} saddr {} tcp dport {} drop", lab.plan.client.subnet, lab.plan.port));
        }),
        expected: |plan| vec![Expected::of_clients("host_firewall", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };

    host_firewall_drops_what_shares_the_nodes_addresses => Row {
        clients: ClientPath::Translated,
        after: Some(|lab| {
            wait_until_both_are_known();
            lab.firewall("input", &format!("tcp dport {} drop", lab.plan.port));
        }),
        expected: |plan| vec![Expected::of_addresses("host_firewall", &nodes(plan)), Expected::shared(plan)],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    host_firewall_over_http_checks => Row {
        speech: Speech::Http,
        after: Some(|lab| {
            let family = lab.plan.family.nft();
            lab.firewall("prerouting", &format!("{family} saddr {} tcp dport {} drop", lab.plan.node(1), lab.plan.port));
        }),
        expected: |plan| vec![Expected::of_probes("host_firewall", "proven", &[plan.node(1)])],
        beliefs: [Belief::Healthy, Belief::Unhealthy],
        verdict: "fault",
        ..HEALTHY
    };

    a_rule_refuses_one_node_with_a_reset => Row {
        after: Some(|lab| {
            let family = lab.plan.family.nft();
            lab.firewall("input", &format!(
                "{family} saddr {} tcp dport {} reject with tcp reset", lab.plan.node(0), lab.plan.port
            ));
        }),
        expected: |plan| vec![Expected::of_probes("firewall_reject", "proven", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    a_rule_refuses_everybody_by_icmp => Row {
        after: Some(|lab| lab.firewall("input", &format!("tcp dport {} reject", lab.plan.port))),
        expected: |plan| vec![
            Expected::of_probes("firewall_reject", "proven", &nodes(plan)),
            Expected::of_clients("firewall_reject", "proven", plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    /// Connections that are tracked go on, a new one finds no room.
    the_connection_tracking_table_is_full => Row {
        // Filling it keeps the CPUs so busy that nodes send nothing: it has to be done before they are expected.
        before: |lab| conntrack::fill(&lab.task),
        // Nothing is tracked before somebody asks for it.
        after: Some(|lab| lab.firewall("input", "ct state invalid accept")),
        expected: |plan| vec![
            Expected::of_probes("conntrack_full", "proven", &nodes(plan)),
            Expected::of_clients("conntrack_full", "proven", plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    nobody_listens => Row {
        listen: |_| None,
        expected: |plan| vec![
            Expected::of_probes("no_listener", "proven", &nodes(plan)),
            Expected::of_clients("no_listener", "proven", plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    somebody_listens_on_loopback_only => Row {
        listen: |plan| Some(Listen {
            on: (if plan.family == Family::V4 { "127.0.0.1" } else { "::1" }.parse::<IpAddr>().expect("loopback"), plan.port).into(),
            ..Listen::on_all(plan.task.address(), plan.port)
        }),
        expected: |plan| vec![
            Expected::of_probes("listener_elsewhere", "proven", &nodes(plan)),
            Expected::of_clients("listener_elsewhere", "proven", plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    the_accept_queue_is_full_at_the_syn => Row {
        listen: |plan| {
            Some(Listen { backlog: 3, accepts: false, ..Listen::on_all(plan.task.address(), plan.port) })
        },
        clients: ClientPath::Elsewhere,
        expected: |plan| vec![Expected::of_probes("accept_queue_full", "proven", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    /// The health check goes to a port of its own; a burst of clients fills the queue of the traffic port. Their final
    /// ACKs come late, all together, so the queue overflows at the ACK: it looks like a lost reply.
    the_accept_queue_is_full_at_the_final_ack => Row {
        listen: |plan| {
            Some(Listen { backlog: 2, accepts: false, ..Listen::on_all(plan.task.address(), plan.port) })
        },
        clients: ClientPath::Elsewhere,
        health_port: |plan| Some(plan.other_port + 1),
        after: Some(|lab| {
            let (from, target) = (lab.plan.client.address(), lab.plan.target());
            lab.block(&format!("tcp dport {} tcp flags & (syn | ack) == ack", target.port()));
            let burst: Vec<_> = (0..12)
                .map(|_| lab.client.run(|| connect(from, target, PATIENCE)).expect("the SYN-ACK comes back"))
                .collect();
            lab.unblock();
            // What the clients hold back is acknowledged again with each repeated SYN-ACK.
            drop(burst);
        }),
        expected: |plan| vec![Expected::of_clients("accept_queue_full", "proven", plan)],
        verdict: "fault",
        asked: Asked::Held,
        ..HEALTHY
    };

    there_is_no_route_back_to_clients => Row {
        after: Some(|lab| {
            let gateway = lab.plan.task.gateway;
            let [a, b] = &lab.plan.nodes;
            shell::ip(&lab.task, &format!(
                "route add {} via {gateway}\nroute add {} via {gateway}\nroute del default via {gateway}",
                a.subnet, b.subnet
            ));
        }),
        expected: |plan| vec![Expected::of_clients("no_return_route", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };

    /// Of the clients of one prefix some are served, the answers of some get lost, and to some there is no route.
    there_is_no_route_back_to_some_clients_and_replies_to_others_are_lost => Row {
        // Few enough that one who is served counts as much as one who is not.
        requests_per_second: 8,
        after: Some(|lab| {
            let gateway = lab.plan.task.gateway;
            let [a, b] = &lab.plan.nodes;
            let [served, lost, ..] = lab.plan.client.addresses[..] else { panic!("four clients") };
            shell::ip(&lab.task, &format!(
                "route add {} via {gateway}\nroute add {} via {gateway}\nroute add {served} via {gateway}\n\
                 route add {lost} via {gateway}\nroute del default via {gateway}",
                a.subnet, b.subnet
            ));
            let family = lab.plan.family.nft();
            lab.block(&format!("{family} daddr {lost} tcp flags & (syn | ack) == syn | ack"));
        }),
        expected: |plan| vec![
            Expected::of_clients("no_return_route", "proven", plan),
            Expected::of_clients("reply_lost", "proven", plan),
        ],
        verdict: "fault",
        ..HEALTHY
    };

    syn_cookies_are_sent_and_lost_on_their_way => Row {
        before: |lab| {
            shell::sysctl(&lab.task, "ipv4/tcp_syncookies", "2");
            let family = lab.plan.family.nft();
            lab.block(&format!("{family} saddr {} tcp flags & (syn | ack) == syn | ack", lab.plan.task.address()));
        },
        expected: |plan| vec![
            Expected::of_probes("syn_cookies", "proven", &nodes(plan)),
            Expected::of_clients("syn_cookies", "proven", plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    /// A client asks two nodes from one port, and both leave it its address: here it is one connection.
    a_client_uses_one_port_for_two_connections => Row {
        // One in a hundred would be no fault.
        requests_per_second: 8,
        after: Some(|lab| {
            let from = (lab.plan.client.addresses[3], 45_678).into();
            let open = lab.client.run(|| connect_from(from, lab.plan.target(), PATIENCE)).expect("the first");
            // The SYN is sent again after a second.
            lab.connect_by_another_way(from, Duration::from_millis(1500));
            drop(open);
        }),
        expected: |plan| vec![Expected::of_clients("duplicate_tuple", "proven", plan)],
        verdict: "fault",
        asked: Asked::Held,
        ..HEALTHY
    };

    replies_are_lost_on_their_way_to_one_node => Row {
        after: Some(|lab| {
            let family = lab.plan.family.nft();
            lab.block(&format!("{family} daddr {} tcp flags & (syn | ack) == syn | ack", lab.plan.node(0)));
        }),
        expected: |plan| vec![Expected::of_probes("reply_lost", "proven", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    replies_are_lost_on_their_way_to_clients => Row {
        after: Some(|lab| {
            let family = lab.plan.family.nft();
            lab.block(&format!("{family} daddr {} tcp flags & (syn | ack) == syn | ack", lab.plan.client.subnet));
        }),
        expected: |plan| vec![Expected::of_clients("reply_lost", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };

    replies_are_dropped_on_the_host => Row {
        after: Some(|lab| {
            let family = lab.plan.family.nft();
            lab.firewall("output", &format!(
                "{family} daddr {} tcp sport {} tcp flags & (syn | ack) == syn | ack drop",
                lab.plan.node(1), lab.plan.port
            ));
        }),
        expected: |plan| vec![Expected::of_probes("reply_dropped", "proven", &[plan.node(1)])],
        beliefs: [Belief::Healthy, Belief::Unhealthy],
        verdict: "fault",
        ..HEALTHY
    };

    /// With client IP preservation; everybody else is served.
    a_client_on_the_target_is_sent_back_to_itself => Row {
        before: |lab| lab.forward_at_node(0),
        after: Some(|lab| {
            let (own, listener) = (lab.plan.task.address(), (lab.plan.node(0), lab.plan.port).into());
            lab.task.run(|| ask(own, listener)).expect_err("its own answer does not reach it");
        }),
        expected: |plan| vec![Expected::fault("hairpin", "proven", "client", [plan.task.address().to_string()])],
        verdict: "fault",
        asked: Asked::Held,
        ..HEALTHY
    };

    a_tc_program_drops_behind => Row {
        tc_drops: |plan| Some(plan.node(0)),
        expected: |plan| vec![Expected::of_probes("bpf_drop", "proven", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    /// Nothing of it arrives at the agent's hook, and yet no security group is to blame.
    an_xdp_program_drops_in_front => Row {
        xdp_drops: |plan| Some(plan.node(0)),
        expected: |plan| vec![Expected::of_probes("bpf_drop", "proven", &[plan.node(0)])],
        // What is in front of the hook may be the cause, and nothing proves it.
        instead: |plan| vec![Expected::of_probes("probes_missing", "suspected", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    /// IPv6 has no such filter.
    the_reverse_path_filter_drops_clients [ipv4] => Row {
        after: Some(|lab| {
            let interface = &lab.plan.task.interface;
            // The way back to the clients leads elsewhere, so what they send is not believed.
            shell::ip(&lab.task, &format!("route add {} dev lo", lab.plan.client.subnet));
            shell::sysctl(&lab.task, &format!("ipv4/conf/{}/rp_filter", interface.replace('/', ".")), "1");
        }),
        expected: |plan| vec![Expected::of_clients("reverse_path_filter", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };
}
