//! Counters that begin anew, wrap, or are nowhere near zero when the agent begins: no fault comes of it, and no panic.

use super::*;

/// All counters of a namespace that findings rest on.
fn counters(host: &mut HostCounters) -> [&mut Option<u64>; 8] {
    [
        &mut host.listen_overflows,
        &mut host.listen_drops,
        &mut host.out_no_routes,
        &mut host.syncookies_sent,
        &mut host.interface_packets,
        &mut host.allowances.bandwidth_in,
        &mut host.allowances.packet_rate,
        &mut host.allowances.connections,
    ]
}

fn all_is_well(draw: &mut fastrand::Rng) -> While {
    let fates = vec![
        (NODE_A, GOOD[0], draw.u64(5..11)),
        (NODE_B, GOOD[0], draw.u64(5..11)),
        (CLIENTS, GOOD[1], draw.u64(1..5)),
    ];
    While { fates, circumstance: CIRCUMSTANCES[0] }
}

#[track_caller]
fn assert_no_fault(seed: u64, story: &Story) {
    let faults = faults(story);
    assert!(faults.is_empty(), "seed {seed}: {faults:?}");
}

#[test]
fn counters_that_begin_anew_raise_no_fault() {
    for_every_story(|seed, draw| {
        let mut told = Told::new();
        let what = all_is_well(draw);
        told.tell(SECONDS, &what);
        for _ in 0..3 {
            told.story.pass(draw.u64(1..8), |_, _| {});
            // The programs were loaded again, for all sources or for one; the namespace's counters began anew, all or some.
            match draw.u8(0..3) {
                0 => told.story.sample.tallies.clear(),
                1 => drop(told.story.sample.tallies.remove(&KEYS[draw.usize(..KEYS.len())])),
                _ => {}
            }
            for counter in counters(&mut told.story.sample.host) {
                match draw.u8(0..3) {
                    0 => *counter = Some(0),
                    // It cannot be read for a while.
                    1 => *counter = None,
                    _ => {}
                }
            }
            told.tell(draw.u64(1..30), &what);
            assert_no_fault(seed, &told.story);
            for counter in counters(&mut told.story.sample.host) {
                counter.get_or_insert(draw.u64(..));
            }
            told.tell(draw.u64(20..40), &what);
            assert_no_fault(seed, &told.story);
        }
    });
}

/// A namespace that is old when the agent begins, and counters that wrap while it watches.
#[test]
fn counters_near_their_end_raise_no_fault_when_they_wrap() {
    for_every_story(|seed, draw| {
        let watch = Told::new().story.history.watch.clone();
        let mut told = Told::new();
        // Nothing observed yet: these are in the baseline.
        told.story.history = History::new(watch);
        for counter in counters(&mut told.story.sample.host) {
            *counter = Some(u64::MAX - draw.u64(0..100));
        }
        told.story.history.observe(told.story.sample.clone(), &told.story.sources);
        let what = all_is_well(draw);
        let wraps = draw.u64(1..40);
        for second in 0..80 {
            let packets = &mut told.story.sample.host.interface_packets;
            // `Story::pass` adds three a second and may not overflow.
            if second == wraps {
                *packets = Some(draw.u64(0..3));
            } else if packets.is_some_and(|packets| packets > u64::MAX - 4) {
                *packets = Some(0);
            }
            told.tell(1, &what);
            assert_no_fault(seed, &told.story);
        }
    });
}

/// Whatever stands in the tallies after a reset: nothing overflows on the way to a conclusion.
#[test]
fn no_leap_of_a_counter_is_too_far() {
    for_every_story(|seed, draw| {
        let mut told = Told::new();
        for _ in 0..6 {
            let key = KEYS[draw.usize(..KEYS.len())];
            let tally = told.story.tally(key);
            // As large as counts of packets can get: a sum of some of them still is a number.
            let mut count = || draw.u64(0..1 << 48);
            (tally.arrived, tally.synacks, tally.synack_retransmits) = (count(), count(), count());
            (tally.refused, tally.established, tally.served) = (count(), count(), count());
            (tally.probes_served, tally.clients, tally.tls_openings) = (count(), count(), count());
            tally.answers.probes_given_up = count();
            tally.answers.tls_alerts = count();
            tally.drops.insert((Dropped::Syn, Reason("NETFILTER_DROP")), count());
            tally.drops.insert((Dropped::Syn, Reason("NO_SOCKET")), count());
            told.tell(draw.u64(1..12), &While::draw(draw));
            for finding in told.story.findings() {
                assert!(!finding.summary.is_empty(), "seed {seed}");
            }
            let _any_verdict = told.story.verdict(&[]);
        }
    });
}

/// The namespace's counters are everybody's: whatever they do while all watched connections work is nobody's fault.
#[test]
fn growth_of_shared_counters_alone_is_no_fault() {
    for_every_story(|seed, draw| {
        let mut told = Told::new();
        let what = all_is_well(draw);
        for _ in 0..SECONDS {
            for counter in counters(&mut told.story.sample.host) {
                *counter = counter.map(|count| count + draw.u64(0..5));
            }
            told.tell(1, &what);
            assert_no_fault(seed, &told.story);
        }
    });
}
