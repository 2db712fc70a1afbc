//! What looks broken and is not, or is not what it looks like: nothing is reported, or the right thing.

use std::{
    thread,
    time::{Duration, Instant},
};

use lab::{
    app::Listen,
    nlb::{Belief, Speech, connect},
    plan::Family,
    shell,
};

use crate::row::{ClientPath, Expected, HEALTHY, PATIENCE, Row, nodes, rows};

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

    /// The SYN-ACK to one client among many is late: it repeats its SYN, and the kernel throws the duplicate away.
    a_duplicate_syn_is_no_drop => Row {
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

    an_xdp_program_that_lets_everything_pass => Row {
        // A documentation address that nobody in the lab has.
        xdp_drops: |plan| Some(match plan.family {
            Family::V4 => "192.0.2.99".parse().expect("an address"),
            Family::V6 => "2001:db8::9999:9999".parse().expect("an address"),
        }),
        ..HEALTHY
    };
}
