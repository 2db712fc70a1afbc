//! Health checks that came before the application listened, and nodes that were seen once.

use super::*;

fn refuse(story: &mut Story, key: TallyKey) {
    story.drop(key, "NO_SOCKET");
    story.tally(key).refused += 1;
}

fn severities(story: &Story) -> Vec<(Code, Severity)> {
    let findings = story.findings().into_iter();
    findings
        .map(|finding| (finding.code, finding.severity))
        .filter(|told| *told != (Code::ClientsMissing, Severity::Note))
        .collect()
}

#[test]
fn an_application_that_starts_after_two_health_checks_is_late_until_it_serves_one() {
    let mut story = Story::new();
    let listeners = story.sample.listeners.take();
    story.sample.listeners = Some(Vec::new());
    story.probes(20, |story| {
        refuse(story, NODE_A);
        refuse(story, NODE_B);
    });
    assert_eq!(severities(&story)[0], (Code::NoListener, Severity::Fault));
    story.sample.listeners = listeners;
    story.pass(1, |_, _| {});
    assert_eq!(severities(&story), [(Code::SlowStart, Severity::Fault)]);
    story.probes(10, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(severities(&story), [(Code::SlowStart, Severity::Note)]);
    story.probes(60, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(severities(&story), []);
}

#[test]
fn one_refused_health_check_makes_no_target_unhealthy() {
    let mut story = Story::new();
    let listeners = story.sample.listeners.replace(Vec::new());
    story.probes(10, |story| {
        refuse(story, NODE_A);
        refuse(story, NODE_B);
    });
    story.sample.listeners = listeners;
    story.pass(1, |_, _| {});
    assert_eq!(severities(&story), [(Code::SlowStart, Severity::Note)]);
}

#[test]
fn an_application_that_was_served_before_has_not_started_late() {
    let mut story = Story::new();
    story.probes(20, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    let listeners = story.sample.listeners.replace(Vec::new());
    story.probes(20, |story| refuse(story, NODE_A));
    story.sample.listeners = listeners;
    story.probes(10, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert!(severities(&story).iter().all(|(code, _)| *code != Code::SlowStart), "{:?}", story.findings());
}

#[test]
fn a_node_seen_once_that_falls_silent_while_another_goes_on() {
    let mut story = Story::new();
    // Nobody said how often: the other node's rhythm says it after four intervals.
    story.history.watch.health_interval = None;
    story.probes(10, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    story.probes(30, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [], "not yet for three intervals");
    story.probes(20, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesPartial, Confidence::Inferred, nodes(&[A]))]);
}
