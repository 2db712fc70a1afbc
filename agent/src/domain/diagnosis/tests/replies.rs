//! SYN-ACKs that did not arrive.

use super::*;
use crate::domain::finding::Value;

pub(super) fn lose(story: &mut Story, key: TallyKey) {
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

/// A listener whose queue is over its limit, or holds nobody.
fn queue(port: u16, is_full: bool) -> Listener {
    Listener { port, backlog: if is_full { 129 } else { 0 }, ..listener(Ipv4Addr::UNSPECIFIED.into()) }
}

/// Replies get lost while the namespace counts overflows; what is said of the former.
fn lost_while_overflowing(listeners: &[Listener]) -> Vec<Finding> {
    let mut story = Story::new();
    story.sample.listeners = Some(listeners.to_vec());
    story.probes(40, |story| {
        lose(story, NODE_A);
        story.serve(NODE_B);
        story.count(|host| &mut host.listen_overflows, 2);
    });
    story.pass(2, |_, _| {});
    story.findings().into_iter().filter(|finding| finding.code == Code::ReplyLost).collect()
}

#[test]
fn an_overflow_of_another_listener_does_not_hide_a_lost_reply() {
    let found = lost_while_overflowing(&[queue(PORT, false), queue(9000, true)]);
    assert_eq!(found.len(), 1);
    let counts =
        |name| found[0].evidence.iter().find(|fact| fact.name == name).map(|fact| fact.value.clone());
    assert_eq!(counts("listen_overflows"), Some(Value::Count(8)));
    assert_eq!(counts("accept_queue"), Some(Value::Count(0)));
}

#[test]
fn an_overflow_that_may_be_of_the_port_proves_no_lost_reply() {
    // Nobody was seen to be over its limit; or the port's own listener; or others, while somebody waits there, too.
    let waiting = Listener { backlog: 100, ..queue(PORT, false) };
    for listeners in [
        vec![queue(PORT, false), queue(9000, false)],
        vec![queue(PORT, true)],
        vec![waiting, queue(9000, true)],
    ] {
        assert_eq!(lost_while_overflowing(&listeners), [], "{listeners:?}");
    }
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
