//! SYNs that meet a connection that is open.

use super::*;

fn all_is_well(story: &mut Story) {
    story.serve(NODE_A);
    story.serve(NODE_B);
    story.serve(CLIENTS);
}

#[test]
fn a_syn_that_meets_an_open_connection_again_and_again_is_named() {
    for reason in ["TCP_INVALID_SYN", "TCP_RFC7323_PAWS"] {
        let mut story = Story::new();
        story.probes(30, |story| {
            all_is_well(story);
            story.drop(CLIENTS, reason);
        });
        assert_eq!(
            story.conclusions(),
            [(Code::DuplicateTuple, Confidence::Proven, nodes(&[CLIENT_PREFIX]))]
        );
        let found = &story.findings()[0];
        assert_eq!(
            found.summary,
            "client from 10.0.16.0/20: 3 of 6 SYNs in 30 s came with the address and port of a connection that is open here, \
             and got no SYN-ACK"
        );
        assert_eq!(story.verdict(&[]).state, State::Fault);
    }
}

/// Its own connection overtook it, or the client began anew and is served a second later.
#[test]
fn a_single_one_is_neither_a_finding_nor_a_riddle() {
    let mut story = Story::new();
    story.probes(30, all_is_well);
    story.pass(1, |story, _| story.drop(CLIENTS, "TCP_INVALID_SYN"));
    story.probes(9, all_is_well);
    assert_eq!(story.conclusions(), []);
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

#[test]
fn it_is_remembered_for_a_window_although_others_are_served() {
    let mut story = Story::new();
    story.pass(2, |story, _| story.drop(CLIENTS, "TCP_INVALID_SYN"));
    story.probes(30, all_is_well);
    assert_eq!(story.conclusions(), [(Code::DuplicateTuple, Confidence::Proven, nodes(&[CLIENT_PREFIX]))]);
    story.probes(10, all_is_well);
    assert_eq!(story.conclusions(), []);
}

#[test]
fn one_in_a_hundred_is_worth_knowing_and_no_fault() {
    let mut story = Story::new();
    story.probes(30, |story| {
        (0..200).for_each(|_| story.serve(CLIENTS));
        all_is_well(story);
        story.drop(CLIENTS, "TCP_INVALID_SYN");
    });
    let severities: Vec<_> =
        story.findings().iter().map(|finding| (finding.code, finding.severity)).collect();
    assert_eq!(severities, [(Code::DuplicateTuple, Severity::Note)]);
}

#[test]
fn what_is_a_fault_becomes_a_note_at_half_the_share_only() {
    let mut story = Story::new();
    let severity = |story: &mut Story, served: u64| {
        story.probes(30, |story| {
            (0..served).for_each(|_| story.serve(CLIENTS));
            all_is_well(story);
            story.drop(CLIENTS, "TCP_INVALID_SYN");
        });
        let findings = story.findings();
        story.ledger.update(story.sample.at, findings);
        story.ledger.open()[0].1.severity
    };
    assert_eq!(severity(&mut story, 150), Severity::Note);
    assert_eq!(severity(&mut story, 50), Severity::Fault);
    assert_eq!(severity(&mut story, 150), Severity::Fault);
    assert_eq!(severity(&mut story, 250), Severity::Note);
    assert_eq!(severity(&mut story, 150), Severity::Note);
}

#[test]
fn other_decisions_of_tcp_about_a_syn_are_not_taken_for_it() {
    let mut story = Story::new();
    story.probes(30, |story| {
        all_is_well(story);
        story.drop(CLIENTS, "TCP_OVERWINDOW");
        story.note_drop(CLIENTS, Dropped::DuplicateSyn, "NOT_SPECIFIED");
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn strangers_that_do_so_while_others_come_through_are_nobodys_concern() {
    let mut story = Story::without_names();
    story.probes(30, |story| {
        story.serve(STRANGERS);
        story.drop(STRANGERS, "TCP_INVALID_SYN");
    });
    assert_eq!(story.conclusions(), []);
}
