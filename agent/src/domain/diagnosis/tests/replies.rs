//! SYN-ACKs that did not arrive, and ports that are translated.

use super::*;
use crate::domain::{diagnosis::Translation, finding::Value, stage::Stage};

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

/// What the agent does between a reading and what follows from it.
fn follow(story: &mut Story) -> u16 {
    let local = match crate::domain::diagnosis::translation(&story.case(), PORT) {
        Translation::To(local) => local,
        _ => PORT,
    };
    story.history.follow(PORT, local);
    local
}

/// A connection that ends up where the port is followed: whose it is, is not told there.
fn followed(story: &mut Story) {
    for node in [NODE_A, NODE_B] {
        story.serve(node);
        *story.sample.elsewhere.entry((OTHER_SLOT, 18080)).or_default() += 1;
    }
}

/// A redirect to 18080 that is followed.
fn redirected(own: &[Listener]) -> Story {
    let mut story = Story::new();
    let local = Listener { port: 18080, ..listener(Ipv4Addr::UNSPECIFIED.into()) };
    story.sample.listeners = Some([own, &[local]].concat());
    story.probes(40, translated);
    story.pass(2, |_, _| {});
    assert_eq!(follow(&mut story), 18080);
    for _ in 0..40 {
        story.pass(1, |story, second| {
            if second % 10 == 0 {
                followed(story)
            }
        });
        assert_eq!(follow(&mut story), 18080, "{:?}", story.sample.at);
    }
    assert_eq!(story.conclusions(), [(Code::PortTranslated, Confidence::Inferred, vec![])]);
    assert_eq!(story.verdict(&[]).state, State::Healthy);
    story
}

#[test]
fn a_redirect_is_told_by_what_was_read_of_it() {
    for own in [&[][..], &[listener(Ipv4Addr::UNSPECIFIED.into())]] {
        let story = redirected(own);
        let evidence = story.findings().into_iter().find(|finding| finding.code == Code::PortTranslated);
        let evidence = evidence.expect("the note").evidence;
        let counts: Vec<_> = evidence.iter().map(|fact| (fact.name, fact.value.clone())).collect();
        assert_eq!(counts[0], ("local_port", Value::Text("18080".to_owned())));
        assert!(matches!(counts[1], ("connections_on_local_port", Value::Count(6..=8))), "{counts:?}");
        assert_eq!(counts[2], ("listeners_on_port", Value::Count(own.len() as u64)));
    }
}

#[test]
fn a_redirect_is_over_once_connections_end_up_on_the_port_itself() {
    let mut story = redirected(&[listener(Ipv4Addr::UNSPECIFIED.into())]);
    story.pass(22, |story, second| {
        if second % 10 == 0 {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
        follow(story);
    });
    follow(&mut story);
    assert_eq!(story.conclusions(), []);
    assert_eq!(story.history.local_port(PORT), PORT);
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

#[test]
fn a_redirect_is_over_once_the_port_refuses_while_the_local_one_is_listened_on() {
    let mut story = redirected(&[]);
    story.pass(11, |story, second| {
        if second % 10 == 0 {
            story.drop(NODE_A, "NO_SOCKET");
            story.tally(NODE_A).refused += 1;
        }
    });
    follow(&mut story);
    assert_eq!(story.conclusions(), [(Code::NoListener, Confidence::Proven, nodes(&[A]))]);
}

#[test]
fn a_redirect_to_an_application_that_restarts_goes_on() {
    let mut story = redirected(&[]);
    let running = story.sample.listeners.clone();
    story.pass(30, |story, second| {
        story.sample.listeners = if second % 30 < 12 { Some(Vec::new()) } else { running.clone() };
        if second % 10 == 0 && second % 30 < 12 {
            story.drop(NODE_A, "NO_SOCKET");
            story.tally(NODE_A).refused += 1;
        }
        if second % 10 == 0 && second % 30 >= 12 {
            followed(story);
        }
        follow(story);
    });
    assert_eq!(follow(&mut story), 18080);
}

#[test]
fn a_redirect_whose_answers_get_lost_goes_on() {
    let mut story = redirected(&[]);
    story.probes(30, |story| {
        lose(story, NODE_A);
        lose(story, NODE_B);
    });
    assert_eq!(follow(&mut story), 18080);
}

#[test]
fn a_redirect_is_over_when_nothing_came_that_way_for_a_window() {
    let mut story = redirected(&[]);
    story.pass(30, |_, _| {});
    assert_eq!(follow(&mut story), 18080);
    story.pass(10, |_, _| {});
    assert_eq!(follow(&mut story), PORT);
    assert!(story.findings().iter().all(|finding| finding.code != Code::PortTranslated));
    // And is found again.
    story.probes(20, translated);
    assert_eq!(follow(&mut story), 18080);
}

#[test]
fn a_redirect_that_leads_elsewhere_by_now_is_followed_there() {
    let mut story = redirected(&[]);
    story.probes(20, |story| {
        for node in [NODE_A, NODE_B] {
            story.arrive(node);
            story.tally(node).synacks += 1;
            *story.sample.elsewhere.entry((node.slot, 18081)).or_default() += 1;
        }
    });
    story.pass(2, |_, _| {});
    follow(&mut story);
    assert_eq!(follow(&mut story), 18081);
}

/// Its own listener keeps the port from being proven redirected, and a client that resets every handshake, a scanner say,
/// looks the same.
#[test]
fn a_redirect_out_of_sight_of_a_port_that_is_listened_on_is_a_blind_spot_and_no_finding() {
    let mut story = Story::new();
    story.probes(40, |story| {
        translated(story);
        story.sample.elsewhere.clear();
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), []);
    let verdict = story.verdict(&[]);
    assert_eq!((verdict.state, verdict.blind_spots[0].id), (State::Inconclusive, "port_translated"));
    let unseen = BlindSpot { id: "state", stages: vec![Stage::Established], text: String::new() };
    assert_eq!(story.verdict(&[unseen]).blind_spots.len(), 1, "the lack of what is never seen says nothing");
}

#[test]
fn handshakes_that_are_lost_or_finished_on_the_port_are_no_redirect() {
    for spoil in [
        |story: &mut Story| story.tally(NODE_A).synack_retransmits += 1,
        |story: &mut Story| story.tally(NODE_A).cookies += 1,
        |story: &mut Story| [NODE_A, NODE_B].iter().for_each(|node| story.tally(*node).established += 1),
    ] {
        let mut story = Story::new();
        story.probes(40, |story| {
            translated(story);
            spoil(story);
        });
        story.pass(2, |_, _| {});
        assert_eq!(follow(&mut story), PORT);
        assert_eq!(story.verdict(&[]).blind_spots, []);
    }
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
