//! Real software on both sides of the health check: nginx, proxy protocol, TLS, rules of iptables.

use std::net::IpAddr;

use agent::domain::finding::Code;
use lab::{
    app::Listen,
    nginx::Site,
    nlb::{Belief, Speech},
    plan::Plan,
    shell,
};

use crate::{
    expected::Expected,
    row::{ClientPath, HEALTHY, Row, UNHEALTHY, nodes, rows},
};

/// On the task's own address.
fn site(plan: &Plan) -> Site {
    Site::on(plan.task.address(), plan.port)
}

fn tls(plan: &Plan, versions: &str) -> Site {
    Site::tls(plan.task.address(), plan.port, versions)
}

rows! {
    nginx_serves => Row { nginx: |plan| Some(site(plan)), speech: Speech::Http, ..HEALTHY };

    nginx_serves_over_tcp_checks => Row { nginx: |plan| Some(site(plan)), ..HEALTHY };

    nginx_serves_behind_shared_addresses => Row {
        nginx: |plan| Some(site(plan)),
        clients: ClientPath::Translated,
        speech: Speech::Http,
        requests_per_second: 100,
        expected: |plan| vec![Expected::shared(plan)],
        ..HEALTHY
    };

    /// Header and configuration agree: clients and health checks are told apart by the header alone.
    nginx_takes_proxy_protocol => Row {
        near: &[Code::ProxyProtocolMismatch],
        nginx: |plan| Some(Site { listen: "proxy_protocol", ..site(plan) }),
        clients: ClientPath::Proxied,
        speech: Speech::Http,
        expected: |plan| vec![Expected::shared(plan)],
        ..HEALTHY
    };

    the_application_takes_proxy_protocol_over_tcp_checks => Row {
        near: &[Code::ProxyProtocolMismatch],
        listen: |plan| Some(Listen { proxy_protocol: true, ..Listen::on_all(plan.task.address(), plan.port) }),
        clients: ClientPath::Proxied,
        expected: |plan| vec![Expected::shared(plan)],
        ..HEALTHY
    };

    /// Nobody looks at the certificate. Clients come over another path, so only health checks are seen.
    nginx_serves_tls => Row {
        near: &[Code::TlsMismatch],
        nginx: |plan| Some(tls(plan, "TLSv1.2 TLSv1.3")),
        clients: ClientPath::Elsewhere,
        speech: Speech::Https,
        ..HEALTHY
    };

    /// A TCP health check of a TLS application sends nothing and is no handshake that failed.
    nginx_serves_tls_over_tcp_checks => Row {
        near: &[Code::TlsMismatch],
        nginx: |plan| Some(tls(plan, "TLSv1.3")),
        clients: ClientPath::Elsewhere,
        ..HEALTHY
    };

    nginx_answers_health_checks_with_404 => Row {
        nginx: |plan| Some(Site { health: "return 404;".to_owned(), ..site(plan) }),
        speech: Speech::Http,
        expected: |plan| vec![Expected::of_probes("probe_http_status", "inferred", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    /// What is behind the path of the health check does not answer; what clients ask for does not need it.
    nginx_waits_for_a_slow_upstream => Row {
        nginx: |plan| Some(Site {
            health: format!("proxy_pass http://{};", std::net::SocketAddr::new(plan.client.address(), 9)),
            ..site(plan)
        }),
        before: |lab| lab.block("tcp dport 9"),
        speech: Speech::Http,
        expected: |plan| vec![Expected::of_probes("probe_timeout", "proven", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    /// TCP health checks go on to pass: the kernel takes the connections that nobody accepts.
    nginx_is_stopped_where_it_stands => Row {
        nginx: |plan| Some(site(plan)),
        requests_per_second: 10,
        after: Some(|_| {}),
        freeze: true,
        expected: |plan| vec![
            Expected::of_probes("app_not_accepting", "proven", &nodes(plan)),
            Expected::of_clients("app_not_accepting", "proven", plan),
        ],
        verdict: "fault",
        ..HEALTHY
    };

    /// The master, which has the listener, too, goes on and has nothing to do.
    the_workers_of_nginx_are_stopped_where_they_stand => Row {
        nginx: |plan| Some(Site { workers: 2, ..site(plan) }),
        ..nginx_is_stopped_where_it_stands::ROW
    };

    nginx_offers_tls_that_the_health_check_does_not_speak => Row {
        nginx: |plan| Some(tls(plan, "TLSv1.3")),
        clients: ClientPath::Elsewhere,
        speech: Speech::Https,
        expected: |plan| vec![Expected::of_probes("tls_mismatch", "inferred", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    /// nginx says so in plain HTTP: status 400.
    nginx_wants_tls_and_the_health_check_speaks_http => Row {
        nginx: |plan| Some(tls(plan, "TLSv1.2 TLSv1.3")),
        clients: ClientPath::Elsewhere,
        speech: Speech::Http,
        expected: |plan| vec![Expected::of_probes("probe_http_status", "inferred", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    nginx_does_not_know_proxy_protocol => Row {
        nginx: |plan| Some(site(plan)),
        clients: ClientPath::Elsewhere,
        speech: Speech::Http,
        proxied_probes: true,
        expected: |plan| vec![Expected::of_probes("proxy_protocol_mismatch", "inferred", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    /// From inside, a header that does not come looks like any opening that the application does not take.
    nginx_wants_proxy_protocol_that_the_nlb_does_not_send => Row {
        nginx: |plan| Some(Site { listen: "proxy_protocol", ..site(plan) }),
        clients: ClientPath::Elsewhere,
        speech: Speech::Http,
        expected: |plan| vec![Expected::of_probes("app_reset", "proven", &nodes(plan))],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..HEALTHY
    };

    /// What iptables puts into nftables is found like any other rule.
    iptables_drops_one_node => Row {
        after: Some(|lab| {
            let (program, plan) = (iptables(lab.plan.node(0)), &lab.plan);
            let (node, port) = (plan.node(0).to_string(), plan.port.to_string());
            let rule = ["-A", "INPUT", "-s", &node, "-p", "tcp", "--dport", &port, "-j", "DROP"];
            shell::run(&lab.task, program, &rule, "");
        }),
        nginx: |plan| Some(site(plan)),
        speech: Speech::Http,
        expected: |plan| vec![Expected::of_probes("host_firewall", "proven", &[plan.node(0)])],
        beliefs: [Belief::Unhealthy, Belief::Healthy],
        verdict: "fault",
        ..HEALTHY
    };

    /// The near miss: the same chain turns away what is neither a node nor a client.
    iptables_drops_strangers => Row {
        near: &[Code::HostFirewall],
        before: |lab| {
            let program = iptables(lab.plan.node(0));
            let port = lab.plan.port.to_string();
            let admitted = nodes(&lab.plan).map(|node| node.to_string());
            let clients = lab.plan.client.subnet.to_string();
            for source in [&admitted[0], &admitted[1], &clients] {
                let rule = ["-A", "INPUT", "-s", source, "-p", "tcp", "--dport", &port, "-j", "ACCEPT"];
                shell::run(&lab.task, program, &rule, "");
            }
            shell::run(&lab.task, program, &["-A", "INPUT", "-p", "tcp", "--dport", &port, "-j", "DROP"], "");
        },
        nginx: |plan| Some(site(plan)),
        ..HEALTHY
    };

    /// A rule with a table of its own for what leaves through the interface, which leads back.
    a_rule_leads_replies_through_a_table_of_their_own => Row {
        near: &[Code::NoReturnRoute],
        before: |lab| {
            let side = &lab.plan.task;
            ip_rule(lab, &format!(
                "rule add from {} priority 100 lookup 77\nroute add default via {} dev {} table 77",
                side.address(), side.gateway, side.interface
            ));
        },
        ..HEALTHY
    };
}

fn ip_rule(lab: &lab::topology::Topology, commands: &str) {
    let family = if lab.plan.task.address().is_ipv4() { "-4" } else { "-6" };
    shell::run(&lab.task, "ip", &[family, "-batch", "-"], commands);
}

fn iptables(like: IpAddr) -> &'static str {
    if like.is_ipv4() { "iptables-nft" } else { "ip6tables-nft" }
}
