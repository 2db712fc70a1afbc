//! What documents cost, as docs/cloudwatch.md says it.

use std::time::Duration;

use super::{
    tests::{identity, made, made_of, neighbour, observed},
    *,
};
use crate::{
    domain::common::CommonAbsence,
    output::{json, pace::CommonPace, view::TargetLabel},
};

/// What an hour may cost in which several targets miss the same, in lines that say so.
const BYTES_PER_HOUR_OF_A_COMMON_ABSENCE: usize = 58_000;

/// What an hour of a default run may cost while nothing is wrong, the opening lines apart. docs/cloudwatch.md computes the
/// monthly cost from it.
const BYTES_PER_HOUR: usize = 48_000;

/// The same of each target of a node agent, whose document names namespace and task, too.
const BYTES_PER_HOUR_OF_A_NODES_TARGET: usize = 54_000;

/// CloudWatch Logs bills each event with this many bytes more (CloudWatch Logs quotas, PutLogEvents).
const EVENT_OVERHEAD_BYTES: usize = 26;

#[test]
fn an_hour_of_a_default_run_costs_no_more_than_the_documentation_says() {
    let documents = 3600 / crate::output::emf::INTERVAL.as_secs() as usize;
    // Longer names than most, and a service that takes ten thousand requests a second behind the nodes' addresses, where
    // some are always under way and the note about that is always open.
    let counts = Counts {
        probe_arrived: 999,
        client_arrived: 600_000,
        undecided_arrived: 9_999,
        other_arrived: 99,
        dropped: 9,
        refused: 9,
    };
    let fullest = Observed { counts, findings: vec![Code::SharedSource], ..observed() };
    let (cluster, service) = ("c".repeat(50), "s".repeat(50));
    let of_task = made(&identity(&cluster, &service), Some(fullest.clone()));
    let of_node = made_of(
        &Identity::default(),
        &neighbour(&cluster, &service),
        Some("/proc/4194304/ns/net"),
        Some(fullest),
    );
    let said = include_str!("../../../docs/cloudwatch.md");
    let usual = Counts { probe_arrived: 12, client_arrived: 3000, ..Counts::default() };
    let shared = Counts { probe_arrived: 12, client_arrived: 2960, undecided_arrived: 40, ..usual };
    let sizes = [(usual, Vec::new()), (shared, vec![Code::SharedSource])].map(|(counts, findings)| {
        let window = Observed { counts, findings, ..observed() };
        made(&identity("prod", "orders"), Some(window)).len()
    });
    let sizes = format!("has {} bytes, and {} where", sizes[0], sizes[1]);
    assert!(said.contains(&sizes), "docs/cloudwatch.md should say: {sizes}");
    for (document, most, text) in [
        (of_task, BYTES_PER_HOUR, "48,000 bytes an hour"),
        (of_node, BYTES_PER_HOUR_OF_A_NODES_TARGET, "54,000 bytes an hour"),
    ] {
        let bytes = documents * (document.len() + EVENT_OVERHEAD_BYTES);
        assert!(bytes <= most && bytes > most - 4000, "{bytes} bytes an hour: {document}");
        assert!(said.contains(text), "docs/cloudwatch.md states another limit than {text}");
    }
}

#[test]
fn an_hour_in_which_a_whole_node_misses_the_same_costs_no_more_than_the_documentation_says() {
    let label = |index: usize| TargetLabel {
        netns: Some(format!("/proc/{}/ns/net", 4_194_304 - index)),
        interface: "eth0".to_owned(),
        address: Some(format!("10.0.1.{}", 1 + index)),
        ports: vec![8080],
        workload: neighbour(&"c".repeat(50), &"s".repeat(50)),
    };
    let labels: Vec<TargetLabel> = (0..120).map(label).collect();
    let labels: Vec<&TargetLabel> = labels.iter().collect();
    let absence = CommonAbsence {
        code: Code::ProbesMissing,
        sources: vec!["10.0.1.23".to_owned(), "10.0.2.31".to_owned()],
        targets: (0..labels.len()).collect(),
    };
    let (mut pace, mut bytes) = (CommonPace::default(), 0);
    for second in (0..3600).step_by(INTERVAL.as_secs() as usize) {
        for due in pace.due(Duration::from_secs(second), vec![absence.clone()]) {
            let line = json::common("2026-11-25T17:00:00.000Z", &due, labels.len(), &labels);
            bytes += line.len() + EVENT_OVERHEAD_BYTES;
        }
    }
    let most = BYTES_PER_HOUR_OF_A_COMMON_ABSENCE;
    assert!(bytes <= most && bytes > most - 4000, "{bytes} bytes");
    let said = include_str!("../../../docs/cloudwatch.md");
    assert!(said.contains("at most 58,000 bytes"), "docs/cloudwatch.md states another limit");
}
