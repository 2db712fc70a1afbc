//! More that works never makes anything worse.

use super::*;

#[test]
fn nothing_is_found_about_what_only_works() {
    for_every_story(|seed, draw| {
        let mut told = Told::expecting_clients();
        let check = |key, every| (key, GOOD[0], every);
        let fates = vec![
            check(NODE_A, draw.u64(5..11)),
            check(NODE_B, draw.u64(5..11)),
            (CLIENTS, GOOD[1], draw.u64(1..20)),
        ];
        told.tell(SECONDS, &While { fates, circumstance: CIRCUMSTANCES[0] });
        let faults = faults(&told.story);
        assert!(faults.is_empty(), "seed {seed}: {faults:?}");
        assert_eq!(told.story.verdict(&[]).state, State::Healthy, "seed {seed}");
    });
}

/// Whoever was served, in whatever story that was healthy: more of the same, from anybody, as long as it goes on.
#[test]
fn more_that_works_turns_nothing_healthy_into_a_fault() {
    let (mut healthy, mut verdicts) = (0, 0);
    for seed in 0..6 * STORIES {
        let draw = &mut fastrand::Rng::with_seed(seed);
        let mut what = While::draw(draw);
        // Few stories are healthy by chance: nodes mostly are served.
        for node in [NODE_A, NODE_B] {
            if draw.u8(0..4) > 0 {
                what.fates.retain(|(key, ..)| *key != node);
                what.fates.push((node, GOOD[0], draw.u64(3..10)));
            }
        }
        let mut more = what.clone();
        for _ in 0..draw.u8(1..4) {
            // What else comes from a node's address says something of that address.
            let (key, fate) = [
                (NODE_A, GOOD[0]),
                (NODE_B, GOOD[0]),
                (CLIENTS, GOOD[1]),
                (STRANGERS, GOOD[0]),
                (STRANGERS, GOOD[1]),
            ][draw.usize(..5)];
            more.fates.push((key, fate, draw.u64(1..10)));
        }
        let told = |what: &While| {
            let mut told = Told::new();
            told.tell(SECONDS, what);
            told.story
        };
        let before = told(&what);
        if !faults(&before).is_empty() {
            continue;
        }
        healthy += 1;
        let after = told(&more);
        let found = faults(&after);
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        if before.verdict(&[]).state == State::Healthy {
            verdicts += 1;
            assert_ne!(after.verdict(&[]).state, State::Fault, "seed {seed}");
        }
    }
    assert!(healthy > 100 && verdicts > 20, "{healthy} stories without a fault, {verdicts} of them healthy");
}
