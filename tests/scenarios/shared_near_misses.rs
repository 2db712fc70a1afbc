//! Near misses of other tables behind addresses that clients share with the nodes, over HTTP health checks and behind proxy protocol:
//! there it is the address that is at stake, of which two kinds of connection come.

use std::{net::IpAddr, thread::sleep, time::Duration};

use agent::domain::finding::Code;
use lab::{
    app::{Answer, Listen},
    nginx::Site,
    nlb::Speech,
    plan::{Family, Plan},
    shell,
    topology::Topology,
    wait,
};

use crate::{
    expected::Expected,
    more_near_misses::{self, filter_loosely},
    near_misses,
    rare::refuse_by_policy,
    row::{ClientPath, HEALTHY, Row, nodes, rows},
    strangers::{hits, send_as},
};

/// Clients come with the nodes' addresses, and everybody is served.
const SHARED: Row = Row {
    clients: ClientPath::Translated,
    speech: Speech::Http,
    expected: |plan| vec![Expected::shared(plan)],
    ..HEALTHY
};

/// The same, each connection with a header, which the application takes.
const PROXIED: Row =
    Row { clients: ClientPath::Proxied, listen: |plan| Some(behind_a_header(plan)), ..SHARED };

fn behind_a_header(plan: &Plan) -> Listen {
    Listen { proxy_protocol: true, ..Listen::on_all(plan.task.address(), plan.port) }
}

/// Somebody outside every named prefix, of whom there are as many as there are ways to be turned away.
fn stranger(plan: &Plan, way: u8) -> IpAddr {
    let text = match plan.family {
        Family::V4 => format!("198.51.100.{way}"),
        Family::V6 => format!("2001:db8:77::{way}"),
    };
    text.parse().expect("an address")
}

/// A rule drops what the first stranger sends and refuses the second, a policy drops the third, the answer to the fourth is dropped, and
/// there is no route to the fifth.
fn turn_strangers_away(lab: &Topology) {
    let (plan, family) = (&lab.plan, lab.plan.family.nft());
    let [dropped, refused, unwanted, unanswered, far] = [1, 2, 3, 4, 5].map(|way| stranger(plan, way));
    let gateway = plan.task.gateway;
    let near = [dropped, refused, unwanted, unanswered].map(|one| format!("route add {one} via {gateway}\n"));
    let [a, b] = &plan.nodes;
    let routes = format!(
        "{}route add {} via {gateway}\nroute add {} via {gateway}\nroute del default via {gateway}",
        near.concat(),
        a.subnet,
        b.subnet
    );
    shell::ip(&lab.task, &routes);
    refuse_by_policy(lab, &[unwanted]);
    // Each chain has one rule with a counter, the first.
    lab.firewall("input", &format!("{family} saddr {{ {dropped}, {refused}, {unwanted}, {far} }} counter"));
    lab.firewall("input", &format!("{family} saddr {dropped} drop"));
    lab.firewall("input", &format!("{family} saddr {refused} reject with tcp reset"));
    let answer = format!("tcp sport {} tcp flags & (syn | ack) == syn | ack", plan.port);
    lab.firewall(
        "output",
        &format!("{family} daddr {{ {unwanted}, {unanswered}, {far} }} {answer} counter drop"),
    );
    for way in [dropped, refused, unwanted, far] {
        send_as(lab, way, 5);
    }
    assert_eq!(hits(lab, "input"), 20, "all of them have to arrive");
    assert_eq!(hits(lab, "output"), 0, "nobody's turn has come to be answered");
    send_as(lab, unanswered, 5);
    assert!(hits(lab, "output") >= 5, "no answer was dropped");
}

/// What strangers meet.
const WAYS: &[Code] =
    &[Code::HostFirewall, Code::FirewallReject, Code::HostDrop, Code::ReplyDropped, Code::NoReturnRoute];

rows! {
    strangers_are_turned_away_in_every_way [ipv6] => Row {
        near: WAYS,
        after: Some(turn_strangers_away),
        ..SHARED
    };

    strangers_are_turned_away_in_every_way_beside_proxy_protocol [ipv4] => Row {
        near: WAYS,
        after: Some(turn_strangers_away),
        ..PROXIED
    };

    the_accept_queue_of_another_port_is_full [ipv4] => Row {
        near: &[Code::AcceptQueueFull],
        after: more_near_misses::the_accept_queue_of_another_port_is_full::ROW.after,
        ..SHARED
    };

    the_accept_queue_of_another_port_is_full_beside_proxy_protocol [ipv6] => Row {
        near: &[Code::AcceptQueueFull],
        after: more_near_misses::the_accept_queue_of_another_port_is_full::ROW.after,
        ..PROXIED
    };

    /// For longer than conclusions look back, one a second through each node.
    clients_come_seldom [ipv6] => Row {
        near: &[Code::ClientsMissing],
        expects_clients: true,
        requests_per_second: 2,
        after: Some(|_| sleep(Duration::from_secs(7) * wait::pace())),
        ..SHARED
    };

    clients_come_seldom_behind_proxy_protocol [ipv4] => Row {
        near: &[Code::ClientsMissing],
        expects_clients: true,
        requests_per_second: 2,
        after: Some(|_| sleep(Duration::from_secs(7) * wait::pace())),
        ..PROXIED
    };

    /// Clients speak plain HTTP on the same port, and are served.
    nginx_serves_tls_and_plain_http_behind_proxy_protocol [ipv6] => Row {
        near: &[Code::TlsMismatch],
        speech: Speech::Https,
        nginx: |plan| {
            let mut site = Site::tls(plan.task.address(), plan.port, "TLSv1.2 TLSv1.3");
            site.listen = "ssl proxy_protocol";
            site.server.push_str(" error_page 497 =200 @plain; location @plain { return 200 ok; }");
            Some(site)
        },
        ..PROXIED
    };

    a_dual_stack_listener_serves [ipv4] => Row {
        near: &[Code::ListenerElsewhere],
        listen: near_misses::a_dual_stack_listener_serves::ROW.listen,
        ..SHARED
    };

    syn_cookies_are_sent_and_everybody_is_served [ipv4] => Row {
        near: &[Code::SynCookies],
        before: near_misses::syn_cookies_are_sent_and_everybody_is_served::ROW.before,
        expected: |plan| vec![
            Expected { severity: "note", ..Expected::of_addresses("syn_cookies", &nodes(plan)) },
            Expected::shared(plan),
        ],
        ..SHARED
    };

    the_connection_tracking_table_is_nearly_full [ipv6] => Row {
        near: &[Code::ConntrackFull],
        before: more_near_misses::the_connection_tracking_table_is_nearly_full::ROW.before,
        after: more_near_misses::the_connection_tracking_table_is_nearly_full::ROW.after,
        ..SHARED
    };

    an_xdp_program_that_lets_everything_pass [ipv4] => Row {
        near: &[Code::BpfDrop],
        xdp_drops: near_misses::an_xdp_program_that_lets_everything_pass::ROW.xdp_drops,
        ..SHARED
    };

    health_checks_are_answered_slowly_and_in_time [ipv6] => Row {
        near: &[Code::ProbeTimeout],
        listen: more_near_misses::health_checks_are_answered_slowly_and_in_time::ROW.listen,
        ..SHARED
    };

    /// The last status that passes.
    health_checks_are_answered_with_399 [ipv4] => Row {
        near: &[Code::ProbeHttpStatus],
        listen: more_near_misses::health_checks_are_answered_with_399::ROW.listen,
        ..SHARED
    };

    /// An application that defers accepting until somebody speaks, as do all who come.
    the_application_defers_accepting [ipv6] => Row {
        near: &[Code::AppNotAccepting],
        listen: near_misses::the_application_defers_accepting::ROW.listen,
        ..SHARED
    };

    health_checks_are_answered_slowly_behind_proxy_protocol [ipv4] => Row {
        near: &[Code::ProbeTimeout],
        listen: |plan| Some(Listen { answer: Answer::HealthLate(plan.interval / 3), ..behind_a_header(plan) }),
        ..PROXIED
    };

    health_checks_are_answered_with_399_behind_proxy_protocol [ipv6] => Row {
        near: &[Code::ProbeHttpStatus],
        listen: |plan| Some(Listen { answer: Answer::HealthStatus(399), ..behind_a_header(plan) }),
        ..PROXIED
    };

    health_checks_over_tcp_end_with_a_reset_behind_proxy_protocol [ipv4] => Row {
        near: &[Code::AppReset],
        speech: Speech::Tcp,
        probes_reset: true,
        ..PROXIED
    };

    /// IPv6 has no such filter.
    a_loose_reverse_path_filter_lets_one_node_pass [ipv4] => Row {
        near: &[Code::ReversePathFilter],
        before: |lab| filter_loosely(lab, lab.plan.nodes[0].subnet),
        ..SHARED
    };

    a_task_that_talks_to_itself [ipv4] => Row {
        near: &[Code::Hairpin],
        after: near_misses::a_task_that_talks_to_itself::ROW.after,
        ..SHARED
    };

    a_port_that_nobody_watches_is_redirected [ipv6] => Row {
        near: &[Code::PortTranslated],
        before: more_near_misses::a_port_that_nobody_watches_is_redirected::ROW.before,
        after: more_near_misses::a_port_that_nobody_watches_is_redirected::ROW.after,
        ..SHARED
    };

    a_node_whose_health_checks_come_sends_clients_to_another_port [ipv4] => Row {
        near: &[Code::ProbesOtherPort],
        after: near_misses::a_node_whose_health_checks_come_sends_clients_to_another_port::ROW.after,
        ..SHARED
    };

    all_nodes_stop_and_clients_of_their_addresses_go_on [ipv6] => Row {
        speech: Speech::Http,
        ..near_misses::all_nodes_stop_and_clients_of_their_addresses_go_on::ROW
    };

    /// Clients keep their addresses here.
    a_port_in_time_wait_is_used_again_over_http_checks [ipv4] => Row {
        speech: Speech::Http,
        ..near_misses::a_port_in_time_wait_is_used_again::ROW
    };

    /// Of one client, with the node's address.
    a_client_on_the_target_is_served_through_a_node_that_translates [ipv6] => Row {
        speech: Speech::Http,
        ..near_misses::a_client_on_the_target_is_served_through_a_node_that_translates::ROW
    };

    /// The target group has the header on and the application takes it; no client comes.
    health_checks_alone_come_behind_proxy_protocol [ipv4] => Row {
        near: &[Code::ProxyProtocolMismatch],
        clients: ClientPath::Elsewhere,
        proxied_probes: true,
        listen: PROXIED.listen,
        speech: Speech::Http,
        ..HEALTHY
    };
}
