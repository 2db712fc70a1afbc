//! What the operator said of the health check, and what behaviour makes of it.

use super::*;
use crate::domain::{diagnosis::corrections, health::Protocol};

fn corrected(story: &Story) -> Vec<String> {
    corrections(&story.case())
}

/// Both nodes probe this often, for so long.
fn every(interval: u64, seconds: u64, given: Duration) -> Story {
    let mut story = Story::new();
    story.history.watch.health_interval = Some(given);
    story.pass(seconds, |story, second| {
        if second.is_multiple_of(interval) {
            probe(story, NODE_A);
            probe(story, NODE_B);
        }
    });
    story
}

#[test]
fn health_checks_that_come_more_seldom_than_was_said_are_not_missed_once_their_rhythm_is_known() {
    let mut story = every(30, 200, Duration::from_secs(5));
    assert_eq!(story.conclusions(), []);
    let corrections = corrected(&story);
    assert!(
        corrections.len() == 1
            && corrections[0].contains("--health-interval 5s")
            && corrections[0].contains("every 30.0 s"),
        "{corrections:?}"
    );
    // And they are missed when they stop, as late as their own interval asks for.
    story.pass(130, |_, _| {});
    assert!(!story.conclusions().is_empty());
}

#[test]
fn what_was_said_and_holds_is_not_corrected() {
    // The last: two checkers of each node, say.
    for (interval, given) in [(10, 10), (10, 8), (10, 14), (10, 20)] {
        let story = every(interval, 200, Duration::from_secs(given));
        assert_eq!(corrected(&story), [""; 0], "{interval} {given}");
    }
}

#[test]
fn one_node_that_is_slow_overturns_nothing() {
    let mut story = Story::new();
    story.pass(400, |story, second| {
        if second.is_multiple_of(10) {
            probe(story, NODE_A);
        }
        if second.is_multiple_of(30) {
            probe(story, NODE_B);
        }
    });
    assert_eq!(corrected(&story), [""; 0]);
    assert_eq!(story.history.window(), Duration::from_secs(35));
}

#[test]
fn the_protocol_that_is_seen_holds() {
    type Speaks = fn(&mut Tally);
    let speak: [(Protocol, Speaks); 3] = [
        (Protocol::Tcp, |_| {}),
        (Protocol::Http, |tally| tally.answers.http_answers += 1),
        (Protocol::Https, |tally| tally.tls_openings += 1),
    ];
    for (spoken, how) in speak {
        for given in [Protocol::Tcp, Protocol::Http, Protocol::Https] {
            let mut story = Story::new();
            story.history.watch.health_protocol = Some(given);
            story.probes(50, |story| {
                for node in [NODE_A, NODE_B] {
                    probe(story, node);
                    how(story.tally(node));
                }
            });
            let corrections = corrected(&story);
            let is_named =
                corrections.iter().any(|text| text.contains(&format!("--health-protocol {}", given.name())));
            assert_eq!(
                (is_named, corrections.len()),
                (spoken != given, usize::from(spoken != given)),
                "{corrections:?}"
            );
        }
    }
}

#[test]
fn too_few_health_checks_correct_nothing() {
    let mut story = Story::new();
    story.history.watch.health_protocol = Some(Protocol::Tcp);
    story.probes(15, |story| {
        probe(story, NODE_A);
        story.tally(NODE_A).answers.http_answers += 1;
    });
    assert_eq!(corrected(&story), [""; 0]);
}
