//! Faults that other tables show over TCP health checks, over HTTP ones. Those that hit the nodes' addresses whoever comes with
//! them are in `translated.rs`, over HTTP, too.

use std::time::Duration;

use agent::domain::finding::Code;
use lab::{
    nlb::{Speech, connect},
    wait,
};

use crate::{
    absence, application,
    expected::Expected,
    faults,
    row::{ClientPath, Row, UNHEALTHY, nodes, rows},
    software,
};

/// A handshake takes no longer.
const SHORT: Duration = Duration::from_millis(150);

rows! {
    the_security_group_never_let_one_node_in [ipv6] => Row {
        near: &[Code::NothingArrives],
        speech: Speech::Http,
        ..absence::the_security_group_never_let_one_node_in::ROW
    };

    the_security_group_shuts_out_clients_only [ipv4] => Row {
        speech: Speech::Http,
        ..absence::the_security_group_shuts_out_clients_only::ROW
    };

    a_client_on_the_target_is_sent_back_to_itself [ipv6] => Row {
        speech: Speech::Http,
        ..faults::a_client_on_the_target_is_sent_back_to_itself::ROW
    };

    a_client_uses_one_port_for_two_connections [ipv4] => Row {
        speech: Speech::Http,
        ..faults::a_client_uses_one_port_for_two_connections::ROW
    };

    nobody_listens [ipv6] => Row { speech: Speech::Http, ..faults::nobody_listens::ROW };

    /// Full of what others left behind before the first health check comes: the kernel keeps it until somebody accepts.
    the_accept_queue_is_full [ipv4] => Row {
        speech: Speech::Http,
        before: |lab| {
            let (from, target) = (lab.plan.task.gateway, lab.plan.target());
            let attempts = [(); 6].map(|()| lab.fabric.run(|| connect(from, target, SHORT * wait::pace())));
            assert!(attempts.iter().any(Result::is_err), "the queue is not full");
        },
        ..faults::the_accept_queue_is_full_at_the_syn::ROW
    };

    /// The health checks give up in the queue, before anybody can be sure that it does not move.
    nobody_accepts [ipv4] => Row {
        near: &[Code::ProbeTimeout],
        speech: Speech::Http,
        beliefs: UNHEALTHY,
        ..application::nobody_accepts::ROW
    };

    nobody_accepts_behind_shared_addresses [ipv6] => Row {
        near: &[Code::ProbeTimeout],
        clients: ClientPath::Translated,
        speech: Speech::Http,
        expected: |plan| vec![Expected::of_addresses("app_not_accepting", &nodes(plan))],
        beliefs: UNHEALTHY,
        ..application::nobody_accepts::ROW
    };

    nginx_is_stopped_where_it_stands [ipv6] => Row {
        near: &[Code::ProbeTimeout],
        speech: Speech::Http,
        beliefs: UNHEALTHY,
        ..software::nginx_is_stopped_where_it_stands::ROW
    };

    replies_are_dropped_on_the_host [ipv6] => Row {
        speech: Speech::Http,
        ..faults::replies_are_dropped_on_the_host::ROW
    };
}
