//! The application takes connections and does not answer them well.

use lab::{
    app::{Answer, Listen},
    nlb::Speech,
};

use crate::{
    expected::Expected,
    row::{ClientPath, HEALTHY, Row, UNHEALTHY, nodes, rows},
};

rows! {
    health_checks_are_answered_with_404 => Row {
        speech: Speech::Http,
        listen: |plan| {
            Some(Listen { answer: Answer::HealthStatus(404), ..Listen::on_all(plan.task.address(), plan.port) })
        },
        expected: |plan| vec![Expected::of_probes("probe_http_status", "inferred", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    health_checks_of_a_shared_address_are_answered_with_503 => Row {
        clients: ClientPath::Translated,
        speech: Speech::Http,
        listen: |plan| {
            Some(Listen { answer: Answer::HealthStatus(503), ..Listen::on_all(plan.task.address(), plan.port) })
        },
        expected: |plan| {
            let sources = nodes(plan).map(|node| node.to_string());
            vec![
                Expected::fault("probe_http_status", "inferred", "nlb_probe", sources),
                Expected::shared(plan),
            ]
        },
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    /// Their health checks are served.
    clients_of_a_shared_address_are_cut_off => Row {
        clients: ClientPath::Translated,
        speech: Speech::Http,
        listen: |plan| {
            Some(Listen { answer: Answer::ClientsCut, ..Listen::on_all(plan.task.address(), plan.port) })
        },
        expected: |plan| {
            let sources = nodes(plan).map(|node| node.to_string());
            vec![
                Expected::fault("app_reset", "proven", "client_via_nlb", sources),
                Expected::shared(plan),
            ]
        },
        verdict: "fault",
        ..HEALTHY
    };

    /// A TCP health check passes all the same.
    clients_are_cut_off_over_tcp_checks [ipv4] => Row {
        listen: |plan| {
            Some(Listen { answer: Answer::ClientsCut, ..Listen::on_all(plan.task.address(), plan.port) })
        },
        expected: |plan| vec![Expected::of_clients("app_reset", "proven", plan)],
        verdict: "fault",
        ..HEALTHY
    };

    health_checks_wait_in_vain => Row {
        speech: Speech::Http,
        listen: |plan| {
            Some(Listen { answer: Answer::HealthNever, ..Listen::on_all(plan.task.address(), plan.port) })
        },
        expected: |plan| vec![Expected::of_probes("probe_timeout", "proven", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    health_checks_wait_in_vain_and_reset => Row {
        speech: Speech::Http,
        probes_reset: true,
        listen: |plan| {
            Some(Listen { answer: Answer::HealthNever, ..Listen::on_all(plan.task.address(), plan.port) })
        },
        expected: |plan| vec![Expected::of_probes("probe_timeout", "proven", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    the_application_closes_without_an_answer => Row {
        speech: Speech::Http,
        listen: |plan| {
            Some(Listen { answer: Answer::Close, ..Listen::on_all(plan.task.address(), plan.port) })
        },
        expected: |plan| vec![
            Expected::of_probes("app_reset", "proven", &nodes(plan)),
            Expected::of_clients("app_reset", "proven", plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    nobody_accepts => Row {
        listen: |plan| {
            Some(Listen { accepts: false, backlog: 4000, ..Listen::on_all(plan.task.address(), plan.port) })
        },
        expected: |plan| vec![
            Expected::of_probes("app_not_accepting", "proven", &nodes(plan)),
            Expected::of_clients("app_not_accepting", "proven", plan),
        ],
        // A TCP health check passes: the kernel finishes the handshake.
        verdict: "fault",
        ..HEALTHY
    };
}
