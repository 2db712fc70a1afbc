//! `--health-port` and health checks that come to another port that is watched, too.

use super::*;
use crate::domain::diagnosis::corrections;

const GIVEN: u16 = 9000;

/// Both nodes are said to check port 9000; clients come to port 8080 with their addresses.
fn told() -> Story {
    let mut story = Story::new();
    let watch = &mut story.history.watch;
    watch.ports = vec![PORT, GIVEN];
    watch.priors =
        Priors { client_ip: ClientIp::Auto, health_port: Some(GIVEN), health_port_is_shared: false };
    story
}

/// Opens and closes without a word.
fn mute(story: &mut Story, key: TallyKey) {
    story.serve(key);
    story.tally(key).probes_served += 1;
}

/// Calls itself a health check.
fn said(story: &mut Story, key: TallyKey) {
    mute(story, key);
    story.tally(key).answers.http_answers += 1;
}

fn hints(story: &Story) -> Vec<String> {
    corrections(&story.case())
}

/// Whether anything was surely missing meanwhile.
fn pass(story: &mut Story, seconds: u64, each: impl Fn(&mut Story, u64)) -> bool {
    let mut missed = false;
    story.pass(seconds, |story, second| {
        each(story, second);
        missed |= story
            .conclusions()
            .iter()
            .any(|(code, confidence, _)| *code == Code::ProbesMissing && *confidence > Confidence::Suspected);
    });
    missed
}

#[test]
fn health_checks_that_say_so_on_the_traffic_port_overturn_the_port_that_was_given() {
    let mut story = told();
    let missed = pass(&mut story, 80, |story, second| {
        client(story, NODE_A);
        if second.is_multiple_of(10) {
            said(story, NODE_A);
            said(story, NODE_B);
        }
    });
    assert!(!missed, "nobody was missed who came to the other port");
    assert_eq!((class(&story, NODE_A), class(&story, NODE_B)), ("nlb_undecided", "nlb_probe"));
    assert_eq!(story.conclusions(), [(Code::SharedSource, Confidence::Proven, nodes(&[A]))]);
    let note = &story.findings()[0];
    assert!(note.summary.contains("although --health-port 9000 was given"), "{}", note.summary);
    let facts: Vec<_> = note.evidence.iter().map(|fact| fact.name).collect();
    assert!(facts.ends_with(&["health_port_given", "health_port_seen"]), "{facts:?}");
    assert!(hints(&story)[0].contains("--health-port 9000 was given"), "{:?}", hints(&story));
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

/// And the verdict goes by them.
#[test]
fn what_stops_on_the_port_that_is_seen_is_missed_there() {
    let mut story = told();
    story.probes(80, |story| {
        said(story, NODE_A);
        said(story, NODE_B);
    });
    let findings = story.findings();
    let note = findings.iter().find(|finding| finding.code == Code::SharedSource).expect("it is said");
    assert_eq!((note.severity, note.port), (Severity::Note, Some(PORT)));
    assert!(note.summary.contains("--health-port 9000"), "{}", note.summary);
    story.probes(31, |story| said(story, NODE_B));
    let faults: Vec<_> =
        story.conclusions().into_iter().filter(|(code, ..)| *code != Code::SharedSource).collect();
    assert_eq!(faults, [(Code::ProbesStopped, Confidence::Inferred, nodes(&[A]))]);
    let stopped = story.findings().into_iter().find(|finding| finding.code == Code::ProbesStopped);
    assert_eq!(stopped.and_then(|finding| finding.port), Some(PORT));
}

#[test]
fn a_node_that_never_came_is_missed_on_the_port_that_is_seen() {
    let mut story = told();
    story.probes(100, |story| said(story, NODE_A));
    let faults: Vec<_> =
        story.conclusions().into_iter().filter(|(code, ..)| *code != Code::SharedSource).collect();
    assert_eq!(faults, [(Code::ProbesMissing, Confidence::Inferred, nodes(&[B]))]);
}

/// A node tests the targets of a TLS listener so, too, whatever the health check.
#[test]
fn those_that_say_nothing_are_followed_and_forbid_healthy() {
    let mut story = told();
    let missed = pass(&mut story, 80, |story, second| {
        if second.is_multiple_of(10) {
            mute(story, NODE_A);
            mute(story, NODE_B);
        }
    });
    assert!(!missed);
    assert_eq!(story.conclusions(), [(Code::SharedSource, Confidence::Inferred, nodes(&[A, B]))]);
    let verdict = story.verdict(&[]);
    assert_eq!(verdict.state, State::Inconclusive);
    assert!(verdict.reasons[0].contains("say with --health-port 8080"), "{:?}", verdict.reasons);
}

#[test]
fn health_checks_on_the_port_that_was_given_overturn_nothing_whatever_else_comes() {
    let mut story = told();
    let missed = pass(&mut story, 100, |story, second| {
        for node in [NODE_A, NODE_B].into_iter().filter(|_| second.is_multiple_of(10)) {
            said(story, TallyKey { port: GIVEN, ..node });
            mute(story, node);
        }
    });
    assert!(!missed);
    assert_eq!((class(&story, NODE_A), hints(&story)), ("client_via_nlb", vec![]));
    assert_eq!((story.conclusions(), story.verdict(&[]).state), (vec![], State::Healthy));
}

/// The port that was given is shut, and clients of the nodes' addresses are served on the other.
#[test]
fn clients_on_the_traffic_port_are_no_health_checks() {
    let mut draw = fastrand::Rng::with_seed(3);
    let mut story = told();
    story.pass(120, |story, _| {
        client(story, NODE_A);
        client(story, NODE_B);
        // Some of them leave without a word.
        for node in [NODE_A, NODE_B] {
            if draw.u8(0..8) == 0 {
                mute(story, node);
            }
        }
    });
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A, B]))]);
    assert_eq!(hints(&story), [""; 0]);
}

/// A monitor that comes by one node.
#[test]
fn one_of_two_nodes_that_says_nothing_overturns_nothing() {
    let mut story = told();
    story.probes(100, |story| mute(story, NODE_A));
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A, B]))]);
}

#[test]
fn what_was_given_holds_again_once_somebody_comes_there() {
    let mut story = told();
    story.probes(100, |story| {
        said(story, NODE_A);
        said(story, NODE_B);
    });
    assert_eq!(hints(&story).len(), 1);
    story.probes(10, |story| {
        said(story, TallyKey { port: GIVEN, ..NODE_A });
        said(story, TallyKey { port: GIVEN, ..NODE_B });
    });
    assert_eq!((story.conclusions(), hints(&story)), (vec![], vec![]));
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}
