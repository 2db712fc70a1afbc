//! Senders to which no route leads back, alone and among others whose answers get lost.

use super::*;

#[test]
fn no_route_back_is_proven_by_counters_that_grow_without_overflows() {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.arrive(NODE_A);
        story.serve(NODE_B);
        story.count(|host| &mut host.listen_drops, 1);
        story.count(|host| &mut host.out_no_routes, 1);
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::NoReturnRoute, Confidence::Proven, nodes(&[A]))]);
    assert!(story.findings()[0].advice.contains("ip route get 10.0.1.23"));
}

#[test]
fn a_syn_without_a_route_back_is_named_at_a_second_look() {
    let wants = |story: &Story| next_look(&story.case()).is_some();
    let mut story = Story::new();
    story.probes(40, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert!(!wants(&story));
    // In flight while the counters were read, and nothing says that a route is missing.
    story.pass(1, |story, _| story.arrive(NODE_A));
    assert!(!wants(&story));
    story.pass(1, |story, _| {
        story.tally(NODE_A).synacks += 1;
        story.tally(NODE_A).established += 1;
        story.tally(NODE_A).served += 1;
    });
    story.pass(1, |story, _| {
        story.arrive(NODE_A);
        story.count(|host| &mut host.listen_drops, 1);
        story.count(|host| &mut host.out_no_routes, 1);
    });
    assert_eq!((wants(&story), story.conclusions()), (true, vec![]));
    story.after(Duration::from_millis(150));
    assert_eq!(story.conclusions(), [(Code::NoReturnRoute, Confidence::Proven, nodes(&[A]))]);
    assert!(!wants(&story), "it is told: another look is of no use");
}

#[test]
fn packets_of_others_without_a_route_prove_nothing() {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
        story.count(|host| &mut host.out_no_routes, 7);
    });
    assert_eq!(story.conclusions(), []);
}

/// A listener's queue, over its limit or empty.
fn queue(port: u16, is_full: bool) -> Listener {
    Listener { port, backlog: if is_full { 129 } else { 0 }, ..listener(Ipv4Addr::UNSPECIFIED.into()) }
}

/// The probes of one node hang while the namespace counts overflows, so many of them lacking a route; what is said of that.
fn hanging_while_overflowing(listeners: &[Listener], without_route: u64) -> Vec<Confidence> {
    let mut story = Story::new();
    story.sample.listeners = Some(listeners.to_vec());
    story.probes(40, |story| {
        story.arrive(NODE_A);
        story.serve(NODE_B);
        story.count(|host| &mut host.out_no_routes, 1);
        story.count(|host| &mut host.listen_overflows, 2);
        story.count(|host| &mut host.listen_drops, 2 + without_route);
    });
    story.pass(2, |_, _| {});
    let findings = story.findings().into_iter();
    findings.filter(|finding| finding.code == Code::NoReturnRoute).map(|finding| finding.confidence).collect()
}

#[test]
fn an_overflow_of_another_listener_does_not_hide_a_missing_route() {
    let listeners = [queue(PORT, false), queue(9000, true)];
    assert_eq!(hanging_while_overflowing(&listeners, 1), [Confidence::Proven]);
    // Every SYN that was given up was one of the overflows: what lacks a route is something else.
    assert_eq!(hanging_while_overflowing(&listeners, 0), []);
}

#[test]
fn an_overflow_that_may_be_of_the_port_proves_no_missing_route() {
    let waiting = Listener { backlog: 100, ..queue(PORT, false) };
    for listeners in [
        vec![queue(PORT, false), queue(9000, false)],
        vec![queue(PORT, true)],
        vec![waiting, queue(9000, true)],
    ] {
        assert_eq!(hanging_while_overflowing(&listeners, 1), [], "{listeners:?}");
    }
}

/// The probes of A hang, and the kernel gives up so many SYNs of each without a count of routes; whom it says not to reach when it
/// is asked. What is said of A and B.
fn refused_by_an_entry(given_up: u64, without_route: &[TallyKey]) -> Vec<Finding> {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.arrive(NODE_A);
        story.serve(NODE_B);
        story.count(|host| &mut host.listen_drops, given_up);
        let asked = without_route.iter().map(|key| (key.slot, A.parse().expect("an address")));
        story.sample.without_route = asked.collect();
    });
    story.pass(2, |_, _| {});
    story.findings().into_iter().filter(|finding| finding.code == Code::NoReturnRoute).collect()
}

#[test]
fn an_entry_that_refuses_is_proven_by_the_kernels_own_answer() {
    let found = refused_by_an_entry(1, &[NODE_A]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].confidence, &found[0].sources), (Confidence::Proven, &nodes(&[A])));
    let asked = found[0].evidence.iter().find(|fact| fact.name == "no_route_to").expect("it was asked");
    assert_eq!(asked.value, crate::domain::finding::Value::Text(A.to_owned()));
}

#[test]
fn syns_that_are_given_up_lack_no_route_that_there_is() {
    assert_eq!(refused_by_an_entry(1, &[]), [], "as where too many handshakes are open");
    assert_eq!(
        refused_by_an_entry(1, &[NODE_B, STRANGERS]),
        [],
        "others lack it, who come through or are nobody's"
    );
    assert_eq!(
        refused_by_an_entry(0, &[NODE_A]),
        [],
        "none was given up: whatever hangs, it is not for want of a route"
    );
}

/// A SYN for whose answer there is no route.
fn no_route(story: &mut Story, key: TallyKey) {
    story.arrive(key);
    story.count(|host| &mut host.listen_drops, 1);
    story.count(|host| &mut host.out_no_routes, 1);
}

/// One whose answers get lost: by timer, and when the SYN comes again.
fn lose(story: &mut Story, key: TallyKey, is_duplicate_counted: bool) {
    story.tally(key).arrived += 2;
    story.tally(key).synacks += 4;
    story.tally(key).synack_retransmits += 3;
    if is_duplicate_counted {
        story.note_drop(key, Dropped::DuplicateSyn, "NOT_SPECIFIED");
    }
}

/// Both nodes are served; something else happens every second.
fn beside_served_nodes(mut each: impl FnMut(&mut Story, u64)) -> Story {
    let mut story = Story::new();
    story.pass(40, |story, second| {
        if second.is_multiple_of(10) {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
        each(story, second);
    });
    story.pass(2, |_, _| {});
    story
}

fn of_clients(code: Code) -> (Code, Confidence, Vec<String>) {
    (code, Confidence::Proven, nodes(&[CLIENT_PREFIX]))
}

#[test]
fn senders_without_a_route_are_found_among_those_whose_answers_get_lost() {
    let story = beside_served_nodes(|story, second| {
        story.serve(CLIENTS);
        lose(story, CLIENTS, true);
        if second.is_multiple_of(2) {
            no_route(story, CLIENTS);
        }
    });
    assert_eq!(story.conclusions(), [of_clients(Code::NoReturnRoute), of_clients(Code::ReplyLost)]);
    let summary = &story.findings()[0].summary;
    assert!(summary.contains("17 SYNs not answered"), "its own, and nobody else's: {summary}");
}

#[test]
fn each_of_the_two_alone_is_said_alone() {
    let lost = beside_served_nodes(|story, _| {
        story.serve(CLIENTS);
        lose(story, CLIENTS, true);
    });
    assert_eq!(lost.conclusions(), [of_clients(Code::ReplyLost)]);
    let unreachable = beside_served_nodes(|story, _| {
        story.serve(CLIENTS);
        no_route(story, CLIENTS);
    });
    assert_eq!(unreachable.conclusions(), [of_clients(Code::NoReturnRoute)]);
}

#[test]
fn answers_that_get_lost_are_not_said_to_lack_a_route_because_others_do() {
    for is_duplicate_counted in [true, false] {
        let story = beside_served_nodes(|story, second| {
            lose(story, CLIENTS, is_duplicate_counted);
            if second.is_multiple_of(5) {
                no_route(story, STRANGERS);
            }
        });
        // A kernel that does not tell duplicates would have them pass for SYNs without an answer.
        assert_eq!(story.conclusions(), [of_clients(Code::ReplyLost)], "{is_duplicate_counted}");
    }
}

#[test]
fn duplicates_that_a_kernel_gives_no_reason_for_lack_no_route() {
    let story = beside_served_nodes(|story, second| {
        lose(story, CLIENTS, false);
        story.note_drop(CLIENTS, Dropped::Syn, crate::domain::reason::UNKNOWN.0);
        // Of more SYNs than are watched: the counters are those of the namespace.
        if second.is_multiple_of(5) {
            story.count(|host| &mut host.listen_drops, 30);
            story.count(|host| &mut host.out_no_routes, 30);
        }
    });
    assert_eq!(story.conclusions(), [of_clients(Code::ReplyLost)]);
}

#[test]
fn what_the_kernel_counted_of_the_youngest_bears_out_nothing_about_older_ones() {
    let mut story = Story::new();
    story.pass(40, |story, second| {
        if second.is_multiple_of(10) {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
        if second.is_multiple_of(4) {
            lose(story, CLIENTS, false);
        }
    });
    // In the latest reading many strangers come to whom there is no route.
    story.pass(1, |story, _| (0..50).for_each(|_| no_route(story, STRANGERS)));
    assert_eq!(story.conclusions(), [of_clients(Code::ReplyLost)]);
}

#[test]
fn a_few_that_went_away_in_a_handshake_are_no_lost_path_when_the_route_goes() {
    let mut story = Story::new();
    story.pass(100, |story, second| {
        if second.is_multiple_of(10) {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
        match second {
            ..50 => {
                (0..4).for_each(|_| story.serve(CLIENTS));
                // The last one just before: soon it is the only handshake within the window.
                if second.is_multiple_of(7) {
                    lose(story, CLIENTS, true);
                }
            }
            _ => (0..4).for_each(|_| no_route(story, CLIENTS)),
        }
        let lost = story.findings().into_iter().any(|finding| finding.code == Code::ReplyLost);
        assert!(!lost, "second {second}");
    });
    assert_eq!(story.conclusions(), [of_clients(Code::NoReturnRoute)]);
}

#[test]
fn one_address_has_one_route_back() {
    let mut story = Story::new();
    story.probes(60, |story| {
        lose(story, NODE_A, true);
        (0..3).for_each(|_| no_route(story, NODE_A));
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::NoReturnRoute, Confidence::Proven, nodes(&[A]))]);
}

#[test]
fn a_missing_route_is_told_on_while_many_others_are_answered() {
    let mut story = Story::new();
    let mut told = Vec::new();
    for second in 1..100 {
        story.pass(1, |story, second| {
            if second.is_multiple_of(10) {
                story.serve(NODE_A);
                story.serve(NODE_B);
            }
            // In one second nobody else comes: in any other, answers may be those of the second before.
            if second != 25 {
                (0..4).for_each(|_| story.serve(CLIENTS));
            }
            if second == 24 {
                no_route(story, CLIENTS);
            }
        });
        let findings = story.findings();
        if findings.iter().any(|finding| finding.code == Code::NoReturnRoute) {
            told.push(second);
        }
        story.ledger.update(story.sample.at, findings);
    }
    let (first, last) = (told[0], told[told.len() - 1]);
    assert_eq!(told, Vec::from_iter(first..=last), "it is not taken back meanwhile");
    assert!(first == 25 && (50..=65).contains(&last), "no longer than the window remembers: {told:?}");
}
