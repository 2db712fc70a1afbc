//! What holds for every story, whatever happens in it: stories drawn at random, each from a seed that a failure names.

use std::collections::BTreeSet;

use super::*;

const STORIES: u64 = 150;
const SECONDS: u64 = 60;

/// What may happen to one connection attempt.
const FATES: [fn(&mut Story, TallyKey); 9] = [
    Story::serve,
    Story::serve,
    Story::arrive,
    |story, key| story.drop(key, "NETFILTER_DROP"),
    |story, key| story.drop(key, "IP_RPFILTER"),
    |story, key| {
        story.drop(key, "NO_SOCKET");
        story.tally(key).refused += 1;
    },
    |story, key| {
        story.arrive(key);
        let tally = story.tally(key);
        tally.synacks += 3;
        tally.synack_retransmits += 2;
    },
    |story, key| {
        story.arrive(key);
        story.note_drop(key, Dropped::SynAck, "NETFILTER_DROP");
    },
    |story, key| *story.sample.strays.entry((key.slot, PORT + 1)).or_default() += 1,
];

const KEYS: [TallyKey; 4] = [NODE_A, NODE_B, CLIENTS, STRANGERS];

/// Which fate each source meets, and how often it comes; a source may also not come at all.
fn draw_fates(draw: &mut fastrand::Rng) -> Vec<(TallyKey, usize, u64)> {
    let coming: Vec<_> = KEYS.iter().filter(|_| draw.u8(0..5) > 0).copied().collect();
    coming.into_iter().map(|key| (key, draw.usize(..FATES.len()), draw.u64(1..15))).collect()
}

fn tell(story: &mut Story, seconds: u64, fates: &[(TallyKey, usize, u64)]) {
    story.pass(seconds, |story, second| {
        for (key, fate, every) in fates {
            if second.is_multiple_of(*every) {
                FATES[*fate](story, *key);
            }
        }
    });
}

fn for_every_story(mut check: impl FnMut(u64, &mut fastrand::Rng)) {
    for seed in 0..STORIES {
        check(seed, &mut fastrand::Rng::with_seed(seed));
    }
}

#[test]
fn no_finding_comes_without_its_evidence() {
    let mut seen = BTreeSet::new();
    for_every_story(|seed, draw| {
        let mut story = Story::new();
        for _ in 0..3 {
            let fates = draw_fates(draw);
            tell(&mut story, SECONDS / 3, &fates);
            for finding in story.findings() {
                seen.insert(finding.code.name());
                assert!(!finding.evidence.is_empty(), "seed {seed}: {finding:?}");
                assert!(!finding.advice.is_empty(), "seed {seed}: {finding:?}");
                let rules = finding.advice.lines().filter(|line| !line.contains("look: "));
                let names_a_node = |line: &str| line.contains(A) || line.contains(B);
                assert!(!rules.into_iter().any(names_a_node), "seed {seed}: {finding:?}");
            }
        }
    });
    // The stories reach enough of the diagnosis to say something about it.
    assert!(seen.len() >= 7, "only {seen:?} were ever found");
}

#[test]
fn nothing_is_found_about_what_only_works() {
    for_every_story(|seed, draw| {
        let mut story = Story::new();
        let fates: Vec<_> = [NODE_A, NODE_B]
            .map(|key| (key, 0, draw.u64(5..11)))
            .into_iter()
            .chain([(CLIENTS, 0, 1)])
            .collect();
        tell(&mut story, SECONDS, &fates);
        let faults: Vec<_> =
            story.findings().into_iter().filter(|finding| finding.severity == Severity::Fault).collect();
        assert!(faults.is_empty(), "seed {seed}: {faults:?}");
    });
}

#[test]
fn more_that_works_turns_nothing_healthy_into_a_fault() {
    for_every_story(|seed, draw| {
        let fates = draw_fates(draw);
        let codes = |more: u64| -> BTreeSet<_> {
            let mut story = Story::new();
            story.pass(SECONDS, |story, second| {
                for (key, fate, every) in &fates {
                    if second.is_multiple_of(*every) {
                        FATES[*fate](story, *key);
                    }
                }
                // Named clients that are served say nothing against anybody else.
                (0..more).for_each(|_| story.serve(CLIENTS));
            });
            let faults = story.findings().into_iter().filter(|finding| finding.severity == Severity::Fault);
            faults.map(|finding| (finding.code.name(), finding.class.name())).collect()
        };
        let (before, after) = (codes(1), codes(4));
        assert!(after.is_subset(&before), "seed {seed}: {before:?} became {after:?}");
    });
}

#[test]
fn the_order_of_sources_within_a_reading_does_not_matter() {
    for_every_story(|seed, draw| {
        let fates = draw_fates(draw);
        let mut reversed = fates.clone();
        reversed.reverse();
        let conclude = |fates: &[_]| {
            let mut story = Story::new();
            tell(&mut story, SECONDS, fates);
            story.conclusions()
        };
        assert_eq!(conclude(&fates), conclude(&reversed), "seed {seed}");
    });
}

#[test]
fn counters_that_begin_anew_raise_no_fault() {
    for_every_story(|seed, draw| {
        let mut story = Story::new();
        let fates = [(NODE_A, 0, 10), (NODE_B, 0, 10), (CLIENTS, 0, 1)];
        tell(&mut story, SECONDS, &fates);
        // The programs were loaded again, or the namespace's counters wrapped.
        let at = draw.u64(1..20);
        story.pass(at, |_, _| {});
        story.sample.tallies.clear();
        let counters = &mut story.sample.host;
        for counter in [
            &mut counters.listen_overflows,
            &mut counters.listen_drops,
            &mut counters.out_no_routes,
            &mut counters.interface_packets,
        ] {
            *counter = Some(0);
        }
        tell(&mut story, SECONDS, &fates);
        let faults: Vec<_> =
            story.findings().into_iter().filter(|finding| finding.severity == Severity::Fault).collect();
        assert!(faults.is_empty(), "seed {seed}: {faults:?}");
    });
}

#[test]
fn time_that_stands_still_changes_nothing() {
    for_every_story(|seed, draw| {
        let fates = draw_fates(draw);
        let mut story = Story::new();
        tell(&mut story, SECONDS, &fates);
        let before = story.conclusions();
        // The same reading once more.
        story.history.observe(story.sample.clone(), &story.sources);
        assert_eq!(story.conclusions(), before, "seed {seed}");
    });
}
