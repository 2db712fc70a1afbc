//! Rules that choose the way back by the address that answers, as hosts with several interfaces have them.

use std::net::IpAddr;

use agent::domain::finding::Code;
use lab::{nlb::Belief, shell, topology::Topology};

use crate::{
    expected::Expected,
    row::{ClientPath, HEALTHY, Row, rows},
    shared_faults::wait_until_both_are_known,
    strangers::{send_as_stranger, stranger},
};

/// What the task answers to these is led through a table of its own.
fn into_a_black_hole(lab: &Topology, to: &str) {
    add_rule(lab, to, "lookup 77\nroute add blackhole default table 77");
}

/// What the task answers to these.
fn add_rule(lab: &Topology, to: &str, action: &str) {
    let own = lab.plan.task.address();
    let family = if own.is_ipv4() { "-4" } else { "-6" };
    let commands = format!("rule add from {own} to {to} priority 100 {action}");
    shell::run(&lab.task, "ip", &[family, "-batch", "-"], &commands);
}

/// An entry of the task's routing table that refuses an address.
fn refuse(lab: &Topology, how: &str, address: IpAddr) {
    let family = if address.is_ipv4() { "-4" } else { "-6" };
    shell::run(&lab.task, "ip", &[family, "route", "add", how, &address.to_string()], "");
}

rows! {
    /// Of IPv6 the kernel does not count that: it says so when it is asked.
    a_rule_leads_answers_to_clients_into_a_black_hole => Row {
        after: Some(|lab| into_a_black_hole(lab, &lab.plan.client.subnet.to_string())),
        expected: |plan| vec![Expected::of_clients("no_return_route", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };

    a_rule_itself_ends_answers_to_clients => Row {
        after: Some(|lab| add_rule(lab, &lab.plan.client.subnet.to_string(), "unreachable")),
        expected: |plan| vec![Expected::of_clients("no_return_route", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };

    an_entry_refuses_the_way_back_to_one_node => Row {
        after: Some(|lab| refuse(lab, "unreachable", lab.plan.node(0))),
        expected: |plan| vec![Expected::of_probes("no_return_route", "proven", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    an_entry_prohibits_the_way_back_behind_shared_addresses [ipv6] => Row {
        clients: ClientPath::Translated,
        after: Some(|lab| {
            wait_until_both_are_known();
            refuse(lab, "prohibit", lab.plan.node(1));
        }),
        expected: |plan| {
            vec![Expected::of_addresses("no_return_route", &[plan.node(1)]), Expected::shared(plan)]
        },
        beliefs: [Belief::Healthy, Belief::Unhealthy],
        verdict: "fault",
        ..HEALTHY
    };

    /// Their answers get lost beyond the host; it is a stranger who is refused.
    replies_to_one_node_are_lost_and_an_entry_refuses_a_stranger => Row {
        near: &[Code::NoReturnRoute],
        after: Some(|lab| {
            let family = lab.plan.family.nft();
            lab.block(&format!("{family} daddr {} tcp flags & (syn | ack) == syn | ack", lab.plan.node(0)));
            refuse(lab, "unreachable", stranger(lab.plan.family));
            send_as_stranger(lab, 20);
        }),
        expected: |plan| vec![Expected::of_probes("reply_lost", "proven", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    a_rule_leads_answers_to_a_stranger_into_a_black_hole => Row {
        near: &[Code::NoReturnRoute],
        after: Some(|lab| {
            into_a_black_hole(lab, &stranger(lab.plan.family).to_string());
            send_as_stranger(lab, 5);
        }),
        ..HEALTHY
    };
}
