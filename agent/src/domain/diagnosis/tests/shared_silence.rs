//! Health checks that stop behind addresses that clients carry, too: how sure that is, and what only looks like it.

use super::*;

/// A connection that is established and does not end.
pub(super) fn open(story: &mut Story, key: TallyKey) {
    story.arrive(key);
    let tally = story.tally(key);
    tally.synacks += 1;
    tally.established += 1;
}

/// One that was open ends, as a client's.
fn end(story: &mut Story, key: TallyKey) {
    let tally = story.tally(key);
    tally.served += 1;
    tally.clients += 1;
}

pub(super) fn clients(story: &mut Story) {
    client(story, NODE_A);
    client(story, NODE_B);
}

fn settle(mut story: Story) -> Story {
    story.pass(100, |story, second| {
        clients(story);
        if second.is_multiple_of(10) {
            probe(story, NODE_A);
            probe(story, NODE_B);
        }
    });
    assert_eq!(about_silence(&story), []);
    story
}

/// Ten intervals in which both nodes probe, and clients come with their addresses.
fn settled() -> Story {
    settle(shared())
}

/// The same, and nobody said how often they probe.
fn learned() -> Story {
    let mut story = shared();
    story.history.watch.health_interval = None;
    settle(story)
}

/// What is said of silence.
fn about_silence(story: &Story) -> Vec<(Code, Confidence, Vec<String>)> {
    let is_other = |code| code == Code::SharedSource;
    story.conclusions().into_iter().filter(|(code, ..)| !is_other(*code)).collect()
}

fn stopped(confidence: Confidence, sources: &[&str]) -> Vec<(Code, Confidence, Vec<String>)> {
    vec![(Code::ProbesStopped, confidence, nodes(sources))]
}

#[test]
fn one_node_stops_while_its_clients_and_the_other_go_on() {
    for mut story in [settled(), learned()] {
        let others = |story: &mut Story, second: u64| {
            clients(story);
            if second.is_multiple_of(10) {
                probe(story, NODE_B);
            }
        };
        story.pass(30, others);
        assert_eq!(about_silence(&story), []);
        story.pass(1, others);
        assert_eq!(about_silence(&story), stopped(Confidence::Inferred, &[A]));
        assert_eq!(story.verdict(&[]).state, State::Fault);
        let finding = &story.findings()[0];
        assert!(
            finding.summary.starts_with("no health check from 10.0.1.23 for 31 s"),
            "{}",
            finding.summary
        );
    }
}

#[test]
fn all_nodes_stop_while_clients_of_the_same_addresses_go_on() {
    for mut story in [settled(), learned()] {
        story.pass(31, |story, _| clients(story));
        assert_eq!(about_silence(&story), stopped(Confidence::Suspected, &[A, B]));
        story.pass(88, |story, _| clients(story));
        assert_eq!(about_silence(&story), stopped(Confidence::Suspected, &[A, B]));
        story.pass(1, |story, _| clients(story));
        assert_eq!(about_silence(&story), stopped(Confidence::Inferred, &[A, B]));
        let advice = &story.findings()[0].advice;
        assert!(advice.contains("HealthCheckPort") && advice.contains("NLB's security group"), "{advice}");
    }
}

/// Of one that stopped, the other's clients must not pass for its health checks, whatever their connections do.
#[test]
fn clients_of_the_other_node_are_no_health_checks_that_go_on() {
    let mut story = settled();
    let sparse = |story: &mut Story, second: u64| {
        client(story, NODE_A);
        open(story, NODE_B);
        if second.is_multiple_of(25) {
            end(story, NODE_B);
        }
    };
    story.pass(60, sparse);
    assert!(
        about_silence(&story).iter().all(|(_, confidence, _)| *confidence == Confidence::Suspected),
        "{:?}",
        about_silence(&story)
    );
}

#[test]
fn rare_clients_do_not_make_the_finding_come_and_go() {
    let mut story = shared();
    let rare = |story: &mut Story, second: u64| {
        if second.is_multiple_of(25) {
            clients(story);
        }
    };
    story.pass(200, |story, second| {
        rare(story, second);
        if second.is_multiple_of(10) {
            probe(story, NODE_A);
            probe(story, NODE_B);
        }
    });
    let mut said = Vec::new();
    story.pass(150, |story, second| {
        rare(story, second);
        said.push(about_silence(story).first().map(|(code, confidence, _)| (*code, *confidence)));
    });
    said.dedup();
    let opened = said.iter().skip_while(|said| said.is_none());
    assert!(opened.clone().all(Option::is_some), "{said:?}");
    assert_eq!(opened.last(), Some(&Some((Code::ProbesStopped, Confidence::Inferred))), "{said:?}");
}

#[test]
fn nodes_and_clients_that_leave_together_are_withdrawn_and_nothing_else_is_said_at_any_time() {
    for (earlier, ahead) in (0..10).flat_map(|earlier| (0..10).map(move |ahead| (earlier, ahead))) {
        let mut story = settled();
        let leaves = 100 + earlier;
        story.pass(100, |story, second| {
            if second + ahead < leaves {
                clients(story);
            }
            if second < leaves && second.is_multiple_of(10) {
                probe(story, NODE_A);
                probe(story, NODE_B);
            }
            let said = about_silence(story);
            assert!(
                said.iter().all(|(code, ..)| *code == Code::ProbesWithdrawn),
                "{earlier} {ahead} {second}: {said:?}"
            );
        });
        assert_eq!(about_silence(&story).len(), 1, "{earlier} {ahead}");
    }
}

/// Its new connections and its health checks go elsewhere; those that are open go on to end for minutes.
#[test]
fn a_target_that_is_told_to_stop_is_withdrawn_although_connections_of_clients_go_on_to_end() {
    let mut story = shared();
    story.pass(100, |story, second| {
        clients(story);
        for node in [NODE_A, NODE_B] {
            (0..4).for_each(|_| open(story, node));
            if second.is_multiple_of(10) {
                probe(story, node);
            }
        }
    });
    story.pass(250, |story, second| {
        end(story, NODE_A);
        end(story, NODE_B);
        let said = about_silence(story);
        assert!(said.iter().all(|(code, ..)| *code == Code::ProbesWithdrawn), "{second}: {said:?}");
    });
    assert_eq!(about_silence(&story).len(), 1);
}

/// They keep their connections: nobody comes any more, and nobody ends.
#[test]
fn clients_that_keep_their_connections_do_not_go_on() {
    let mut story = shared();
    story.pass(100, |story, second| {
        for node in [NODE_A, NODE_B] {
            if second <= 5 {
                open(story, node);
                client(story, node);
            }
            if second.is_multiple_of(10) {
                probe(story, node);
            }
        }
    });
    assert_eq!((about_silence(&story), story.verdict(&[]).state), (vec![], State::Healthy));
    story.pass(130, |_, _| {});
    assert_eq!(about_silence(&story), [(Code::ProbesWithdrawn, Confidence::Inferred, nodes(&[A, B]))]);
}

/// As many connections as health checks are missed came and did not end: they may be those that are missed.
#[test]
fn health_checks_that_hang_while_clients_are_served_are_not_surely_missing() {
    let mut story = settled();
    story.pass(200, |story, second| {
        clients(story);
        for node in [NODE_A, NODE_B].into_iter().filter(|_| second.is_multiple_of(10)) {
            open(story, node);
        }
        let said = about_silence(story);
        assert!(said.iter().all(|(_, confidence, _)| *confidence == Confidence::Suspected), "{said:?}");
    });
}

#[test]
fn health_checks_that_are_dropped_on_this_host_are_not_surely_missing() {
    let mut story = settled();
    story.pass(200, |story, second| {
        clients(story);
        for node in [NODE_A, NODE_B].into_iter().filter(|_| second.is_multiple_of(10)) {
            story.drop(node, "NETFILTER_DROP");
        }
        let said = about_silence(story).into_iter().filter(|(code, ..)| *code == Code::ProbesStopped);
        assert!(said.into_iter().all(|(_, confidence, _)| confidence == Confidence::Suspected));
    });
}

#[test]
fn health_checks_that_become_encrypted_are_not_surely_missing() {
    let mut story = settled();
    story.pass(200, |story, second| {
        clients(story);
        for node in [NODE_A, NODE_B].into_iter().filter(|_| second.is_multiple_of(10)) {
            client(story, node);
            story.tally(node).tls_openings += 1;
        }
        let said = about_silence(story);
        assert!(said.iter().all(|(_, confidence, _)| *confidence == Confidence::Suspected), "{said:?}");
    });
}

#[test]
fn in_a_young_task_it_is_no_more_than_suspected() {
    for (age, confidence) in [(0, Confidence::Suspected), (100, Confidence::Inferred)] {
        let mut story = shared();
        story.history.watch.task_age = Some(Duration::from_secs(age));
        let mut story = settle(story);
        story.pass(40, |story, second| {
            clients(story);
            if second.is_multiple_of(10) {
                probe(story, NODE_B);
            }
        });
        assert_eq!(about_silence(&story), stopped(confidence, &[A]));
    }
}

#[test]
fn nobody_is_surely_missed_whose_rhythm_was_not_seen_yet() {
    let mut story = shared();
    story.pass(20, |story, second| {
        clients(story);
        if second.is_multiple_of(10) {
            probe(story, NODE_A);
            probe(story, NODE_B);
        }
    });
    story.pass(40, |story, second| {
        clients(story);
        if second.is_multiple_of(10) {
            probe(story, NODE_B);
        }
    });
    assert_eq!(about_silence(&story), stopped(Confidence::Suspected, &[A]));
}

/// Three checkers of a node come in a bunch, far more seldom than was said.
#[test]
fn an_interval_that_was_given_too_short_makes_nothing_surely_missing() {
    let mut story = shared();
    story.history.watch.health_interval = Some(Duration::from_secs(5));
    story.pass(600, |story, second| {
        clients(story);
        if [0, 1, 4].contains(&(second % 30)) {
            probe(story, NODE_A);
            probe(story, NODE_B);
        }
        let said = about_silence(story);
        // Nothing was seen of them for three intervals of the length that was given.
        assert!(
            said.iter()
                .all(|(code, confidence, _)| *code == Code::ProbesMissing
                    || *confidence == Confidence::Suspected),
            "{second}: {said:?}"
        );
    });
}

/// Nobody said how often they probe. A is seen twice, or as often as that takes; B on and on, or until then. Clients come with both
/// addresses.
fn seen_by(a_is_seen_until: u64, b_is_seen_until: u64) -> Vec<(Code, Confidence, Vec<String>)> {
    let mut story = shared();
    story.history.watch.health_interval = None;
    story.pass(100, |story, second| {
        clients(story);
        for (node, until) in [(NODE_A, a_is_seen_until), (NODE_B, b_is_seen_until)] {
            if second.is_multiple_of(10) && second <= until {
                probe(story, node);
            }
        }
    });
    about_silence(&story)
}

#[test]
fn a_node_that_was_seen_twice_and_whose_clients_go_on_is_suspected_to_be_silent() {
    let partial = [(Code::ProbesPartial, Confidence::Suspected, nodes(&[A]))];
    assert_eq!(seen_by(20, 100), partial);
}

#[test]
fn nothing_is_said_of_a_few_while_no_other_node_goes_on_or_says_how_often_they_are_due() {
    assert_eq!(seen_by(100, 100), [], "it goes on");
    assert_eq!(seen_by(20, 20), [], "nobody knows how often they are due");
    // The other one was known well enough to be missed, and is no less sure for it.
    assert_eq!(seen_by(20, 60), stopped(Confidence::Suspected, &[B]));
}
