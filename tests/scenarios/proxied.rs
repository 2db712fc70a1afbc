//! Faults behind proxy protocol: every connection of a node, of a client or its own, begins with a header.

use agent::domain::finding::Code;
use lab::{
    app::{Answer, Listen},
    nginx::Site,
    nlb::{Belief, Speech},
    plan::Plan,
    shell,
};

use crate::{
    absence,
    asked::Asked,
    expected::Expected,
    faults,
    rare::refuse_by_policy,
    row::{ClientPath, HEALTHY, Row, UNHEALTHY, nodes, rows},
    shared_faults::wait_until_both_are_known,
};

/// The application takes the header.
const PROXIED: Row = Row { clients: ClientPath::Proxied, listen: |plan| Some(listen(plan)), ..HEALTHY };

fn listen(plan: &Plan) -> Listen {
    Listen { proxy_protocol: true, ..Listen::on_all(plan.task.address(), plan.port) }
}

/// A fault of clients behind both nodes.
fn of_clients(code: &'static str, confidence: &'static str, plan: &Plan) -> Expected {
    Expected::fault(code, confidence, "client_via_nlb", nodes(plan).map(|node| node.to_string()))
}

rows! {
    the_security_group_never_let_one_node_in [ipv4] => Row {
        near: &[Code::NothingArrives],
        before: |lab| lab.block_towards_task(&[lab.plan.node(0)]),
        expected: |plan| vec![
            Expected::fault("probes_missing", "inferred", "nlb_undecided", [plan.node(0).to_string()]),
            Expected { sources: [plan.node(1).to_string()].into(), ..Expected::shared(plan) },
        ],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        unseen: |plan| vec![plan.node(0)],
        verdict: "fault",
        ..PROXIED
    };

    health_checks_of_one_node_stop_while_its_clients_go_on [ipv6] => Row {
        listen: PROXIED.listen,
        clients: ClientPath::Proxied,
        // Behind a header a health check is known as such, so it is known to be missing.
        asked: Asked::LateAs("probes_missing", 1),
        ..absence::health_checks_of_one_node_stop_while_its_clients_go_on::ROW
    };

    a_rule_refuses_one_node_and_a_policy_drops_the_other [ipv4] => Row {
        after: Some(|lab| {
            wait_until_both_are_known();
            let family = lab.plan.family.nft();
            lab.firewall("input", &format!(
                "{family} saddr {} tcp dport {} reject with tcp reset", lab.plan.node(0), lab.plan.port
            ));
            refuse_by_policy(lab, &[lab.plan.node(1)]);
        }),
        expected: |plan| vec![
            Expected::of_addresses("firewall_reject", &[plan.node(0)]),
            Expected::of_addresses("host_drop", &[plan.node(1)]),
            Expected::shared(plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..PROXIED
    };

    a_program_drops_one_node_and_replies_to_the_other_are_lost [ipv6] => Row {
        tc_drops: |plan| Some(plan.node(0)),
        before: |lab| {
            let family = lab.plan.family.nft();
            lab.block(&format!("{family} daddr {} tcp flags & (syn | ack) == syn | ack", lab.plan.node(1)));
        },
        expected: |plan| vec![
            Expected::of_addresses("bpf_drop", &[plan.node(0)]),
            Expected::of_addresses("reply_lost", &[plan.node(1)]),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..PROXIED
    };

    a_rule_drops_one_node_and_there_is_no_route_back_to_the_other [ipv4] => Row {
        after: Some(|lab| {
            wait_until_both_are_known();
            let (plan, family) = (&lab.plan, lab.plan.family.nft());
            lab.firewall("input", &format!("{family} saddr {} tcp dport {} drop", plan.node(0), plan.port));
            let gateway = plan.task.gateway;
            shell::ip(&lab.task, &format!(
                "route add {} via {gateway}\nroute del default via {gateway}", plan.nodes[0].subnet
            ));
        }),
        expected: |plan| vec![
            Expected::of_addresses("host_firewall", &[plan.node(0)]),
            Expected::of_addresses("no_return_route", &[plan.node(1)]),
            Expected::shared(plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..PROXIED
    };

    no_client_gets_to_the_nodes [ipv4] => Row {
        expects_clients: true,
        before: |lab| lab.block(&format!("{} saddr {}", lab.plan.family.nft(), lab.plan.client.subnet)),
        expected: |_| vec![Expected::fault("clients_missing", "inferred", "client_via_nlb", [])],
        verdict: "fault",
        ..PROXIED
    };

    somebody_listens_on_loopback_only [ipv6] => Row {
        clients: ClientPath::Proxied,
        expected: |plan| vec![Expected::of_addresses("listener_elsewhere", &nodes(plan))],
        ..faults::somebody_listens_on_loopback_only::ROW
    };

    syn_cookies_are_sent_and_lost_on_their_way [ipv4] => Row {
        clients: ClientPath::Proxied,
        expected: |plan| vec![Expected::of_addresses("syn_cookies", &nodes(plan))],
        ..faults::syn_cookies_are_sent_and_lost_on_their_way::ROW
    };

    nobody_accepts [ipv6] => Row {
        clients: ClientPath::Proxied,
        expected: |plan| vec![Expected::of_addresses("app_not_accepting", &nodes(plan))],
        ..crate::application::nobody_accepts::ROW
    };

    health_checks_are_answered_with_503 [ipv4] => Row {
        speech: Speech::Http,
        listen: |plan| Some(Listen { answer: Answer::HealthStatus(503), ..listen(plan) }),
        expected: |plan| vec![
            Expected::of_probes("probe_http_status", "inferred", &nodes(plan)),
            Expected::shared(plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..PROXIED
    };

    /// Whose handshake it is that fails is hidden: what begins TLS behind these addresses.
    nginx_offers_tls_that_the_health_check_does_not_speak [ipv4] => Row {
        speech: Speech::Https,
        nginx: |plan| Some(Site {
            listen: "ssl proxy_protocol",
            ..Site::tls(plan.task.address(), plan.port, "TLSv1.3")
        }),
        expected: |plan| {
            let sources = nodes(plan).map(|node| node.to_string());
            vec![Expected::fault("tls_mismatch", "inferred", "nlb_undecided", sources), Expected::shared(plan)]
        },
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..PROXIED
    };

    health_checks_wait_in_vain [ipv6] => Row {
        speech: Speech::Http,
        listen: |plan| Some(Listen { answer: Answer::HealthNever, ..listen(plan) }),
        expected: |plan| vec![
            Expected::of_probes("probe_timeout", "proven", &nodes(plan)),
            Expected::shared(plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..PROXIED
    };

    /// The header alone of a TCP health check, which passes, is answered with 400, and so are clients.
    nginx_does_not_know_proxy_protocol [ipv6] => Row {
        nginx: |plan| Some(Site::on(plan.task.address(), plan.port)),
        expected: |plan| vec![
            Expected::of_probes("proxy_protocol_mismatch", "inferred", &nodes(plan)),
            of_clients("proxy_protocol_mismatch", "inferred", plan),
            Expected::shared(plan),
        ],
        verdict: "fault",
        ..PROXIED
    };

    /// The header is not what it does not take: health checks behind one are served.
    clients_are_cut_off [ipv4] => Row {
        near: &[Code::ProxyProtocolMismatch],
        speech: Speech::Http,
        listen: |plan| Some(Listen { answer: Answer::ClientsCut, ..listen(plan) }),
        expected: |plan| vec![of_clients("app_reset", "proven", plan), Expected::shared(plan)],
        verdict: "fault",
        ..PROXIED
    };
}
