use serde_json::{Value, json};

use super::*;
use crate::{
    domain::{
        reason::Reason,
        tally::{Dropped, Tally},
    },
    output::{emf::rules::violations, json::MAX_LINE_BYTES, schema},
};

pub fn identity(cluster: &str, service: &str) -> Identity {
    Identity { cluster: Some(cluster.to_owned()), service: Some(service.to_owned()), ..Identity::default() }
}

pub fn observed() -> Observed {
    Observed {
        window_seconds: 60.0,
        verdict: State::Healthy,
        counts: Counts { probe_arrived: 12, client_arrived: 3000, ..Counts::default() },
        findings: Vec::new(),
        lost: 0,
    }
}

pub fn made(identity: &Identity, observed: Option<Observed>) -> String {
    made_of(identity, &Workload::default(), None, observed)
}

pub fn made_of(
    identity: &Identity,
    workload: &Workload,
    netns: Option<&str>,
    observed: Option<Observed>,
) -> String {
    named(&Naming::default(), identity, workload, netns, observed)
}

fn named(
    naming: &Naming,
    identity: &Identity,
    workload: &Workload,
    netns: Option<&str>,
    observed: Option<Observed>,
) -> String {
    document(Document {
        timestamp_ms: 1_795_398_571_872,
        naming,
        identity,
        workload,
        netns,
        observed,
        lines_left_out: 0,
    })
}

/// A target of a node agent, with names as long as they get.
pub fn neighbour(cluster: &str, family: &str) -> Workload {
    Workload {
        task: Some(format!(
            "arn:aws:ecs:eu-west-1:111122223333:task/{cluster}/{}",
            "0123456789abcdef".repeat(2)
        )),
        family: Some(family.to_owned()),
        container: Some("web".to_owned()),
        pod: None,
    }
}

#[test]
fn a_target_of_a_node_agent_goes_by_its_own_names_and_by_the_hosts_where_it_has_none() {
    let own = Identity { service: Some("agent".to_owned()), ..identity("main", "agent") }.of_host();
    let named = valid(&made_of(&own, &neighbour("prod", "orders"), Some("/proc/7/ns/net"), Some(observed())));
    assert_eq!((&named["ClusterName"], &named["ServiceName"]), (&json!("prod"), &json!("orders")));
    assert_eq!(named["task"], json!("0123456789abcdef0123456789abcdef"));
    // The container agent has not answered yet, or is none of ECS.
    let by_id = Workload { task: Some("0123".to_owned()), ..Workload::default() };
    let unnamed = valid(&made_of(&own, &by_id, None, Some(observed())));
    assert_eq!((&unnamed["ClusterName"], &unnamed["ServiceName"]), (&json!("main"), &json!("unknown")));
    let pod = Workload { pod: Some("pod-uid".to_owned()), ..Workload::default() };
    let line = valid(&made_of(&Identity::default(), &pod, None, Some(observed())));
    assert_eq!((&line["pod"], &line["ServiceName"]), (&json!("pod-uid"), &json!("unknown")));
}

#[test]
fn what_the_operator_calls_them_goes_before_all_that_was_discovered() {
    let naming = |cluster: Option<&str>, service: Option<&str>| Naming {
        cluster: cluster.map(str::to_owned),
        service: service.map(str::to_owned),
    };
    let (unknown, own) = (Identity::default(), identity("main", "agent"));
    let (nobody, task) = (Workload::default(), neighbour("prod", "orders"));
    for (naming, identity, workload, names) in [
        (naming(Some("eks"), Some("shop")), &unknown, &nobody, ["eks", "shop"]),
        (naming(Some("eks"), Some("shop")), &own, &task, ["eks", "shop"]),
        (naming(Some("eks"), None), &own, &nobody, ["eks", "agent"]),
        (naming(None, Some("shop")), &own, &task, ["prod", "shop"]),
        (naming(None, Some("shop")), &unknown, &nobody, ["unknown", "shop"]),
    ] {
        let line = valid(&named(&naming, identity, workload, None, Some(observed())));
        assert_eq!([&line["ClusterName"], &line["ServiceName"]], names, "{naming:?}");
    }
}

#[test]
fn a_name_that_cloudwatch_would_not_take_as_it_is_is_refused() {
    assert_eq!(parse_dimension("my service/2"), Ok("my service/2".to_owned()));
    assert!(parse_dimension(&"a".repeat(MAX_DIMENSION)).is_ok());
    for text in ["", " ", " a", "a\nb", "Z\u{fc}rich", &"a".repeat(MAX_DIMENSION + 1)] {
        assert!(parse_dimension(text).is_err(), "{text:?}");
    }
}

/// The document, held against the format, the length of lines and the schema.
#[track_caller]
fn valid(text: &str) -> Value {
    assert!(text.ends_with('\n') && text.lines().count() == 1, "one line: {text:?}");
    assert!(text.len() < MAX_LINE_BYTES, "{} bytes", text.len());
    assert_eq!(violations(text), [""; 0], "{text}");
    let value = serde_json::from_str(text).expect("JSON");
    schema::hold(&value);
    value
}

#[test]
fn a_document_has_six_metrics_two_dimensions_and_little_else() {
    let text = made(&identity("prod", "orders"), Some(observed()));
    let metric = |name: &str| json!({"Name": name, "Unit": "Count"});
    assert_eq!(
        valid(&text),
        json!({
            "_aws": {
                "Timestamp": 1_795_398_571_872_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "HealthCheckTracer",
                    "Dimensions": [["ClusterName", "ServiceName"]],
                    "Metrics": METRICS.map(metric),
                }],
            },
            "schema": 1, "kind": "metrics", "ClusterName": "prod", "ServiceName": "orders",
            "Heartbeat": 1, "Fault": 0, "ProbeSynArrived": 12, "ClientSynArrived": 3000, "SynDropped": 0, "SynRefused": 0,
            "window_seconds": 60.0, "verdict": "healthy",
        })
    );
}

#[test]
fn a_fault_is_one_and_names_its_findings() {
    let fault = Observed {
        verdict: State::Fault,
        findings: vec![Code::HostFirewall, Code::SharedSource],
        lost: 2,
        ..observed()
    };
    let line = valid(&made(&Identity::default(), Some(fault)));
    assert_eq!((&line["Fault"], &line["lost"]), (&json!(1), &json!(2)));
    assert_eq!(line["findings"], json!(["host_firewall", "shared_source"]));
}

#[test]
fn a_target_that_cannot_be_observed_has_a_heartbeat_of_zero_and_no_other_metric() {
    let line = valid(&made(&identity("prod", "orders"), None));
    assert_eq!((&line["Heartbeat"], &line["verdict"]), (&json!(0), &json!("cannot_observe")));
    let metrics = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
    assert_eq!(metrics, &json!([{"Name": "Heartbeat", "Unit": "Count"}]));
    assert!(line.get("Fault").is_none(), "no fault is claimed, and none is denied");
}

#[test]
fn dimensions_are_within_the_limits_at_below_and_above_them() {
    for (length, kept) in [(1, 1), (254, 254), (255, 255), (256, 255), (1024, 255), (5000, 255)] {
        let name = "n".repeat(length);
        let line = valid(&made(&identity(&name, &name), Some(observed())));
        assert_eq!(line["ClusterName"].as_str().map(str::len), Some(kept), "{length}");
    }
    for blank in ["", "   ", "\t\n"] {
        let line = valid(&made(&identity(blank, blank), Some(observed())));
        // Control characters are shown, not dropped: such a name is wrong, and should look so.
        assert!(["unknown", "??"].contains(&line["ServiceName"].as_str().expect("a text")), "{line}");
    }
    let line = valid(&made(&identity("prüf\u{1f600}", " a b "), Some(observed())));
    assert_eq!((&line["ClusterName"], &line["ServiceName"]), (&json!("pr?f?"), &json!("a b")));
}

#[test]
fn what_is_not_known_is_called_so_and_a_task_without_a_service_goes_by_its_family() {
    let line = valid(&made(&Identity::default(), Some(observed())));
    assert_eq!((&line["ClusterName"], &line["ServiceName"]), (&json!("unknown"), &json!("unknown")));
    let by_hand = Identity { family: Some("migrate".to_owned()), ..Identity::default() };
    let line = valid(&made(&by_hand, Some(observed())));
    assert_eq!(line["ServiceName"], json!("migrate"));
}

#[test]
fn the_fullest_document_is_far_below_the_longest_line() {
    let counts = Counts {
        probe_arrived: u64::MAX,
        client_arrived: u64::MAX,
        undecided_arrived: u64::MAX,
        other_arrived: u64::MAX,
        dropped: u64::MAX,
        refused: u64::MAX,
    };
    let fullest = Observed {
        window_seconds: 31_536_000.001,
        verdict: State::CannotObserve,
        counts,
        findings: Code::ALL.to_vec(),
        lost: u64::MAX,
    };
    for (length, kept) in [(1023, 1023), (1024, 1024), (1025, 1024), (4096, 1024)] {
        let netns = "n".repeat(length);
        let name = "n".repeat(5000);
        let line = valid(&document(Document {
            timestamp_ms: u64::MAX,
            naming: &Naming::default(),
            identity: &identity(&name, &name),
            workload: &Workload::default(),
            netns: Some(&netns),
            observed: Some(fullest.clone()),
            lines_left_out: u64::MAX,
        }));
        assert_eq!(line["netns"].as_str().map(str::len), Some(kept));
    }
}

fn row(class: SourceClass, tally: Tally) -> Row {
    Row {
        port: 8080,
        class,
        source: "10.0.1.23".to_owned(),
        tally,
        trouble: None,
        rhythm: None,
        is_told_by_rhythm: false,
        learned: None,
    }
}

#[test]
fn syns_are_counted_by_what_they_are_known_to_be() {
    let arrived = |arrived| Tally { arrived, ..Tally::default() };
    let undecided =
        Tally { arrived: 20, probes_served: 5, probes_unserved: 1, clients: 10, ..Tally::default() };
    let dropped = Tally {
        arrived: 4,
        refused: 1,
        drops: [((Dropped::Syn, Reason("NETFILTER_DROP")), 3), ((Dropped::Syn, Reason("NO_SOCKET")), 1)]
            .into(),
        ..Tally::default()
    };
    let counts = Counts::of(&[
        row(SourceClass::NlbProbe, arrived(2)),
        row(SourceClass::Client, arrived(30)),
        row(SourceClass::ClientViaNlb, arrived(400)),
        row(SourceClass::NlbUndecided, undecided),
        row(SourceClass::Other, dropped),
    ]);
    assert_eq!(
        counts,
        Counts {
            probe_arrived: 2 + 6,
            client_arrived: 30 + 400 + 10,
            undecided_arrived: 4,
            other_arrived: 4,
            dropped: 3,
            refused: 1
        }
    );
    // Connections that ended may have begun in the window before.
    let ended = Tally { probes_served: 1, ..Tally::default() };
    assert_eq!(Counts::of(&[row(SourceClass::NlbUndecided, ended)]).undecided_arrived, 0);
}
