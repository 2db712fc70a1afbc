//! The same cause, aimed at somebody else or too weak to count: one row for each code that `near_misses.rs` does not come near.

use std::{
    fs,
    io::ErrorKind,
    net::IpAddr,
    thread::{self, sleep},
    time::Duration,
};

use agent::domain::finding::Code;
use ipnet::IpNet;
use lab::{
    app::{Answer, App, CUT, Listen},
    client::ask_for,
    conntrack,
    frame::Flags,
    nlb::{Speech, connect, in_vain},
    plan::Family,
    shell,
    topology::Topology,
    wait,
};

use crate::{
    expected::Expected,
    row::{HEALTHY, PATIENCE, Row, nodes, rows},
    strangers::{hits, send, send_as_stranger, stranger},
};

/// Lets every client ask once, and have so much patience that its SYN is sent again after 1 and 3 s.
fn ask_patiently(lab: &Topology) {
    let target = lab.plan.target();
    let ask = |from: IpAddr| {
        lab.client.run(|| thread::spawn(move || connect(from, target, Duration::from_millis(3300))))
    };
    let asked: Vec<_> = lab.plan.client.addresses.iter().map(|from| ask(*from)).collect();
    for attempt in asked {
        in_vain(attempt.join().expect("it asks"), ErrorKind::TimedOut);
    }
}

/// Answers for which the task found no route (`OutNoRoutes`), of either family.
fn out_no_routes(lab: &Topology) -> u64 {
    let (file, v6) = match lab.plan.family {
        Family::V4 => ("snmp", false),
        Family::V6 => ("snmp6", true),
    };
    let path = format!("/proc/thread-self/net/{file}");
    let text = lab.task.run(|| fs::read_to_string(&path)).expect("the namespace's counters");
    let value = if v6 {
        text.lines().find_map(|line| line.strip_prefix("Ip6OutNoRoutes")).map(str::trim)
    } else {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
        let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
        names
            .split(' ')
            .zip(values.split(' '))
            .find(|(name, _)| *name == "OutNoRoutes")
            .map(|(_, value)| value)
    };
    value.and_then(|value| value.parse().ok()).expect("a count")
}

/// The main table sends what is for this subnet to an interface where nobody is, a mark brings answers back to the right one, and a
/// loose filter looks at it.
pub fn filter_loosely(lab: &Topology, subnet: IpNet) {
    let side = &lab.plan.task;
    shell::ip(
        &lab.task,
        &format!(
            "link add spare0 type veth peer name spare1
             link set spare0 up
             link set spare1 up
             route add {subnet} dev spare0
             route add default via {} dev {} table 77
             rule add fwmark 7 lookup 77",
            side.gateway, side.interface
        ),
    );
    shell::nft(
        &lab.task,
        &format!(
            "add table ip marks
             add chain ip marks out {{ type route hook output priority -150; }}
             add rule ip marks out tcp sport {} meta mark set 7",
            lab.plan.port
        ),
    );
    shell::sysctl(&lab.task, &format!("ipv4/conf/{}/rp_filter", side.interface.replace('/', ".")), "2");
}

rows! {
    a_rule_refuses_strangers => Row {
        near: &[Code::FirewallReject],
        after: Some(|lab| {
            let (family, stranger) = (lab.plan.family.nft(), stranger(lab.plan.family));
            lab.firewall("input", &format!(
                "{family} saddr {stranger} tcp dport {} counter reject with tcp reset", lab.plan.port
            ));
            send_as_stranger(lab, 5);
            assert_eq!(hits(lab, "input"), 5, "the rule has to refuse somebody");
        }),
        ..HEALTHY
    };

    /// Connections are tracked, and the table has room for all that come.
    the_connection_tracking_table_is_nearly_full => Row {
        near: &[Code::ConntrackFull],
        before: |lab| {
            conntrack::fill_but(&lab.task, 3000);
            lab.firewall("input", "ct state invalid accept");
        },
        after: Some(|lab| {
            let (entries, limit) = conntrack::fill_state(&lab.task);
            assert!(entries < limit && entries > limit - 3000, "{entries} of {limit}: connections are tracked");
        }),
        ..HEALTHY
    };

    /// Nobody waits for the answer but a stranger; the counters of the namespace grow all the same.
    there_is_no_route_back_to_a_stranger => Row {
        near: &[Code::NoReturnRoute],
        after: Some(|lab| {
            let (gateway, [a, b]) = (lab.plan.task.gateway, &lab.plan.nodes);
            shell::ip(&lab.task, &format!(
                "route add {} via {gateway}\nroute add {} via {gateway}\nroute add {} via {gateway}\nroute del default via {gateway}",
                a.subnet, b.subnet, lab.plan.client.subnet
            ));
            let before = out_no_routes(lab);
            send_as_stranger(lab, 5);
            assert!(out_no_routes(lab) >= before + 5, "no route was looked for in vain");
        }),
        ..HEALTHY
    };

    /// Clients get no answer because it is lost, and send their SYN again: the duplicates hang, and no route is missing to them.
    /// It is missing to a stranger.
    replies_to_clients_are_lost_and_there_is_no_route_back_to_a_stranger => Row {
        near: &[Code::NoReturnRoute],
        after: Some(|lab| {
            let (gateway, [a, b]) = (lab.plan.task.gateway, &lab.plan.nodes);
            shell::ip(&lab.task, &format!(
                "route add {} via {gateway}\nroute add {} via {gateway}\nroute add {} via {gateway}\nroute del default via {gateway}",
                a.subnet, b.subnet, lab.plan.client.subnet
            ));
            let family = lab.plan.family.nft();
            lab.block(&format!("{family} daddr {} tcp flags & (syn | ack) == syn | ack", lab.plan.client.subnet));
            ask_patiently(lab);
            let before = out_no_routes(lab);
            send_as_stranger(lab, 20);
            assert!(out_no_routes(lab) >= before + 20, "no route was looked for in vain");
        }),
        expected: |plan| vec![Expected::of_clients("reply_lost", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };

    /// The counter of overflows is that of the namespace, whosever queue it was.
    the_accept_queue_of_another_port_is_full => Row {
        near: &[Code::AcceptQueueFull],
        after: Some(|lab| {
            let listen = Listen {
                backlog: 1, accepts: false, ..Listen::on_all(lab.plan.task.address(), lab.plan.other_port)
            };
            let _deaf = App::start(&lab.task, listen);
            let target = (lab.plan.task.address(), lab.plan.other_port).into();
            let patience = Duration::from_millis(150) * wait::pace();
            let attempts: Vec<_> =
                (0..6).map(|_| lab.client.run(|| connect(lab.plan.client.addresses[3], target, patience))).collect();
            assert!(attempts.iter().any(Result::is_err), "the queue was not full");
        }),
        ..HEALTHY
    };

    /// A rule for answers, as a firewall that lets nothing out to a network it does not know.
    replies_to_strangers_are_dropped_on_the_host => Row {
        near: &[Code::ReplyDropped],
        after: Some(|lab| {
            let (family, stranger) = (lab.plan.family.nft(), stranger(lab.plan.family));
            lab.firewall("output", &format!(
                "{family} daddr {stranger} tcp sport {} tcp flags & (syn | ack) == syn | ack counter drop", lab.plan.port
            ));
            send_as_stranger(lab, 5);
            assert!(hits(lab, "output") >= 5, "no reply was dropped");
        }),
        ..HEALTHY
    };

    /// The last status that passes.
    health_checks_are_answered_with_399 => Row {
        near: &[Code::ProbeHttpStatus],
        speech: Speech::Http,
        listen: |plan| {
            Some(Listen { answer: Answer::HealthStatus(399), ..Listen::on_all(plan.task.address(), plan.port) })
        },
        ..HEALTHY
    };

    health_checks_are_answered_slowly_and_in_time => Row {
        near: &[Code::ProbeTimeout],
        speech: Speech::Http,
        listen: |plan| Some(Listen {
            answer: Answer::HealthLate(plan.interval / 3),
            ..Listen::on_all(plan.task.address(), plan.port)
        }),
        ..HEALTHY
    };

    /// As an application does with a request that it does not like.
    the_application_closes_two_connections_of_many => Row {
        near: &[Code::AppReset],
        listen: |plan| {
            Some(Listen { answer: Answer::CutsSome, ..Listen::on_all(plan.task.address(), plan.port) })
        },
        after: Some(|lab| {
            for _ in 0..2 {
                let from = lab.plan.client.addresses[3];
                let answer = lab.client.run(|| ask_for(CUT, connect(from, lab.plan.target(), PATIENCE)?));
                assert_eq!(answer.expect("an orderly end"), b"", "it was to be cut");
            }
        }),
        ..HEALTHY
    };

    /// They come for longer than conclusions look back, at their own leisure.
    clients_come_seldom => Row {
        near: &[Code::ClientsMissing],
        requests_per_second: 1,
        after: Some(|_| sleep(Duration::from_secs(7) * wait::pace())),
        ..HEALTHY
    };

    /// As a service mesh does for a port of its own.
    a_port_that_nobody_watches_is_redirected => Row {
        near: &[Code::PortTranslated],
        before: |lab| {
            let (family, plan) = (lab.plan.family.nft(), &lab.plan);
            shell::nft(&lab.task, &format!(
                "add table {family} mesh
                 add chain {family} mesh in {{ type nat hook prerouting priority -100; }}
                 add rule {family} mesh in tcp dport {} redirect to :{}",
                plan.other_port, plan.port
            ));
        },
        after: Some(|lab| {
            let target = (lab.plan.task.address(), lab.plan.other_port).into();
            for _ in 0..5 {
                let from = lab.plan.client.addresses[3];
                lab.client.run(|| ask_for("/", connect(from, target, PATIENCE)?)).expect("an answer");
            }
        }),
        ..HEALTHY
    };

    /// The same rule as for one node, but for what asks for no connection: it drops what a node answers that nobody asked.
    a_rule_drops_what_is_no_syn_of_a_node => Row {
        near: &[Code::HostFirewall],
        after: Some(|lab| {
            let (family, [a, b]) = (lab.plan.family.nft(), nodes(&lab.plan));
            lab.firewall("input", &format!(
                "{family} saddr {{ {a}, {b} }} tcp dport {} tcp flags & (syn | ack) == syn | ack counter drop",
                lab.plan.port
            ));
            send(lab, a, Flags::SYN_ACK, 5);
            assert_eq!(hits(lab, "input"), 5, "the rule has to drop something of a node");
        }),
        ..HEALTHY
    };

    /// What clients send comes in by one interface, and the main table sends answers out by another: a loose filter lets it
    /// pass, a strict one (`faults.rs`) would not. A mark brings the answers back to the right one. IPv6 has no such filter.
    a_loose_reverse_path_filter_lets_clients_pass [ipv4] => Row {
        near: &[Code::ReversePathFilter],
        before: |lab| filter_loosely(lab, lab.plan.client.subnet),
        ..HEALTHY
    };
}
