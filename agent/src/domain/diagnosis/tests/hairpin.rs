//! A client on the target itself.

use super::*;

const OWN: TallyKey = TallyKey { slot: 4, port: PORT };

/// A story in which the target's own address has a tally.
fn story() -> Story {
    let mut story = Story::new();
    let own = IpAddr::into(TASK);
    story.sources.add(own, Role::Own, Origin::Interface, Duration::ZERO).expect("room");
    story
}

fn all_is_well(story: &mut Story) {
    story.serve(NODE_A);
    story.serve(NODE_B);
    story.serve(CLIENTS);
}

#[test]
fn a_syn_from_the_targets_own_address_is_a_fault_of_its_own_on_every_kernel() {
    // As Linux 6.1 and 6.18 drop it on IPv4, and as IPv6 answers it elsewhere.
    for reason in [Some("NOT_SPECIFIED"), Some("IP_LOCAL_SOURCE"), None] {
        let mut story = story();
        story.probes(30, |story| {
            all_is_well(story);
            match reason {
                Some(reason) => story.drop(OWN, reason),
                None => story.arrive(OWN),
            }
        });
        assert_eq!(story.conclusions(), [(Code::Hairpin, Confidence::Proven, nodes(&["10.0.32.10"]))]);
        assert!(story.findings()[0].advice.contains("preserve_client_ip.enabled,Value=false"));
        assert_eq!(story.verdict(&[]).state, State::Fault);
    }
}

#[test]
fn it_is_over_once_none_came_for_a_window() {
    let mut story = story();
    story.probes(10, |story| story.arrive(OWN));
    story.probes(60, all_is_well);
    assert_eq!(story.conclusions(), []);
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

/// Sockets are counted wherever their packets went; the interface saw none of them.
#[test]
fn a_task_that_talks_to_itself_over_loopback_is_nobodys_concern() {
    let mut story = story();
    story.probes(60, |story| {
        all_is_well(story);
        let tally = story.tally(OWN);
        tally.established += 1;
        tally.unserved += 1;
        story.note_drop(OWN, Dropped::Syn, "NO_SOCKET");
    });
    assert_eq!(story.conclusions(), []);
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

#[test]
fn the_target_itself_is_no_client_that_was_seen() {
    let mut story = story();
    story.history.watch.expect_clients = true;
    story.probes(60, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
        story.serve(OWN);
    });
    assert!(story.verdict(&[]).state != State::Healthy);
}

#[test]
fn where_nobody_is_named_strangers_still_count() {
    let mut sources = SourceTable::new(100);
    sources.add(IpAddr::into(TASK), Role::Own, Origin::Interface, Duration::ZERO).expect("room");
    let mut story = Story::with(sources);
    story.probes(30, |story| story.drop(STRANGERS, "NETFILTER_DROP"));
    assert_eq!(story.conclusions(), [(Code::HostFirewall, Confidence::Proven, nodes(&["any"]))]);
}
