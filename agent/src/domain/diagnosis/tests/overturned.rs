//! Behaviour that overturns `--client-ip preserved`.

use super::*;

#[test]
fn behaviour_overturns_what_the_operator_said_and_the_note_says_so() {
    let mut story = Story::new();
    story.probes(50, |story| {
        for node in [NODE_A, NODE_B] {
            probe(story, node);
            client(story, node);
        }
    });
    assert_eq!(class(&story, NODE_A), "nlb_undecided");
    assert_eq!(story.conclusions(), [(Code::SharedSource, Confidence::Proven, nodes(&[A, B]))]);
    assert!(story.findings()[0].summary.contains("--client-ip preserved"), "{:?}", story.findings());
}

/// So many encrypted connections of A each second, while clients are said to keep their address.
fn encrypted(seconds: u64, number: impl Fn(u64) -> u64) -> Story {
    let mut story = Story::new();
    story.pass(seconds, |story, second| {
        for _ in 0..number(second) {
            client(story, NODE_A);
            story.tally(NODE_A).tls_openings += 1;
        }
        if second.is_multiple_of(10) {
            probe(story, NODE_A);
            probe(story, NODE_B);
        }
    });
    story
}

#[test]
fn more_encrypted_connections_than_health_checks_can_be_overturn_what_the_operator_said() {
    let story = encrypted(40, |_| 4);
    assert_eq!(class(&story, NODE_A), "nlb_undecided");
    assert_eq!(class(&story, NODE_B), "nlb_probe");
    assert_eq!(story.conclusions(), [(Code::SharedSource, Confidence::Inferred, nodes(&[A]))]);
    let finding = &story.findings()[0];
    assert!(finding.summary.contains("--client-ip preserved"), "{}", finding.summary);
    assert_eq!(finding.evidence[0].name, "tls_handshakes");
}

#[test]
fn as_many_as_health_checks_may_be_or_a_burst_of_them_overturn_nothing() {
    let burst = |second: u64| if second == 20 { 200 } else { 0 };
    let clumps = |second: u64| if second.is_multiple_of(10) { 60 } else { 0 };
    for story in [encrypted(60, |_| 3), encrypted(60, burst), encrypted(60, clumps)] {
        assert_eq!(class(&story, NODE_A), "nlb_probe");
        assert_eq!(story.conclusions(), []);
    }
}
