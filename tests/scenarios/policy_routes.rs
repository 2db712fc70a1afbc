//! Rules that choose the way back by the address that answers, as hosts with several interfaces have them.

use agent::domain::finding::Code;
use lab::{shell, topology::Topology};

use crate::{
    expected::Expected,
    more_near_misses::{send_as_stranger, stranger},
    row::{HEALTHY, Row, rows},
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

rows! {
    /// Of IPv6 the kernel counts only what it has no route for at all, as in the next row.
    a_rule_leads_answers_to_clients_into_a_black_hole [ipv4] => Row {
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

    a_rule_leads_answers_to_a_stranger_into_a_black_hole => Row {
        near: &[Code::NoReturnRoute],
        after: Some(|lab| {
            into_a_black_hole(lab, &stranger(lab.plan.family).to_string());
            send_as_stranger(lab, 5);
        }),
        ..HEALTHY
    };
}
