use super::*;
use crate::domain::{
    class::SourceClass,
    finding::{Code, Confidence, Fact, FactOrigin},
    sample::Loss,
    stage::Place,
    tally::Tally,
};

fn row(class: SourceClass, source: &str, served: u64) -> Row {
    Row {
        port: 8080,
        class,
        source: source.to_owned(),
        tally: Tally { arrived: served, synacks: served, established: served, served, ..Tally::default() },
        trouble: None,
        rhythm: None,
        is_told_by_rhythm: false,
        learned: None,
    }
}

fn beat(per_interval: u32) -> Beat {
    Beat { interval: Duration::from_secs(10), jitter: Duration::from_millis(300), per_interval }
}

#[test]
fn checkers_are_counted_where_there_are_several() {
    assert_eq!(rhythm(beat(1), Duration::from_millis(4900)), "every 10.0 s, next in 4 s");
    assert_eq!(rhythm(beat(3), Duration::ZERO), "3 every 10.0 s, next in 0 s");
}

fn dropped() -> Finding {
    Finding {
        code: Code::HostFirewall,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: SourceClass::NlbProbe,
        port: Some(8080),
        sources: vec!["10.0.1.23".to_owned()],
        stage: Stage::Admitted,
        place: Place::HostFirewall,
        summary: "nlb_probe from 10.0.1.23: 8 of 8 SYNs dropped by netfilter in 41 s".to_owned(),
        advice: "Let tcp/8080 in.".to_owned(),
        evidence: Vec::new(),
    }
}

#[test]
fn a_command_of_an_advice_has_a_line_of_its_own() {
    let several = Finding { advice: "Let it in.\n  change: nft flush ruleset".to_owned(), ..dropped() };
    let text = finding(&several, false, false);
    assert!(text.ends_with("\n       Let it in.\n         change: nft flush ruleset\n"), "{text}");
    let short = without_commands(&text);
    let lines: Vec<_> = short.lines().skip(1).collect();
    assert!(lines[0] == "       Let it in." && lines[1].starts_with("commands are left out"), "{short}");
    let bare = finding(&dropped(), false, false);
    assert_eq!(without_commands(&bare), bare);
}

fn target() -> TargetLabel {
    TargetLabel {
        netns: None,
        workload: crate::domain::workload::Workload::default(),
        interface: "eth0".to_owned(),
        address: Some("10.0.32.10".to_owned()),
        ports: vec![8080],
    }
}

const FAULT: Verdict = Verdict { state: State::Fault, reasons: Vec::new(), blind_spots: Vec::new() };

#[test]
fn a_report_is_a_table_with_findings_after_it() {
    let finding = dropped();
    let blocked = Row {
        tally: Tally {
            arrived: 2,
            drops: [(
                (crate::domain::tally::Dropped::Syn, crate::domain::reason::Reason("NETFILTER_DROP")),
                2,
            )]
            .into(),
            ..Tally::default()
        },
        trouble: Some((Stage::Admitted, Place::HostFirewall)),
        ..row(SourceClass::NlbProbe, "10.0.1.23", 0)
    };
    let regular =
        Row { rhythm: Some((beat(1), Duration::from_secs(4))), ..row(SourceClass::NlbProbe, "10.0.2.31", 2) };
    let report = Report {
        target: &target(),
        window: Duration::from_secs(10),
        watched: Duration::from_secs(41),
        rows: vec![blocked, regular, row(SourceClass::Client, "10.0.16.0/20", 841)],
        findings: vec![(Duration::from_secs(3), &finding)],
        verdict: &FAULT,
        loss: Loss::default(),
        hints: Vec::new(),
        with_evidence: false,
    };
    assert_eq!(
        super::report(&report, "0.1.0", false),
        "\
port 8080  eth0  10.0.32.10  last 10 s                                  agent 0.1.0, watching 41 s
class          sources            arrived   admitted   answered  established   served
nlb_probe      10.0.1.23                2        0 x          0            0        0     host firewall
nlb_probe      10.0.2.31                2          2          2            2        2     every 10.0 s, next in 4 s
client         10.0.16.0/20           841        841        841          841      841
FAULT  HOST FIREWALL  nlb_probe from 10.0.1.23: 8 of 8 SYNs dropped by netfilter in 41 s  [host_firewall, proven]
       Let tcp/8080 in.
verdict: fault
"
    );
}

#[test]
fn several_ports_are_told_apart_and_loss_is_never_silent() {
    let report = Report {
        target: &TargetLabel { ports: vec![8080, 9000], ..target() },
        window: Duration::from_millis(500),
        watched: Duration::from_secs(1),
        rows: vec![row(SourceClass::Client, "10.0.16.0/20", 1)],
        findings: Vec::new(),
        verdict: &FAULT,
        loss: Loss { drops: 3, ..Loss::default() },
        hints: vec!["say more".to_owned()],
        with_evidence: false,
    };
    let text = super::report(&report, "0.1.0", false);
    assert!(text.contains("port 8080,9000") && text.contains("10.0.16.0/20 :8080"), "{text}");
    assert!(
        text.contains("last 0.5 s") && text.contains("loss: 3 drops") && text.contains("note: say more"),
        "{text}"
    );
}

#[test]
fn a_finding_names_its_port_where_there_are_several() {
    assert!(finding(&dropped(), true, false).contains("HOST FIREWALL  port 8080  nlb_probe from"));
    assert!(!finding(&dropped(), false, false).contains("port 8080"));
}

#[test]
fn blind_spots_are_printed_with_a_fault_too() {
    let spot = BlindSpot { id: "btf", stages: vec![Stage::Served], text: "nothing to see".to_owned() };
    let text = verdict(&Verdict { blind_spots: vec![spot], ..FAULT }, false);
    assert_eq!(text, "verdict: fault\n  blind spot: nothing to see\n");
}

#[test]
fn a_source_that_makes_both_kinds_of_connections_says_how_many_of_each() {
    let mut row = row(SourceClass::NlbUndecided, "10.0.1.23", 42);
    (row.tally.probes_served, row.tally.clients) = (2, 40);
    let mut text = String::new();
    table(&mut text, &[row], false);
    assert!(text.contains("42     2 health checks, 40 clients ended\n"), "{text}");
}

#[test]
fn evidence_is_named_as_in_json_with_its_origin() {
    let facts = vec![
        Fact::count("syns_dropped", 8, FactOrigin::Hook),
        Fact::seconds("watched_seconds", Duration::from_millis(2500), FactOrigin::Settings),
    ];
    let text = evidence(&Finding { evidence: facts, ..dropped() });
    assert_eq!(text, "       evidence: syns_dropped 8 (hook), watched_seconds 2.5 (settings)\n");
}

#[test]
fn colour_only_where_it_is_wanted() {
    assert!(finding(&dropped(), false, true).starts_with("\x1b[31mFAULT\x1b[0m"));
    assert!(!finding(&dropped(), false, false).contains('\x1b'));
    let suspicion = Finding { confidence: Confidence::Suspected, ..dropped() };
    assert!(finding(&suspicion, false, false).starts_with("SUSPECTED"));
}

#[test]
fn a_verdict_that_is_no_fault_says_why() {
    let unsure = Verdict {
        state: State::Inconclusive,
        reasons: vec!["a".into(), "b".into()],
        blind_spots: Vec::new(),
    };
    assert_eq!(verdict(&unsure, false), "verdict: inconclusive: a; b\n");
}
