//! Faults behind addresses that clients share with the nodes, over HTTP health checks where nothing is said against it. What hits an
//! address is said of it; what hits one kind of connection only is said of that kind.

use agent::domain::finding::Code;
use lab::{
    app::{Answer, Listen},
    nginx::Site,
    nlb::Speech,
    plan::Plan,
    shell,
    topology::Topology,
};

use crate::{
    application,
    expected::Expected,
    faults, near_misses,
    rare::{self, chatter, refuse_by_policy},
    row::{ClientPath, HEALTHY, Row, UNHEALTHY, nodes, rows},
    shared_faults::wait_until_both_are_known,
};

/// What the rows here have in common.
const SHARED: Row = Row { clients: ClientPath::Translated, speech: Speech::Http, ..HEALTHY };

/// The way back to the first node only.
fn route_to_the_first_only(lab: &Topology) {
    let (gateway, first) = (lab.plan.task.gateway, lab.plan.nodes[0].subnet);
    shell::ip(&lab.task, &format!("route add {first} via {gateway}\nroute del default via {gateway}"));
}

fn mismatch(plan: &Plan) -> Expected {
    let sources = nodes(plan).map(|node| node.to_string());
    Expected::fault("tls_mismatch", "inferred", "nlb_undecided", sources)
}

rows! {
    a_rule_refuses_one_node_and_a_program_drops_the_other [ipv4] => Row {
        before: |lab| {
            let family = lab.plan.family.nft();
            lab.firewall("input", &format!(
                "{family} saddr {} tcp dport {} reject with tcp reset", lab.plan.node(1), lab.plan.port
            ));
        },
        tc_drops: |plan| Some(plan.node(0)),
        expected: |plan| vec![
            Expected::of_addresses("bpf_drop", &[plan.node(0)]),
            Expected::of_addresses("firewall_reject", &[plan.node(1)]),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..SHARED
    };

    /// IPv6 has no reverse path filter.
    a_policy_drops_one_node_and_the_reverse_path_filter_the_other [ipv4] => Row {
        after: Some(|lab| {
            wait_until_both_are_known();
            let (plan, interface) = (&lab.plan, &lab.plan.task.interface);
            refuse_by_policy(lab, &[plan.node(0)]);
            shell::ip(&lab.task, &format!("route add {} dev lo", plan.nodes[1].subnet));
            shell::sysctl(&lab.task, &format!("ipv4/conf/{}/rp_filter", interface.replace('/', ".")), "1");
        }),
        expected: |plan| vec![
            Expected::of_addresses("host_drop", &[plan.node(0)]),
            Expected::of_addresses("reverse_path_filter", &[plan.node(1)]),
            Expected::shared(plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..SHARED
    };

    replies_to_one_node_are_lost_and_there_is_no_route_back_to_the_other [ipv6] => Row {
        after: Some(|lab| {
            wait_until_both_are_known();
            let family = lab.plan.family.nft();
            lab.block(&format!("{family} daddr {} tcp flags & (syn | ack) == syn | ack", lab.plan.node(0)));
            route_to_the_first_only(lab);
        }),
        expected: |plan| vec![
            Expected::of_addresses("reply_lost", &[plan.node(0)]),
            Expected::of_addresses("no_return_route", &[plan.node(1)]),
            Expected::shared(plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..SHARED
    };

    the_connection_tracking_table_is_full [ipv4] => Row {
        after: Some(|lab| {
            wait_until_both_are_known();
            lab.firewall("input", "ct state invalid accept");
        }),
        expected: |plan| vec![Expected::of_addresses("conntrack_full", &nodes(plan)), Expected::shared(plan)],
        clients: ClientPath::Translated,
        speech: Speech::Http,
        ..faults::the_connection_tracking_table_is_full::ROW
    };

    somebody_listens_on_loopback_only [ipv6] => Row {
        expected: |plan| vec![Expected::of_addresses("listener_elsewhere", &nodes(plan))],
        clients: ClientPath::Translated,
        speech: Speech::Http,
        ..faults::somebody_listens_on_loopback_only::ROW
    };

    syn_cookies_are_sent_and_lost_on_their_way [ipv4] => Row {
        expected: |plan| vec![Expected::of_addresses("syn_cookies", &nodes(plan))],
        clients: ClientPath::Translated,
        speech: Speech::Http,
        ..faults::syn_cookies_are_sent_and_lost_on_their_way::ROW
    };

    /// The load balancer's own group lets no client in: here it looks as if there were none.
    no_client_gets_to_the_nodes [ipv6] => Row {
        expects_clients: true,
        before: |lab| lab.block(&format!("{} saddr {}", lab.plan.family.nft(), lab.plan.client.subnet)),
        expected: |_| vec![Expected::fault("clients_missing", "inferred", "client_via_nlb", [])],
        verdict: "fault",
        ..SHARED
    };

    nobody_accepts [ipv6] => Row {
        expected: |plan| vec![Expected::of_addresses("app_not_accepting", &nodes(plan))],
        clients: ClientPath::Translated,
        ..application::nobody_accepts::ROW
    };

    health_checks_wait_in_vain [ipv4] => Row {
        listen: |plan| {
            Some(Listen { answer: Answer::HealthNever, ..Listen::on_all(plan.task.address(), plan.port) })
        },
        expected: |plan| vec![
            Expected::of_probes("probe_timeout", "proven", &nodes(plan)),
            Expected::shared(plan),
        ],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..SHARED
    };

    /// Clients speak HTTP to it and are answered. Whose handshake it is that fails is hidden, and health checks are not missed that may be
    /// the ones that fail.
    nginx_offers_tls_that_the_health_check_does_not_speak [ipv6] => Row {
        speech: Speech::Https,
        nginx: |plan| Some(Site::tls(plan.task.address(), plan.port, "TLSv1.3")),
        expected: |plan| vec![mismatch(plan)],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..SHARED
    };

    /// Clients are served in plain HTTP, and so is, after a fashion, whoever begins TLS.
    nginx_knows_no_tls [ipv4] => Row {
        speech: Speech::Https,
        nginx: |plan| Some(Site::on(plan.task.address(), plan.port)),
        expected: |plan| vec![mismatch(plan)],
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..SHARED
    };

    /// The near miss: one port serves both. Health checks that hide in TLS behind clients' addresses may be missing.
    nginx_serves_tls_and_plain_http_on_one_port [ipv4] => Row {
        near: &[Code::TlsMismatch, Code::ProbesMissing],
        speech: Speech::Https,
        nginx: |plan| {
            let mut site = Site::tls(plan.task.address(), plan.port, "TLSv1.2 TLSv1.3");
            site.server.push_str(" error_page 497 =200 @plain; location @plain { return 200 ok; }");
            Some(site)
        },
        expected: |plan| {
            let sources = nodes(plan).map(|node| node.to_string());
            vec![Expected::fault("probes_missing", "suspected", "nlb_undecided", sources)]
        },
        verdict: "inconclusive",
        ..SHARED
    };

    /// Clients of the nodes' addresses go on to the port that is watched, so what goes to the other could be theirs, too.
    health_checks_move_to_a_port_that_nobody_watches [ipv4] => Row {
        after: Some(|lab| {
            wait_until_both_are_known();
            for number in [0, 1] {
                lab.check_another_port_at_node(number, lab.plan.other_port);
            }
        }),
        expected: |plan| {
            let sources = nodes(plan).map(|node| node.to_string());
            vec![Expected::fault("probes_other_port", "inferred", "nlb_undecided", sources), Expected::shared(plan)]
        },
        beliefs: UNHEALTHY,
        verdict: "fault",
        ..SHARED
    };

    nothing_gets_through_at_all [ipv6] => Row {
        before: |lab| {
            chatter(lab);
            lab.block_towards_task(&nodes(&lab.plan));
        },
        expected: |plan| {
            let sources = nodes(plan).map(|node| node.to_string());
            vec![Expected::fault("nothing_arrives", "inferred", "nlb_undecided", sources)]
        },
        beliefs: UNHEALTHY,
        unseen: |plan| nodes(plan).to_vec(),
        verdict: "fault",
        ..SHARED
    };

    the_port_is_redirected_inside_the_host [ipv6] => Row {
        expected: |plan| vec![
            Expected { severity: "note", ..Expected::fault("port_translated", "inferred", "other", []) },
            Expected::shared(plan),
        ],
        clients: ClientPath::Translated,
        speech: Speech::Http,
        ..near_misses::the_port_is_redirected_inside_the_host::ROW
    };

    /// What a deregistration looks like from here.
    everybody_leaves_together [ipv4] => Row {
        clients: ClientPath::Translated,
        speech: Speech::Http,
        expected: |plan| {
            let sources = nodes(plan).map(|node| node.to_string());
            vec![Expected { severity: "note", ..Expected::fault("probes_withdrawn", "inferred", "nlb_undecided", sources) }]
        },
        ..rare::everybody_leaves_together::ROW
    };
}
