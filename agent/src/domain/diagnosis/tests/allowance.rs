//! Packets beyond the instance's allowances.

use super::*;
use crate::domain::allowances::Allowances;

/// A driver that counts, with something counted before the agent began.
fn on_ena() -> Story {
    let mut story = Story::new();
    story.sample.host.allowances =
        Allowances { bandwidth_in: Some(70), packet_rate: Some(800), connections: Some(9) };
    story.history = History::new(story.history.watch.clone());
    story.history.observe(story.sample.clone(), &story.sources);
    story
}

fn serve_both(story: &mut Story) {
    story.serve(NODE_A);
    story.serve(NODE_B);
}

#[test]
fn exceeded_alone_is_a_note() {
    let mut story = on_ena();
    story.probes(40, |story| {
        serve_both(story);
        story.count(|host| &mut host.allowances.packet_rate, 2);
    });
    assert_eq!(story.conclusions(), [(Code::AllowanceExceeded, Confidence::Proven, Vec::new())]);
    let finding = story.findings().into_iter().find(|finding| finding.code == Code::AllowanceExceeded);
    let finding = finding.expect("the finding");
    assert_eq!(finding.severity, Severity::Note);
    assert_eq!(
        finding.evidence,
        [crate::domain::finding::Fact::count(
            "pps_allowance_exceeded",
            8,
            crate::domain::finding::FactOrigin::Interface
        )]
    );
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

#[test]
fn exceeded_while_a_node_is_missing_is_a_fault_beside_it() {
    for counter in [
        (|host| &mut host.allowances.bandwidth_in) as fn(&mut HostCounters) -> &mut Option<u64>,
        |host| &mut host.allowances.packet_rate,
        |host| &mut host.allowances.connections,
    ] {
        let mut story = on_ena();
        story.probes(40, |story| {
            story.serve(NODE_B);
            story.count(counter, 1);
        });
        assert_eq!(
            story.conclusions(),
            [
                (Code::ProbesMissing, Confidence::Inferred, nodes(&[A])),
                (Code::AllowanceExceeded, Confidence::Inferred, nodes(&[A])),
            ]
        );
        assert!(
            story.findings().iter().all(|finding| finding.code == Code::ClientsMissing || finding.is_fault())
        );
    }
}

#[test]
fn while_absence_is_only_suspected_so_is_this() {
    let mut story = on_ena();
    story.probes(15, |story| {
        story.serve(NODE_B);
        story.count(|host| &mut host.allowances.connections, 1);
    });
    assert_eq!(
        story.conclusions(),
        [
            (Code::ProbesMissing, Confidence::Suspected, nodes(&[A])),
            (Code::AllowanceExceeded, Confidence::Suspected, nodes(&[A])),
        ]
    );
}

#[test]
fn what_was_exceeded_before_the_agent_began_says_nothing() {
    let mut story = on_ena();
    story.probes(40, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A]))]);
}

#[test]
fn a_driver_without_the_counters_exceeded_nothing() {
    let mut story = Story::new();
    story.probes(40, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A]))]);
}

#[test]
fn it_is_over_when_nothing_was_exceeded_for_a_window() {
    let mut story = on_ena();
    story.probes(10, |story| {
        serve_both(story);
        story.count(|host| &mut host.allowances.bandwidth_in, 40);
    });
    story.probes(30, serve_both);
    assert_eq!(story.conclusions().len(), 1);
    story.probes(20, serve_both);
    assert_eq!(story.conclusions(), []);
}
