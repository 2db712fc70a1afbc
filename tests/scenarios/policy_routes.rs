//! Rules that choose the way back by the address that answers, as hosts with several interfaces have them.

use agent::domain::finding::Code;
use lab::{shell, topology::Topology};

use crate::{
    expected::Expected,
    more_near_misses::{send_as_stranger, stranger},
    row::{HEALTHY, Row, rows},
};

/// What the task answers to these is led through a table of its own, in which everything ends so.
fn lead(lab: &Topology, to: &str, end: &str) {
    let own = lab.plan.task.address();
    let family = if own.is_ipv4() { "-4" } else { "-6" };
    let commands =
        format!("rule add from {own} to {to} priority 100 lookup 77\nroute add {end} default table 77");
    shell::run(&lab.task, "ip", &[family, "-batch", "-"], &commands);
}

rows! {
    a_rule_leads_answers_to_clients_into_a_black_hole => Row {
        after: Some(|lab| lead(lab, &lab.plan.client.subnet.to_string(), "blackhole")),
        expected: |plan| vec![Expected::of_clients("no_return_route", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };

    a_rule_leads_answers_to_clients_where_they_are_unreachable => Row {
        after: Some(|lab| lead(lab, &lab.plan.client.subnet.to_string(), "unreachable")),
        expected: |plan| vec![Expected::of_clients("no_return_route", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };

    a_rule_itself_ends_answers_to_clients => Row {
        after: Some(|lab| {
            let own = lab.plan.task.address();
            let family = if own.is_ipv4() { "-4" } else { "-6" };
            let rule = format!("rule add from {own} to {} priority 100 unreachable", lab.plan.client.subnet);
            shell::run(&lab.task, "ip", &[family, "-batch", "-"], &rule);
        }),
        expected: |plan| vec![Expected::of_clients("no_return_route", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };

    a_rule_leads_answers_to_a_stranger_into_a_black_hole => Row {
        near: &[Code::NoReturnRoute],
        after: Some(|lab| {
            lead(lab, &stranger(lab.plan.family).to_string(), "blackhole");
            send_as_stranger(lab, 5);
        }),
        ..HEALTHY
    };
}
