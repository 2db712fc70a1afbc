//! SYNs that reached TCP and were not answered.

use super::*;
use crate::domain::finding::Value;

fn refuse(story: &mut Story, key: TallyKey) {
    story.drop(key, "NO_SOCKET");
    story.tally(key).refused += 1;
}

#[test]
fn nothing_listening_is_told_from_listening_elsewhere() {
    let mut story = Story::new();
    story.sample.listeners = Some(Vec::new());
    story.probes(40, |story| {
        refuse(story, NODE_A);
        refuse(story, NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::NoListener, Confidence::Proven, nodes(&[A, B]))]);

    story.sample.listeners = Some(vec![listener(Ipv4Addr::LOCALHOST.into())]);
    story.pass(1, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::ListenerElsewhere, Confidence::Proven, nodes(&[A, B]))]);
    assert!(story.findings()[0].summary.contains("127.0.0.1"));
}

#[test]
fn an_application_that_has_started_by_now_is_no_missing_listener() {
    for (address, v6_only, serves) in [
        ("0.0.0.0", false, true),
        ("::", false, true),
        ("::", true, false),
        ("10.0.32.10", false, true),
        ("10.0.99.1", false, false),
        ("127.0.0.1", false, false),
    ] {
        let mut story = Story::new();
        story.sample.listeners = Some(Vec::new());
        story.probes(20, |story| {
            refuse(story, NODE_A);
            refuse(story, NODE_B);
        });
        let address = address.parse().expect("an address");
        story.sample.listeners = Some(vec![Listener { v6_only, ..listener(address) }]);
        story.pass(1, |_, _| {});
        let code = if serves { Code::SlowStart } else { Code::ListenerElsewhere };
        assert_eq!(story.conclusions(), [(code, Confidence::Proven, nodes(&[A, B]))], "{address} {v6_only}");
    }
}

#[test]
fn a_listener_on_another_address_of_the_interface_is_elsewhere() {
    let mut story = Story::new();
    let other = "10.0.32.11".parse().expect("an address");
    story.history.watch.addresses.push(other);
    story.sample.listeners = Some(vec![listener(other)]);
    story.pass(1, |_, _| {});
    story.probes(40, |story| {
        refuse(story, NODE_A);
        refuse(story, NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::ListenerElsewhere, Confidence::Proven, nodes(&[A, B]))]);
    assert!(story.findings()[0].summary.contains("bound to 10.0.32.11 only"));
}

#[test]
fn one_that_is_restarted_between_two_readings_is_not() {
    let mut story = Story::new();
    story.sample.listeners = Some(vec![listener("10.0.32.10".parse().expect("an address"))]);
    story.probes(20, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    story.pass(1, |story, _| {
        (0..5).for_each(|_| refuse(story, NODE_A));
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn without_a_reset_or_a_socket_table_it_is_not_proven() {
    let mut story = Story::new();
    story.sample.listeners = Some(Vec::new());
    story.probes(40, |story| {
        story.drop(NODE_A, "NO_SOCKET");
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), []);

    let mut story = Story::new();
    story.sample.listeners = None;
    story.probes(40, |story| {
        refuse(story, NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn a_missing_listener_is_told_by_the_resets_of_those_it_names() {
    let mut story = Story::new();
    story.sample.listeners = Some(Vec::new());
    story.probes(40, |story| {
        refuse(story, NODE_A);
        // Seen without a socket, and no RST left; and RSTs of a rule, while another is answered.
        story.drop(NODE_B, "NO_SOCKET");
    });
    let found = story.findings();
    let found: Vec<_> = found.iter().filter(|finding| finding.code == Code::NoListener).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].sources, nodes(&[A]));
    let count = |name| found[0].evidence.iter().find(|fact| fact.name == name).map(|fact| fact.value.clone());
    assert_eq!(count("resets_sent"), Some(Value::Count(4)));
    assert_eq!(count("syns_without_socket"), Some(Value::Count(4)));

    // Others in the group that a rule refuses are no evidence.
    story.probes(40, |story| {
        refuse(story, NODE_A);
        story.drop(NODE_B, "NETFILTER_DROP");
        story.tally(NODE_B).refused += 1;
    });
    let found = story.findings();
    let found = found.iter().find(|finding| finding.code == Code::NoListener).expect("it goes on");
    let resets = found.evidence.iter().find(|fact| fact.name == "resets_sent").map(|fact| fact.value.clone());
    assert_eq!((resets, &found.sources), (Some(Value::Count(4)), &nodes(&[A])));
}

fn fill_queue(story: &mut Story) {
    story.sample.listeners =
        Some(vec![Listener { backlog: 3, backlog_limit: 2, ..listener(Ipv4Addr::UNSPECIFIED.into()) }]);
}

#[test]
fn a_queue_that_is_full_at_the_syn() {
    let mut story = Story::new();
    fill_queue(&mut story);
    story.probes(40, |story| {
        for node in [NODE_A, NODE_B] {
            story.arrive(node);
            story.count(|host| &mut host.listen_overflows, 1);
            story.count(|host| &mut host.listen_drops, 1);
        }
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::AcceptQueueFull, Confidence::Proven, nodes(&[A, B]))]);
}

/// Both nodes were served for a while.
fn served() -> Story {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    story
}

/// SYNs of this node are seen at a full queue.
fn overflow(story: &mut Story, node: TallyKey, by: u64) {
    story.tally(node).queue_full += by;
    story.count(|host| &mut host.listen_overflows, by);
    story.count(|host| &mut host.listen_drops, by);
}

#[test]
fn a_syn_that_was_seen_before_a_full_queue_is_named_at_once_and_for_its_own_source() {
    let mut story = served();
    fill_queue(&mut story);
    story.pass(1, |story, _| {
        story.arrive(NODE_A);
        overflow(story, NODE_A, 1);
        // In flight: it has neither met the queue nor been answered yet.
        story.arrive(NODE_B);
    });
    let counted = |story: &Story, name| {
        let found = story.findings();
        found[0].evidence.iter().find(|fact| fact.name == name).map(|fact| fact.value.clone())
    };
    assert_eq!(story.conclusions(), [(Code::AcceptQueueFull, Confidence::Proven, nodes(&[A]))]);
    assert_eq!(counted(&story, "syns_at_full_queue"), Some(Value::Count(1)));
    assert_eq!(counted(&story, "attempts_left_hanging"), Some(Value::Count(1)));
    // Later it is one that nothing accounts for, too, and still the same one.
    story.tally(NODE_B).synacks += 1;
    story.tally(NODE_B).established += 1;
    story.pass(2, |_, _| {});
    assert_eq!(counted(&story, "attempts_left_hanging"), Some(Value::Count(1)));
}

#[test]
fn syns_that_came_to_a_full_queue_by_another_interface_are_no_attempts() {
    let mut story = served();
    fill_queue(&mut story);
    story.pass(1, |story, _| overflow(story, NODE_A, 3));
    assert_eq!(story.conclusions(), []);
}

/// The finding needs the listener as it was: without, the doubt has to stay.
#[test]
fn a_syn_at_a_queue_that_was_never_read_full_stays_unexplained() {
    let mut story = served();
    story.pass(1, |story, _| {
        story.arrive(NODE_A);
        overflow(story, NODE_A, 1);
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), []);
    assert_eq!(story.verdict(&[]).state, State::Inconclusive);
}

#[test]
fn a_queue_that_is_full_at_the_final_ack_outranks_a_lost_reply() {
    let mut story = Story::new();
    fill_queue(&mut story);
    story.probes(40, |story| {
        for node in [NODE_A, NODE_B] {
            story.arrive(node);
            story.tally(node).synacks += 4;
            story.tally(node).synack_retransmits += 3;
            story.count(|host| &mut host.listen_overflows, 4);
            story.count(|host| &mut host.listen_drops, 4);
        }
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::AcceptQueueFull, Confidence::Proven, nodes(&[A, B]))]);
}

#[test]
fn overflows_of_another_listener_are_not_ours() {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
        story.count(|host| &mut host.listen_overflows, 5);
        story.count(|host| &mut host.listen_drops, 5);
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn a_syn_before_a_full_queue_is_named_at_a_second_look() {
    let wants = |story: &Story| next_look(&story.case()).is_some();
    let mut story = Story::new();
    story.probes(40, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    // The queue of another port: what hangs here is in flight.
    story.pass(1, |story, _| {
        story.arrive(NODE_A);
        story.count(|host| &mut host.listen_overflows, 1);
    });
    assert!(!wants(&story));
    story.after(Duration::from_millis(150));
    assert_eq!(story.conclusions(), []);
    story.pass(1, |story, _| {
        story.tally(NODE_A).synacks += 1;
        story.tally(NODE_A).established += 1;
        story.tally(NODE_A).served += 1;
    });
    fill_queue(&mut story);
    story.pass(1, |story, _| {
        story.arrive(NODE_A);
        story.count(|host| &mut host.listen_overflows, 1);
        story.count(|host| &mut host.listen_drops, 1);
    });
    assert_eq!((wants(&story), story.conclusions()), (true, vec![]));
    story.after(Duration::from_millis(150));
    assert_eq!(story.conclusions(), [(Code::AcceptQueueFull, Confidence::Proven, nodes(&[A]))]);
    assert!(!wants(&story), "it is told: another look is of no use");
}

#[test]
fn a_syn_of_this_moment_is_not_held_against_anybody() {
    let mut story = Story::new();
    fill_queue(&mut story);
    story.count(|host| &mut host.listen_overflows, 1);
    story.pass(29, |_, _| {});
    story.probes(1, |story| {
        story.arrive(NODE_A);
        story.arrive(NODE_B);
        story.count(|host| &mut host.listen_overflows, 1);
    });
    assert_eq!(story.conclusions(), []);
}
