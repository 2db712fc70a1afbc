//! SYN-ACKs that did not arrive, and ports that are translated.

use super::*;

fn lose(story: &mut Story, key: TallyKey) {
    story.arrive(key);
    story.tally(key).synacks += 3;
    story.tally(key).synack_retransmits += 2;
}

#[test]
fn a_reply_lost_beyond_the_host() {
    let mut story = Story::new();
    story.probes(40, |story| {
        lose(story, NODE_A);
        story.serve(NODE_B);
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::ReplyLost, Confidence::Proven, nodes(&[A]))]);
}

#[test]
fn one_client_that_went_away_in_a_handshake_is_no_lost_path() {
    let mut story = Story::new();
    story.pass(40, |story, second| {
        (0..5).for_each(|_| story.serve(CLIENTS));
        if second == 10 {
            lose(story, CLIENTS);
        }
        if second % 10 == 0 {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn a_reply_dropped_on_the_host_is_not_called_lost() {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.arrive(NODE_A);
        story.note_drop(NODE_A, Dropped::SynAck, "NETFILTER_DROP");
        story.note_drop(NODE_A, Dropped::SynAck, "NETFILTER_DROP");
        story.tally(NODE_A).synack_retransmits += 1;
        story.serve(NODE_B);
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::ReplyDropped, Confidence::Proven, nodes(&[A]))]);
    assert_eq!(story.findings()[0].place.name(), "host firewall");
}

#[test]
fn a_kernel_that_gives_no_reasons_proves_neither_a_dropped_nor_a_lost_reply() {
    for answered in [false, true] {
        let mut story = Story::new();
        story.probes(40, |story| {
            story.arrive(NODE_A);
            story.tally(NODE_A).synacks += if answered { 3 } else { 0 };
            story.note_drop(NODE_A, Dropped::SynAck, crate::domain::reason::UNKNOWN.0);
            story.tally(NODE_A).synack_retransmits += 1;
            story.serve(NODE_B);
        });
        story.pass(2, |_, _| {});
        assert_eq!(story.conclusions(), []);
        assert_eq!(story.verdict(&[]).state, State::Inconclusive);
    }
}

/// Answered on the watched port, on which nothing listens; the sockets have another port.
fn translated(story: &mut Story) {
    for node in [NODE_A, NODE_B] {
        story.arrive(node);
        story.tally(node).synacks += 1;
        *story.sample.elsewhere.entry((node.slot, 18080)).or_default() += 1;
    }
}

#[test]
fn a_redirected_port_is_a_note_with_the_port_it_leads_to() {
    let mut story = Story::new();
    story.sample.listeners = Some(vec![Listener { port: 18080, ..listener(Ipv4Addr::UNSPECIFIED.into()) }]);
    story.probes(40, translated);
    assert_eq!(story.conclusions(), [(Code::PortTranslated, Confidence::Inferred, vec![])]);
    assert!(story.findings().iter().any(|finding| finding.summary.contains("18080")));
}

#[test]
fn one_connection_on_another_port_proves_no_redirect_to_it() {
    let mut story = Story::new();
    story.sample.listeners = Some(Vec::new());
    story.probes(40, |story| {
        translated(story);
        story.sample.elsewhere = BTreeMap::from([((NODE_A.slot, 18080), 1)]);
    });
    let findings = story.findings();
    assert!(findings.iter().any(|finding| finding.summary.contains("cannot be seen")), "{findings:?}");
}

#[test]
fn a_redirect_that_leads_out_of_sight_is_a_blind_spot() {
    let mut story = Story::new();
    story.sample.listeners = Some(Vec::new());
    story.probes(40, |story| {
        translated(story);
        story.sample.elsewhere.clear();
    });
    assert_eq!(story.conclusions(), [(Code::PortTranslated, Confidence::Proven, vec![])]);
    let verdict = story.verdict(&[]);
    assert_eq!(verdict.blind_spots[0].id, "port_translated");
    assert_eq!(verdict.state, crate::domain::verdict::State::Inconclusive);
}
