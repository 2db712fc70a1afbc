//! Checkers with clocks of their own, read once a second as the agent does.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Checkers of one interval, each with a phase, all as far off their time as `jitter` says.
struct Checkers {
    interval: f64,
    phases: Vec<f64>,
    /// Part of the interval.
    jitter: f64,
}

impl Checkers {
    fn new(interval: f64, phases: &[f64]) -> Self {
        Self { interval, phases: phases.to_vec(), jitter: 0.0 }
    }

    /// When they come between two moments, in order.
    fn times(&self, draw: &mut fastrand::Rng, from: f64, to: f64) -> Vec<f64> {
        let mut times = Vec::new();
        for phase in &self.phases {
            let mut due = from + phase * self.interval;
            while due < to {
                times.push((due + (2.0 * draw.f64() - 1.0) * self.jitter * self.interval).max(from));
                due += self.interval;
            }
        }
        times.sort_by(f64::total_cmp);
        times
    }
}

/// Reads the times once in `resolution`; `each` is called after every reading.
fn read(rhythm: &mut Rhythm, times: &[f64], resolution: Duration, mut each: impl FnMut(&Rhythm, Duration)) {
    let Some(first) = times.first() else { return };
    let mut at = resolution * (first / resolution.as_secs_f64()) as u32;
    let mut rest = times;
    while !rest.is_empty() {
        at += resolution;
        let come = rest.iter().take_while(|time| **time < at.as_secs_f64()).count();
        if come > 0 {
            rhythm.note(at, come as u64, resolution);
        }
        rest = &rest[come..];
        each(rhythm, at);
    }
}

fn listen(checkers: &Checkers, seconds: f64) -> Rhythm {
    let mut rhythm = Rhythm::default();
    let times = checkers.times(&mut fastrand::Rng::with_seed(7), 0.0, seconds);
    read(&mut rhythm, &times, SECOND, |_, _| {});
    rhythm
}

fn told(rhythm: &Rhythm) -> Option<(f64, u32)> {
    rhythm.beat().map(|beat| (beat.interval.as_secs_f64(), beat.per_interval))
}

/// Interval and number as they are, or a part of both: checkers that are evenly apart are one that is faster.
fn is_near(beat: Beat, checkers: &Checkers) -> bool {
    let number = checkers.phases.len() as f64;
    let part = number / f64::from(beat.per_interval);
    let off = beat.interval.as_secs_f64() * part / checkers.interval;
    part.fract() == 0.0 && (0.85..=1.15).contains(&off)
}

#[test]
fn one_checker_has_its_interval_and_the_next_one_a_time() {
    let rhythm = listen(&Checkers::new(10.0, &[0.35]), 60.0);
    assert_eq!(told(&rhythm), Some((10.0, 1)));
    // Seen at 4, 14 and so on; the last one at 54.
    let due = |at| rhythm.next(SECOND * at).map(|(_, due)| due.as_secs());
    assert_eq!((due(57), due(64), due(66)), (Some(7), Some(0), Some(0)));
    assert_eq!(due(75), None, "long overdue");
}

#[test]
fn several_checkers_of_one_node_are_counted_and_share_the_interval() {
    let rhythm = listen(&Checkers::new(30.0, &[0.0, 0.1, 0.55]), 200.0);
    assert_eq!(told(&rhythm), Some((30.0, 3)));
    // They came at 1, 4 and 17 of every thirty seconds.
    assert_eq!(rhythm.next(SECOND * 198).map(|(_, due)| due.as_secs()), Some(13));
    let together = listen(&Checkers::new(30.0, &[0.1, 0.1]), 200.0);
    assert_eq!(told(&together), Some((30.0, 2)), "in the same moment");
}

#[test]
fn too_few_too_many_and_what_comes_by_chance_have_no_rhythm() {
    assert_eq!(told(&listen(&Checkers::new(10.0, &[0.0]), 31.0)), None);
    let mut crowd = Rhythm::default();
    (1..200).for_each(|second| crowd.note(SECOND * second, 40, SECOND));
    assert_eq!((told(&crowd), crowd.learned_interval()), (None, None));
    let mut chance = 0;
    for seed in 0..200 {
        let mut draw = fastrand::Rng::with_seed(seed);
        let (mut times, mut at) = (Vec::new(), 0.0);
        while times.len() < 48 {
            at -= 8.0 * draw.f64().ln();
            times.push(at);
        }
        let mut rhythm = Rhythm::default();
        read(&mut rhythm, &times, SECOND, |_, _| {});
        chance += u32::from(rhythm.is_clockwork(12));
    }
    assert_eq!(chance, 0, "of 200");
}

#[test]
fn a_program_that_waits_between_its_requests_is_no_clock() {
    for seed in 0..100 {
        let mut draw = fastrand::Rng::with_seed(seed);
        let mut times = vec![0.0];
        while times.len() < 100 {
            times.push(times[times.len() - 1] + 5.0 + 15.0 * draw.f64());
        }
        let mut rhythm = Rhythm::default();
        read(&mut rhythm, &times, SECOND, |rhythm, at| {
            assert!(!rhythm.is_clockwork(12), "seed {seed} at {at:?}: {:?}", rhythm.beat());
        });
    }
    let checkers = Checkers { interval: 10.0, phases: vec![0.2, 0.5], jitter: 0.02 };
    let mut rhythm = Rhythm::default();
    read(&mut rhythm, &checkers.times(&mut fastrand::Rng::with_seed(1), 0.0, 150.0), SECOND, |_, _| {});
    assert!(rhythm.is_clockwork(12), "{:?}", rhythm.beat());
}

#[test]
fn what_comes_oftener_than_it_is_read_has_no_rhythm() {
    let rhythm = listen(&Checkers::new(0.4, &[0.0]), 60.0);
    assert_eq!(told(&rhythm), None);
    // The lab checks that often, and is read four times as often.
    let mut rhythm = Rhythm::default();
    let times = Checkers::new(0.4, &[0.0]).times(&mut fastrand::Rng::new(), 0.0, 10.0);
    read(&mut rhythm, &times, Duration::from_millis(100), |_, _| {});
    assert_eq!(told(&rhythm), Some((0.4, 1)));
}

#[test]
fn every_interval_of_aws_is_learned_though_probes_are_off_their_time() {
    for seed in 0..300 {
        let mut draw = fastrand::Rng::with_seed(seed);
        let interval = f64::from(draw.u32(5..=300));
        let phases: Vec<f64> = (0..draw.usize(1..=3)).map(|_| draw.f64()).collect();
        let jitter = draw.f64() * 0.3;
        let checkers = Checkers { interval, phases, jitter };
        let times = checkers.times(&mut draw, 0.0, 20.0 * interval);
        let mut rhythm = Rhythm::default();
        let mut longest = Duration::ZERO;
        read(&mut rhythm, &times, SECOND, |rhythm, at| {
            // Nobody who comes is called missing.
            if let (Some(learned), Some(last)) = (rhythm.learned_interval(), rhythm.last) {
                assert!(at - last <= 3 * learned, "seed {seed}: missed at {at:?} after {learned:?}");
            }
            longest = longest.max(rhythm.longest_pause());
        });
        let beat = rhythm.beat();
        let phases = &checkers.phases;
        assert!(
            beat.is_some_and(|beat| is_near(beat, &checkers)) || jitter > 0.05 && phases.len() > 1,
            "seed {seed}: {beat:?} for {interval} s, {phases:?}, jitter {jitter:.2}"
        );
        // Detection takes no longer than the interval asks for, whatever was made of it.
        let learned = rhythm.learned_interval().expect("something was learned");
        assert!(
            learned.as_secs_f64() <= 1.25 * interval.max(5.0) + 1.0,
            "seed {seed}: {learned:?} for {interval} s, {phases:?}, jitter {jitter:.2}"
        );
    }
}

#[test]
fn a_node_that_restarts_has_the_rhythm_it_had() {
    for seed in 0..100 {
        let mut draw = fastrand::Rng::with_seed(seed);
        let interval = f64::from(draw.u32(5..=60));
        let phases: Vec<f64> = (0..draw.usize(1..=3)).map(|_| draw.f64()).collect();
        let checkers = Checkers { interval, phases, jitter: 0.02 };
        let mut rhythm = Rhythm::default();
        let before = checkers.times(&mut draw, 0.0, 12.0 * interval);
        read(&mut rhythm, &before, SECOND, |_, _| {});
        assert!(rhythm.beat().is_some(), "seed {seed}");
        // Another phase, after a while.
        let back = (12.0 + 8.0 * draw.f64()) * interval;
        let after = checkers.times(&mut draw, back, back + 12.0 * interval);
        read(&mut rhythm, &after, SECOND, |rhythm, at| {
            let last = rhythm.last.unwrap_or_default();
            let was_back = last.as_secs_f64() >= back;
            let limit = rhythm.learned_interval().unwrap_or_default() * 3;
            assert!(!was_back || at - last <= limit, "seed {seed}: missed after it came back");
        });
        let again = rhythm.beat().expect("it is learned again");
        let ratio = again.interval.as_secs_f64() / interval;
        assert!((0.3..1.2).contains(&ratio), "seed {seed}: {again:?} for {interval} s");
    }
}

#[test]
fn an_interval_that_was_changed_is_learned_anew_and_missed_once_at_most() {
    let mut rhythm = listen(&Checkers::new(10.0, &[0.0]), 100.0);
    let slow = Checkers::new(60.0, &[0.0]).times(&mut fastrand::Rng::new(), 150.0, 800.0);
    let mut missed = Vec::new();
    read(&mut rhythm, &slow, SECOND, |rhythm, at| {
        let last = rhythm.last.unwrap_or_default();
        if at - last > 3 * rhythm.learned_interval().unwrap_or_default() {
            missed.push(last);
        }
    });
    missed.dedup();
    assert!(missed.len() <= 1, "{missed:?}");
    assert_eq!(told(&rhythm), Some((60.0, 1)));
}

#[test]
fn one_that_is_lost_now_and_then_changes_nothing() {
    let mut draw = fastrand::Rng::with_seed(3);
    let mut times = Checkers::new(10.0, &[0.5]).times(&mut draw, 0.0, 2000.0);
    times.retain(|_| draw.u8(..100) > 0);
    let mut rhythm = Rhythm::default();
    read(&mut rhythm, &times, SECOND, |_, _| {});
    assert_eq!(told(&rhythm), Some((10.0, 1)));
}
