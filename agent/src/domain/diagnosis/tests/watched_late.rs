//! Who begins to watch too late to see health checks stop, behind addresses that clients carry, too.

use super::{
    shared_silence::{clients, open},
    *,
};

/// Who begins to watch after health checks of one node stopped: clients come with both addresses, and health checks of B only.
fn watched_late(mut each: impl FnMut(&mut Story, u64)) -> Story {
    let mut story = shared();
    story.pass(36, |story, second| {
        clients(story);
        each(story, second);
    });
    story
}

fn missing_of_a(story: &Story) -> Vec<Confidence> {
    let is_of_a = |finding: &Finding| finding.code == Code::ProbesMissing && finding.sources[0] == A;
    story.findings().into_iter().filter(is_of_a).map(|finding| finding.confidence).collect()
}

fn checked(story: &mut Story, second: u64) {
    if second.is_multiple_of(10) {
        probe(story, NODE_B);
    }
}

#[test]
fn a_node_of_which_only_clients_come_is_missed_where_health_checks_of_another_are_recognised() {
    let mut story = shared();
    let each = |story: &mut Story, second| {
        clients(story);
        checked(story, second);
    };
    story.pass(29, each);
    assert_eq!(missing_of_a(&story), [Confidence::Suspected]);
    story.pass(2, each);
    assert_eq!(missing_of_a(&story), [Confidence::Inferred]);
    assert_eq!(story.verdict(&[]).state, State::Fault);
}

#[test]
fn where_none_are_recognised_or_those_of_the_node_may_hang_or_hide_it_is_only_suspected_to_be_missed() {
    let hang = |story: &mut Story, second: u64| {
        checked(story, second);
        if second.is_multiple_of(10) {
            open(story, NODE_A);
        }
    };
    let hide = |story: &mut Story, second: u64| {
        checked(story, second);
        if second.is_multiple_of(10) {
            client(story, NODE_A);
            story.tally(NODE_A).tls_openings += 1;
        }
    };
    let stop = |story: &mut Story, second: u64| {
        if second < 20 {
            checked(story, 10 * second);
        }
    };
    for story in [watched_late(|_, _| {}), watched_late(hang), watched_late(hide)] {
        assert_eq!(missing_of_a(&story), [Confidence::Suspected], "{:?}", story.findings());
    }
    // Health checks of the other are over, too.
    let mut story = watched_late(stop);
    story.pass(5, |story, _| clients(story));
    assert_eq!(missing_of_a(&story), [Confidence::Suspected], "{:?}", story.findings());
}
