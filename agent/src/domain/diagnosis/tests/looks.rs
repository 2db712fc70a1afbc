//! When a look before its time would tell: no fault of the host has to wait for the next one that is due.

use super::*;

fn next(story: &Story) -> Option<Duration> {
    next_look(&story.case())
}

fn healthy() -> Story {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(next(&story), None);
    story
}

/// A SYN that was answered, and whose SYN-ACK is sent again after a second.
fn answered_again(story: &mut Story, key: TallyKey) {
    story.pass(1, |story, _| {
        story.arrive(key);
        story.tally(key).synacks += 1;
    });
    assert_eq!(next(story), None, "it may be on its way");
    story.tally(key).synacks += 1;
    story.tally(key).synack_retransmits += 1;
    story.after(Duration::from_millis(900));
}

#[test]
fn an_answer_that_was_sent_again_is_looked_at_as_soon_as_it_is_old_enough() {
    let mut story = healthy();
    answered_again(&mut story, NODE_A);
    assert_eq!((story.conclusions(), next(&story)), (vec![], Some(Duration::from_millis(150))));
    story.after(Duration::from_millis(150));
    assert_eq!(story.conclusions(), [(Code::ReplyLost, Confidence::Proven, nodes(&[A]))]);
    assert_eq!(next(&story), None, "it is told: another look is of no use");
}

#[test]
fn an_answer_that_arrived_at_the_second_attempt_is_in_no_hurry() {
    let mut story = healthy();
    answered_again(&mut story, NODE_A);
    story.tally(NODE_A).established += 1;
    story.tally(NODE_A).served += 1;
    story.after(Duration::from_millis(50));
    assert_eq!((story.conclusions(), next(&story)), (vec![], None));
}

/// In every reading of a busy service handshakes are under way, and now and then a packet is lost.
#[test]
fn a_few_of_many_are_in_no_hurry() {
    let mut story = healthy();
    for _ in 0..20 {
        story.pass(1, |story, _| {
            (0..100).for_each(|_| story.serve(CLIENTS));
            let tally = story.tally(CLIENTS);
            tally.arrived += 2;
            tally.synacks += 3;
            tally.synack_retransmits += 1;
        });
        assert_eq!(next(&story), None);
        story.tally(CLIENTS).established += 2;
    }
}

fn waiting(story: &mut Story, backlog: u32) {
    story.sample.listeners = Some(vec![Listener { backlog, ..listener(Ipv4Addr::UNSPECIFIED.into()) }]);
}

/// A connection that waits to be accepted, where a health check waits for two seconds.
fn unaccepted() -> Story {
    let mut story = healthy();
    story.history.watch.health_timeout = Some(Duration::from_secs(2));
    waiting(&mut story, 1);
    story.pass(1, |story, _| {
        story.arrive(NODE_A);
        story.tally(NODE_A).synacks += 1;
        story.tally(NODE_A).established += 1;
    });
    story
}

#[test]
fn connections_that_wait_are_looked_at_when_a_health_check_has_waited_in_vain() {
    let mut story = unaccepted();
    assert_eq!(next(&story), Some(Duration::from_secs(2)));
    story.after(Duration::from_millis(750));
    story.after(Duration::from_millis(750));
    assert_eq!((story.conclusions(), next(&story)), (vec![], Some(Duration::from_millis(500))));
    story.after(Duration::from_millis(500));
    assert_eq!(story.conclusions(), [(Code::AppNotAccepting, Confidence::Proven, nodes(&[A, B]))]);
    assert_eq!(next(&story), None, "it is told: another look is of no use");
}

#[test]
fn connections_that_were_accepted_are_in_no_hurry() {
    let mut story = unaccepted();
    waiting(&mut story, 0);
    story.after(Duration::from_millis(1500));
    assert_eq!((story.conclusions(), next(&story)), (vec![], None));
}
