use super::*;
use crate::{
    domain::{
        answers::Answers,
        finding::{Code, Confidence, Fact, FactOrigin, Severity},
        reason::Reason,
        rhythm::Beat,
        stage::Place,
        tally::{Dropped, Tally},
    },
    output::schema,
};

fn target() -> TargetLabel {
    TargetLabel { interface: "eth0".to_owned(), ports: vec![8080], ..TargetLabel::default() }
}

fn parsed(line: &str) -> Value {
    assert!(line.ends_with('\n') && !line.trim_end().contains('\n'), "one line: {line:?}");
    assert!(line.len() < 16 * 1024, "under 16 KiB: {}", line.len());
    let value: Value = serde_json::from_str(line).expect("JSON");
    let mut timed = value.clone();
    timed["time"] = json!("2026-11-25T16:00:00.000Z");
    schema::hold(&timed);
    value
}

#[test]
fn every_line_begins_with_schema_time_and_kind() {
    let target = target();
    let lines = [
        ("loss", loss(Head::new("T", "loss", &target), Loss::default())),
        (
            "verdict",
            verdict(
                Head::new("T", "verdict", &target),
                &Verdict { state: VerdictState::Healthy, reasons: vec![], blind_spots: vec![] },
                &[],
            ),
        ),
        (
            "stop",
            stop(
                Head::new("T", "stop", &target),
                "SIGTERM",
                Duration::from_secs(140),
                "lived 140 s",
                VerdictState::Fault,
            ),
        ),
    ];
    for (kind, line) in lines {
        let start = format!(r#"{{"schema":1,"time":"T","kind":"{kind}","interface":"eth0","#);
        assert!(line.starts_with(&start), "{line}");
        parsed(&line);
    }
}

#[test]
fn a_report_has_every_count() {
    let row = Row {
        port: 8080,
        class: SourceClass::NlbProbe,
        source: "10.0.1.23".to_owned(),
        tally: Tally {
            arrived: 8,
            synacks: 5,
            probes_served: 2,
            probes_unserved: 1,
            clients: 1,
            synack_retransmits: 1,
            established: 4,
            served: 3,
            refused: 0,
            drops: [((Dropped::Syn, Reason("NETFILTER_DROP")), 2)].into(),
            ..Tally::default()
        },
        trouble: None,
        rhythm: None,
        is_told_by_rhythm: false,
        learned: None,
    };
    let line = parsed(&report(Head::new("T", "report", &target()), &row, Duration::from_millis(1500)));
    assert_eq!(
        line,
        json!({
            "schema": 1, "time": "T", "kind": "report", "interface": "eth0", "port": 8080, "class": "nlb_probe",
            "source": "10.0.1.23", "window_seconds": 1.5, "arrived": 8, "dropped": 2, "refused": 0, "admitted": 6,
            "answered": 4, "established": 4, "served": 3, "probes_ended": 3, "probes_served": 2, "clients_ended": 1,
            "synack_retransmits": 1,
            "drop_reasons": {"NETFILTER_DROP": 2}
        })
    );
    let beat =
        Beat { interval: Duration::from_secs(10), jitter: Duration::from_millis(300), per_interval: 3 };
    let row = Row {
        rhythm: Some((beat, Duration::from_secs(4))),
        is_told_by_rhythm: true,
        learned: Some(Confidence::Suspected),
        tally: Tally { answers: Answers { probes_lost: 2, ..Answers::default() }, ..row.tally },
        ..row
    };
    let line = parsed(&report(Head::new("T", "report", &target()), &row, Duration::from_millis(1500)));
    let heard = ["seconds", "jitter_seconds", "per_interval", "next_seconds"]
        .map(|name| &line[format!("rhythm_{name}")]);
    assert_eq!(heard, [&json!(10.0), &json!(0.3), &json!(3), &json!(4.0)]);
    assert_eq!((&line["class_confidence"], &line["learned"]), (&json!("inferred"), &json!("suspected")));
    assert_eq!(line["probes_lost"], 2);
}

#[test]
fn a_finding_is_flat_with_its_evidence() {
    let found = Finding {
        code: Code::ProbesMissing,
        severity: Severity::Fault,
        confidence: Confidence::Inferred,
        class: SourceClass::NlbUndecided,
        port: None,
        sources: vec!["10.0.1.23".to_owned()],
        stage: Stage::Arrived,
        place: Place::BeforeThisHost,
        summary: "s".to_owned(),
        advice: "a".to_owned(),
        evidence: vec![
            Fact::count("syns_arrived", 0, FactOrigin::Hook),
            Fact::count("interface_packets", 12, FactOrigin::Interface),
            Fact::seconds("watched_seconds", Duration::from_millis(31_500), FactOrigin::Hook),
        ],
    };
    let target = TargetLabel { netns: Some("/run/netns/task".to_owned()), ..target() };
    let line = parsed(&finding(Head::new("T", "finding", &target), FindingState::Opened, &found));
    assert_eq!(
        line,
        json!({
            "schema": 1, "time": "T", "kind": "finding", "netns": "/run/netns/task", "interface": "eth0",
            "code": "probes_missing", "state": "opened", "severity": "fault", "confidence": "inferred",
            "class": "nlb_undecided", "sources": ["10.0.1.23"], "stage": "arrived",
            "place": "before this host (AWS)", "summary": "s", "advice": "a",
            "evidence_origins": ["hook", "interface"],
            "syns_arrived": 0, "interface_packets": 12, "watched_seconds": 31.5
        })
    );
}

#[test]
fn a_start_line_with_the_longest_lists_stays_short() {
    let many: Vec<String> =
        (0..256).map(|number| format!("fd00:1234:5678:9abc:def0:1234:5678:{number:x}")).collect();
    let start = start(
        Head::new("T", "start", &target()),
        &Start {
            version: "0.1.0",
            kernel: "6.1",
            address: None,
            choices: &[],
            identity: &Identity::default(),
            discovery_notes: &[],
            ports: &[8080; 64],
            clients: Vec::new(),
            nlb: many,
            hooks: &[],
            other_programs: &["xdp id 7, guard".to_owned()],
            blind_spots: Vec::new(),
        },
    );
    assert_eq!(parsed(&start)["other_programs"], json!(["xdp id 7, guard"]));
}

#[test]
fn a_line_that_would_be_too_long_loses_list_items_and_says_so() {
    let reasons: Vec<String> =
        (0..2000).map(|number| format!("{number} SYNs from 10.0.0.1 were not answered")).collect();
    let verdict =
        Verdict { state: VerdictState::Inconclusive, reasons: reasons.clone(), blind_spots: Vec::new() };
    let text = super::verdict(Head::new("T", "verdict", &target()), &verdict, &["a hint".to_owned()]);
    assert!(text.len() <= MAX_LINE_BYTES, "{}", text.len());
    let line = parsed(&text);
    assert_eq!((&line["truncated"], &line["hints"][0]), (&json!(true), &json!("a hint")));
    assert_eq!(line["reasons"][0], json!(reasons[0]));
}

#[test]
fn every_code_in_every_state_is_as_the_schema_says() {
    let target = target();
    for code in Code::ALL {
        for state in [FindingState::Opened, FindingState::Ongoing, FindingState::Cleared] {
            let found = Finding {
                code,
                severity: Severity::Note,
                confidence: Confidence::Suspected,
                class: SourceClass::Other,
                port: Some(8080),
                sources: Vec::new(),
                stage: Stage::Served,
                place: Place::Application,
                summary: String::new(),
                advice: String::new(),
                evidence: vec![
                    Fact::count("syns_dropped", 1, FactOrigin::Netstat),
                    Fact::text("drop_reason", "NETFILTER_DROP".to_owned(), FactOrigin::SocketTable),
                ],
            };
            parsed(&finding(Head::new("T", "finding", &target), state, &found));
        }
    }
}

#[test]
fn blind_spots_are_as_the_schema_says() {
    let spots = [BlindSpot { id: "btf", stages: Stage::ALL.to_vec(), text: "nothing to see".to_owned() }];
    let judged = Verdict {
        state: VerdictState::CannotObserve,
        reasons: vec!["r".to_owned()],
        blind_spots: spots.to_vec(),
    };
    let line = parsed(&verdict(Head::new("T", "verdict", &target()), &judged, &["h".to_owned()]));
    assert_eq!(line["blind_spots"][0]["stages"][4], json!("served"));
}
