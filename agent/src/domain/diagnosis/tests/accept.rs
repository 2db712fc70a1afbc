//! Connections that wait to be accepted.

use super::{
    served::{fail_check, pass_check},
    *,
};

/// A queue that holds what was established and lets nobody out.
fn hold(story: &mut Story, key: TallyKey) {
    let tally = story.tally(key);
    tally.arrived += 1;
    tally.synacks += 1;
    tally.established += 1;
    if let Some(listeners) = &mut story.sample.listeners {
        listeners[0].backlog += 1;
    }
}

#[test]
fn connections_that_nobody_takes() {
    let mut story = Story::new();
    story.probes(20, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    story.probes(20, |story| {
        hold(story, NODE_A);
        hold(story, NODE_B);
    });
    story.pass(7, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::AppNotAccepting, Confidence::Proven, nodes(&[A, B]))]);
}

#[test]
fn time_in_which_the_agent_did_not_get_to_run_is_none_in_which_the_application_stood_still() {
    let waits = |stalled_seconds: u64| {
        let mut story = Story::new();
        story.history.watch.health_timeout = Some(Duration::from_secs(3));
        story.probes(20, |story| {
            story.serve(NODE_A);
            story.serve(NODE_B);
        });
        hold(&mut story, NODE_A);
        story.pass(1, |_, _| {});
        story.sample.at += Duration::from_secs(stalled_seconds);
        hold(&mut story, NODE_A);
        story.pass(1, |_, _| {});
        story
    };
    let mut story = waits(5);
    assert_eq!(story.conclusions(), [], "nobody got to run");
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::AppNotAccepting, Confidence::Proven, nodes(&[A, B]))]);
}

#[test]
fn an_accept_loop_that_pauses_or_is_busy_is_none_that_stopped() {
    let mut story = Story::new();
    story.probes(20, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    hold(&mut story, NODE_A);
    story.pass(6, |_, _| {});
    assert_eq!(story.conclusions(), [], "a pause that no health check notices");
    story.history.watch.health_timeout = Some(Duration::from_secs(5));
    assert_eq!(story.conclusions(), [(Code::AppNotAccepting, Confidence::Proven, nodes(&[A, B]))]);
    story.history.watch.health_timeout = None;
    // A few always wait, and many are taken.
    story.pass(30, |story, second| {
        (0..20).for_each(|_| story.serve(CLIENTS));
        if second.is_multiple_of(10) {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
    });
    assert_eq!(story.conclusions(), [], "the queue is never empty and moves");
}

/// A health check that gives up in the queue; the kernel leaves the connection in it.
fn give_up(story: &mut Story, key: TallyKey) {
    let tally = story.tally(key);
    tally.unserved += 1;
    tally.probes_unserved += 1;
    tally.answers.probes_given_up += 1;
    tally.answers.wait = Duration::from_secs(4);
}

/// Nobody accepts, and health checks give up after four seconds; the agent guesses six.
fn give_up_in_the_queue(story: &mut Story) {
    hold(story, NODE_A);
    hold(story, NODE_B);
    story.pass(4, |_, _| {});
    give_up(story, NODE_A);
    give_up(story, NODE_B);
}

#[test]
fn health_checks_that_give_up_in_the_queue_are_not_said_to_wait_for_an_answer() {
    let mut story = Story::new();
    story.probes(20, |story| {
        pass_check(story, NODE_A);
        pass_check(story, NODE_B);
    });
    give_up_in_the_queue(&mut story);
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), [], "whether the queue moves is not known yet");
    story.pass(1, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::AppNotAccepting, Confidence::Proven, nodes(&[A, B]))]);
}

#[test]
fn health_checks_that_give_up_beside_a_queue_that_moves_wait_for_an_answer() {
    let mut story = Story::new();
    give_up_in_the_queue(&mut story);
    story.pass(2, |story, _| (0..20).for_each(|_| story.serve(CLIENTS)));
    assert_eq!(story.conclusions(), [(Code::ProbeTimeout, Confidence::Proven, nodes(&[A, B]))]);
    // And where none waits.
    let mut story = Story::new();
    story.probes(20, |story| fail_check(story, NODE_A, |answers| answers.probes_given_up += 1));
    assert_eq!(story.conclusions()[0], (Code::ProbeTimeout, Confidence::Proven, nodes(&[A])));
}

#[test]
fn a_node_whose_clients_wait_in_the_queue_is_none_that_only_probes() {
    let told = |waiting: u64| {
        let mut story = shared();
        story.probes(40, |story| {
            fail_check(story, NODE_A, |answers| answers.probes_given_up += 1);
            (0..waiting).for_each(|_| hold(story, NODE_A));
        });
        class(&story, NODE_A)
    };
    assert_eq!(told(5), "nlb_undecided");
    assert_eq!(told(1), "nlb_probe", "as many as health checks may be under way");
}
