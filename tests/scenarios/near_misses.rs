//! What looks broken and is not, or is not what it looks like: nothing is reported, or the right thing.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv6Addr},
    thread,
    time::{Duration, Instant},
};

use agent::domain::finding::Code;
use lab::{
    app::Listen,
    client::{ask, ask_over},
    conntrack,
    nlb::{Belief, Speech, connect, connect_from, in_vain},
    plan::Family,
    shell,
};

use crate::{
    asked::Asked,
    expected::Expected,
    row::{ClientPath, HEALTHY, PATIENCE, Row, nodes, rows},
};

rows! {
    all_is_well_under_load => Row { requests_per_second: 400, ..HEALTHY };

    syn_cookies_are_sent_and_everybody_is_served => Row {
        near: &[Code::SynCookies],
        before: |lab| shell::sysctl(&lab.task, "ipv4/tcp_syncookies", "2"),
        expected: |plan| vec![
            Expected { severity: "note", ..Expected::of_probes("syn_cookies", "proven", &nodes(plan)) },
            Expected { severity: "note", ..Expected::of_clients("syn_cookies", "proven", plan) },
        ],
        ..HEALTHY
    };

    all_is_well_over_http => Row { speech: Speech::Http, ..HEALTHY };

    all_is_well_behind_shared_addresses => Row {
        clients: ClientPath::Translated,
        speech: Speech::Http,
        requests_per_second: 200,
        expected: |plan| vec![Expected::shared(plan)],
        ..HEALTHY
    };

    all_is_well_behind_shared_addresses_over_tcp => Row {
        clients: ClientPath::Translated,
        expected: |plan| vec![Expected::shared(plan)],
        ..HEALTHY
    };

    /// Connect and reset: served all the same.
    health_checks_over_tcp_end_with_a_reset => Row { near: &[Code::AppReset], probes_reset: true, ..HEALTHY };
    health_checks_over_tcp_end_with_a_reset_behind_shared_addresses => Row {
        near: &[Code::AppReset],
        clients: ClientPath::Translated,
        probes_reset: true,
        expected: |plan| vec![Expected::shared(plan)],
        ..HEALTHY
    };
    health_checks_over_http_end_with_a_reset => Row {
        near: &[Code::AppReset],
        clients: ClientPath::Translated,
        speech: Speech::Http,
        probes_reset: true,
        expected: |plan| vec![Expected::shared(plan)],
        ..HEALTHY
    };

    /// The health check goes to a port that nobody told the agent of. Clients come, with the nodes' addresses, and are
    /// served; not one connection is a health check. That is suspicious, and no more.
    clients_of_the_nodes_come_and_health_checks_go_elsewhere => Row {
        near: &[Code::ProbesMissing],
        clients: ClientPath::Translated,
        probes: false,
        expected: |plan| {
            let sources = nodes(plan).map(|node| node.to_string());
            vec![Expected::fault("probes_missing", "suspected", "nlb_undecided", sources)]
        },
        verdict: "inconclusive",
        ..HEALTHY
    };

    /// One SYN of a node that is shut out, on another port, is no health check that goes there; nor are those of a client who
    /// tries one port after another.
    a_stray_syn_of_a_node_and_a_client_that_scans_ports => Row {
        near: &[Code::ProbesOtherPort],
        after: Some(|lab| {
            lab.block_towards_task(&[lab.plan.node(1)]);
            // The agent looks at other ports by now.
            thread::sleep(2 * lab.plan.interval);
            let task = lab.plan.task.address();
            let refused = |from, port| {
                in_vain(connect(from, (task, port).into(), PATIENCE), ErrorKind::ConnectionRefused);
            };
            lab.nodes[1].run(|| refused(lab.plan.node(1), lab.plan.other_port));
            lab.client.run(|| {
                for port in (40_000..40_030).chain([lab.plan.other_port; 10]) {
                    refused(lab.plan.client.addresses[3], port);
                }
            });
        }),
        expected: |plan| vec![Expected::of_probes("probes_stopped", "inferred", &[plan.node(1)])],
        beliefs: [Belief::Healthy, Belief::Unhealthy],
        unseen: |plan| vec![plan.node(1)],
        verdict: "fault",
        asked: Asked::LateAs("probes_missing", 1),
        ..HEALTHY
    };

    /// Another target group of the same task: its clients carry the node's address, too.
    a_node_whose_health_checks_come_sends_clients_to_another_port => Row {
        near: &[Code::ProbesOtherPort],
        after: Some(|lab| {
            let target = (lab.plan.task.address(), lab.plan.other_port).into();
            for _ in 0..30 {
                let attempt = lab.nodes[0].run(|| connect(lab.plan.node(0), target, PATIENCE));
                in_vain(attempt, ErrorKind::ConnectionRefused);
                thread::sleep(lab.plan.interval / 5);
            }
        }),
        ..HEALTHY
    };

    /// Without client IP preservation the same client comes with the node's address.
    a_client_on_the_target_is_served_through_a_node_that_translates => Row {
        near: &[Code::Hairpin, Code::SharedSource],
        before: |lab| lab.translate_at_node(0),
        after: Some(|lab| {
            let (own, listener) = (lab.plan.task.address(), (lab.plan.node(0), lab.plan.port).into());
            lab.task.run(|| ask(own, listener)).expect("an answer");
        }),
        ..HEALTHY
    };

    /// By its own address, and by one of loopback.
    a_task_that_talks_to_itself => Row {
        near: &[Code::Hairpin],
        after: Some(|lab| {
            let loopback: IpAddr = if lab.plan.family == Family::V4 { [127, 0, 0, 1].into() } else { Ipv6Addr::LOCALHOST.into() };
            for address in [lab.plan.task.address(), loopback] {
                lab.task.run(|| ask(address, (address, lab.plan.port).into())).expect("an answer");
            }
        }),
        ..HEALTHY
    };

    the_application_defers_accepting => Row {
        near: &[Code::AppNotAccepting],
        speech: Speech::Http,
        listen: |plan| Some(Listen { defer_accept: true, ..Listen::on_all(plan.task.address(), plan.port) }),
        ..HEALTHY
    };

    a_dual_stack_listener_serves => Row {
        near: &[Code::ListenerElsewhere],
        listen: |plan| Some(Listen::on_all(std::net::Ipv6Addr::UNSPECIFIED.into(), plan.port)),
        ..HEALTHY
    };

    /// The security group shuts all nodes out while clients go on: it may be a deregistration, so nothing is sure yet.
    all_nodes_stop_and_clients_go_on => Row {
        near: &[Code::ProbesStopped, Code::ProbesWithdrawn],
        after: Some(|lab| lab.block_towards_task(&nodes(&lab.plan))),
        expected: |plan| vec![Expected::of_probes("probes_stopped", "suspected", &nodes(plan))],
        beliefs: [Belief::Unhealthy, Belief::Unhealthy],
        unseen: |plan| nodes(plan).to_vec(),
        verdict: "inconclusive",
        asked: Asked::LateAs("probes_missing", 1),
        ..HEALTHY
    };

    /// The same with clients of the nodes' own addresses: it may be a deregistration, whose clients go on for a while.
    all_nodes_stop_and_clients_of_their_addresses_go_on => Row {
        near: &[Code::ProbesStopped, Code::ProbesWithdrawn],
        clients: ClientPath::Translated,
        after: Some(|lab| {
            lab.stop_probes_at_node(0);
            lab.stop_probes_at_node(1);
        }),
        expected: |plan| {
            let sources = nodes(plan).map(|node| node.to_string());
            vec![
                Expected::shared(plan),
                Expected::fault("probes_stopped", "suspected", "nlb_undecided", sources),
            ]
        },
        beliefs: [Belief::Unhealthy, Belief::Unhealthy],
        verdict: "inconclusive",
        ..HEALTHY
    };

    /// A firewall that turns strangers away does its work.
    a_firewall_drops_strangers => Row {
        near: &[Code::HostFirewall],
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

    /// A table without room drops what it would have to track, and it tracks nothing here.
    a_full_connection_tracking_table_is_not_blamed_for_a_rule => Row {
        near: &[Code::ConntrackFull],
        after: Some(|lab| {
            conntrack::fill(&lab.task);
            let family = lab.plan.family.nft();
            lab.firewall("input", &format!("{family} saddr {} tcp dport {} drop", lab.plan.node(0), lab.plan.port));
        }),
        expected: |plan| vec![Expected::of_probes("host_firewall", "proven", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    /// The SYN-ACK to one client among many is late: it repeats its SYN, and the kernel throws the duplicate away.
    a_duplicate_syn_is_no_drop => Row {
        near: &[Code::ReplyLost, Code::HostDrop],
        after: Some(|lab| {
            let (family, from) = (lab.plan.family.nft(), lab.plan.client.addresses[3]);
            lab.block(&format!("{family} daddr {from} tcp flags & (syn | ack) == syn | ack"));
            let began = Instant::now();
            thread::scope(|scope| {
                let late = scope.spawn(|| lab.client.run(|| connect(from, lab.plan.target(), PATIENCE)));
                thread::sleep(Duration::from_millis(1400));
                lab.unblock();
                late.join().expect("no panic").expect("a connection in the end");
            });
            assert!(began.elapsed() > Duration::from_secs(1), "the SYN was not repeated");
        }),
        ..HEALTHY
    };

    /// The connection before is over, and the kernel gives its port to the new one.
    a_port_in_time_wait_is_used_again => Row {
        near: &[Code::DuplicateTuple],
        after: Some(|lab| {
            let from = (lab.plan.client.addresses[3], 45_678).into();
            lab.client.run(|| {
                for _ in 0..3 {
                    let connection = connect_from(from, lab.plan.target(), PATIENCE).expect("a connection");
                    ask_over(connection).expect("an answer");
                }
            });
        }),
        ..HEALTHY
    };

    /// As one that its own connection overtook.
    a_single_syn_meets_an_open_connection => Row {
        near: &[Code::DuplicateTuple],
        after: Some(|lab| {
            let from = (lab.plan.client.addresses[3], 45_678).into();
            let open = lab.client.run(|| connect_from(from, lab.plan.target(), PATIENCE)).expect("the first");
            lab.connect_by_another_way(from, Duration::from_millis(400));
            drop(open);
        }),
        ..HEALTHY
    };

    the_port_is_redirected_inside_the_host => Row {
        near: &[Code::NoListener],
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
            ..Expected::fault("port_translated", "inferred", "other", [])
        }],
        ..HEALTHY
    };

    an_xdp_program_that_lets_everything_pass => Row {
        near: &[Code::BpfDrop],
        // A documentation address that nobody in the lab has.
        xdp_drops: |plan| Some(match plan.family {
            Family::V4 => "192.0.2.99".parse().expect("an address"),
            Family::V6 => "2001:db8::9999:9999".parse().expect("an address"),
        }),
        ..HEALTHY
    };
}
