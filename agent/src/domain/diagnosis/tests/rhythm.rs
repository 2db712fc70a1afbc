//! Rhythms that nobody gave: what follows from them, and what they must not be taken for.

use super::*;
use crate::domain::finding::FactOrigin;

/// Both nodes, and nobody said how often they probe.
fn untold() -> Story {
    let mut story = Story::new();
    story.history.watch.health_interval = None;
    story
}

/// As [`untold`], and clients may carry the nodes' addresses.
fn shared() -> Story {
    let mut story = untold();
    story.history.watch.priors.client_ip = ClientIp::Auto;
    story
}

fn both(story: &mut Story) {
    story.serve(NODE_A);
    story.serve(NODE_B);
}

fn handshake(story: &mut Story, key: TallyKey) {
    story.serve(key);
    let tally = story.tally(key);
    tally.clients += 1;
    tally.tls_openings += 1;
}

fn class(story: &Story, key: TallyKey) -> &'static str {
    story.history.class(key, &story.sources).name()
}

#[test]
fn a_rhythm_that_was_learned_is_missed_after_three_of_its_intervals() {
    let mut story = untold();
    story.probes(60, both);
    story.probes(30, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), []);
    story.pass(1, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Inferred, nodes(&[A]))]);
}

#[test]
fn an_interval_comes_from_where_it_was_read() {
    let origin = |story: &Story| {
        let found = story.findings().into_iter().find(|finding| finding.code == Code::ProbesStopped);
        let evidence = found.expect("a silent node").evidence;
        evidence.iter().find(|fact| fact.name == "interval_seconds").expect("an interval").origin
    };
    for (told, wanted) in [(untold(), FactOrigin::Hook), (Story::new(), FactOrigin::Settings)] {
        let mut story = told;
        story.probes(60, both);
        story.probes(40, |story| story.serve(NODE_B));
        assert_eq!(origin(&story), wanted);
    }
    // What was given and does not hold.
    let mut story = untold();
    story.history.watch.health_interval = Some(Duration::from_secs(5));
    story.probes(120, both);
    story.probes(40, |story| story.serve(NODE_B));
    assert_eq!(origin(&story), FactOrigin::Hook);
    // Neither given nor learned: the default.
    let mut story = untold();
    story.pass(100, |_, _| {});
    let found = story.findings();
    let fact = found[0].evidence.iter().find(|fact| fact.name == "interval_seconds").expect("an interval");
    assert_eq!((found[0].code, fact.origin), (Code::NothingArrives, FactOrigin::Settings));
}

#[test]
fn several_checkers_of_a_node_do_not_make_it_missed_before_three_intervals() {
    let mut story = untold();
    let checkers = |story: &mut Story, second: u64, key| {
        if [0, 1, 4].contains(&(second % 30)) {
            story.serve(key);
        }
    };
    story.pass(180, |story, second| {
        checkers(story, second, NODE_A);
        checkers(story, second, NODE_B);
    });
    let beat = story.history.rhythm(NODE_A, &story.sources).and_then(|rhythm| rhythm.beat());
    assert_eq!(beat.map(|beat| (beat.interval.as_secs(), beat.per_interval)), Some((30, 3)));
    // A came last at 154: 180 was its 0, but here it is silent from then on.
    story.pass(60, |story, second| checkers(story, second, NODE_B));
    assert_eq!(story.conclusions(), []);
    story.pass(40, |story, second| checkers(story, second, NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Inferred, nodes(&[A]))]);
}

#[test]
fn what_is_slower_than_anybody_said_is_a_suspicion_and_only_once() {
    let mut story = untold();
    let mut seen = Vec::new();
    story.pass(1500, |story, second| {
        if second % 120 == 0 {
            both(story);
        }
        let probe = second.saturating_sub(1) / 120;
        seen.extend(story.conclusions().into_iter().map(|(code, confidence, _)| (probe, code, confidence)));
    });
    seen.dedup();
    // 30 s are assumed until the first pause is over. Before the first one came at all, it is missing.
    seen.retain(|(probe, ..)| *probe > 0);
    seen.retain(|(probe, code, _)| (*probe, *code) != (1, Code::NothingArrives));
    assert!(!seen.is_empty());
    assert!(
        seen.iter().all(|(probe, _, confidence)| *probe == 1 && *confidence == Confidence::Suspected),
        "{seen:?}"
    );
}

#[test]
fn clients_of_a_nodes_address_do_not_blur_the_rhythm_of_its_health_checks() {
    let mut story = shared();
    let mut draw = fastrand::Rng::with_seed(5);
    story.pass(120, |story, second| {
        for _ in 0..draw.u32(0..4) {
            story.serve(NODE_A);
            story.tally(NODE_A).clients += 1;
        }
        if second % 10 == 3 {
            story.serve(NODE_A);
            story.tally(NODE_A).probes_served += 1;
        }
    });
    assert_eq!(class(&story, NODE_A), "nlb_undecided");
    let beat = story.history.rhythm(NODE_A, &story.sources).and_then(|rhythm| rhythm.beat());
    assert_eq!(beat.map(|beat| (beat.interval.as_secs(), beat.per_interval)), Some((10, 1)));
}

#[test]
fn tls_that_comes_like_clockwork_is_a_health_check_and_no_more_than_inferred() {
    let mut story = shared();
    story.probes(60, |story| handshake(story, NODE_A));
    assert_eq!(class(&story, NODE_A), "nlb_undecided", "not long enough");
    story.probes(80, |story| {
        handshake(story, NODE_A);
        handshake(story, NODE_B);
    });
    assert_eq!((class(&story, NODE_A), class(&story, NODE_B)), ("nlb_probe", "nlb_undecided"));
    assert_eq!(story.conclusions(), []);
    // What the kernel proves is proven of packets; that they are probes is not.
    story.probes(30, |story| {
        story.drop(NODE_A, "NETFILTER_DROP");
        handshake(story, NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::HostFirewall, Confidence::Inferred, nodes(&[A]))]);
}

#[test]
fn tls_of_clients_beside_health_checks_stays_undecided() {
    let mut story = shared();
    let mut draw = fastrand::Rng::with_seed(1);
    story.pass(300, |story, second| {
        if second % 10 == 0 || draw.u8(0..8) == 0 {
            handshake(story, NODE_A);
        }
        if second % 10 == 0 {
            handshake(story, NODE_B);
        }
    });
    assert_eq!((class(&story, NODE_A), class(&story, NODE_B)), ("nlb_undecided", "nlb_probe"));
    // And one that had a rhythm loses it with its first clients.
    story.pass(60, |story, second| {
        if second % 10 == 0 || draw.u8(0..3) == 0 {
            handshake(story, NODE_B);
        }
    });
    assert_eq!(class(&story, NODE_B), "nlb_undecided");
}
