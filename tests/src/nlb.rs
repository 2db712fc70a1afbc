//! An NLB node: probes the target ([`crate::health_check`]) and keeps a belief about its health.
//!
//! A target enters service with its first passed check (AWS, NLB health checks).

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    Netns,
    health_check::{Habits, probe},
    wait,
};

pub use crate::health_check::{Speech, connect, connect_from, in_vain};

/// Settings of a health check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// What is spoken.
    pub speech: Speech,
    /// Time between two probes.
    pub interval: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
    /// Failed probes in a row that make a target unhealthy.
    pub unhealthy_threshold: u32,
    /// Passed probes in a row that make an unhealthy target healthy.
    pub healthy_threshold: u32,
}

impl Check {
    /// One that takes no longer than its interval; two probes in a row change the node's mind.
    pub const fn every(interval: Duration, speech: Speech) -> Self {
        Self { speech, interval, timeout: interval, unhealthy_threshold: 2, healthy_threshold: 2 }
    }
}

/// What a node thinks of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// No probe has passed, and not enough have failed.
    Initial,
    /// In service.
    Healthy,
    /// Out of service.
    Unhealthy,
}

/// What a node did and thinks.
#[derive(Clone, Debug)]
pub struct Record {
    /// Probes begun.
    pub sent: u64,
    /// Probes passed.
    pub passed: u64,
    /// Probes failed.
    pub failed: u64,
    /// The longest time from the beginning of one probe to that of the next.
    pub longest_pause: Duration,
    /// What it thinks.
    pub belief: Belief,
    in_a_row: u32,
}

/// A node that probes until it is dropped.
pub struct Node {
    address: IpAddr,
    record: Arc<Mutex<Record>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// Begins to probe `target` from `address`.
    pub fn start(namespace: &Netns, address: IpAddr, target: SocketAddr, check: Check) -> Self {
        Self::start_with(namespace, address, target, check, Habits::default())
    }

    /// The same in a manner of its own.
    pub fn start_with(
        namespace: &Netns,
        address: IpAddr,
        target: SocketAddr,
        check: Check,
        habits: Habits,
    ) -> Self {
        let record = Record {
            sent: 0,
            passed: 0,
            failed: 0,
            longest_pause: Duration::ZERO,
            belief: Belief::Initial,
            in_a_row: 0,
        };
        let record = Arc::new(Mutex::new(record));
        let stopped = Arc::new(AtomicBool::new(false));
        let worker = {
            let (record, stopped) = (Arc::clone(&record), Arc::clone(&stopped));
            move || probe_until(&stopped, &record, (address, target), check, habits)
        };
        // A thread starts in the namespace of the one that makes it.
        let thread = namespace.run(|| thread::spawn(worker));
        Self { address, record, stopped, thread: Some(thread) }
    }

    /// What it did and thinks.
    pub fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// What it thinks.
    pub fn belief(&self) -> Belief {
        lock(&self.record).belief
    }

    /// Waits until it thinks so.
    ///
    /// # Panics
    ///
    /// When that takes longer than `limit`.
    #[track_caller]
    pub fn wait_for(&self, belief: Belief, limit: Duration) {
        let what = format!("node {} to think {belief:?}", self.address);
        wait::until(&what, limit, || self.belief() == belief);
    }

    /// Ends it, once the probe under way is over.
    pub fn stop(mut self) -> Record {
        self.join();
        self.record()
    }

    fn join(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                eprintln!("the thread of node {} panicked", self.address);
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.join();
    }
}

fn probe_until(
    stopped: &AtomicBool,
    record: &Mutex<Record>,
    (address, target): (IpAddr, SocketAddr),
    check: Check,
    habits: Habits,
) {
    let mut draw = fastrand::Rng::new();
    let mut begin = Instant::now();
    let mut latest = None;
    while !stopped.load(Ordering::Relaxed) {
        {
            let mut record = lock(record);
            record.sent += 1;
            let pause = latest.map_or(Duration::ZERO, |latest: Instant| latest.elapsed());
            record.longest_pause = record.longest_pause.max(pause);
            latest = Some(Instant::now());
        }
        let passed = probe(address, target, &check, &habits);
        lock(record).take_in(passed, &check);
        begin += check.interval;
        // Each probe is off its own time: the rhythm as a whole does not drift.
        let off = check.interval * draw.u32(0..=habits.jitter_percent) / 100;
        let due = if draw.bool() { begin + off } else { begin - off };
        while !stopped.load(Ordering::Relaxed) {
            let Some(rest) = due.checked_duration_since(Instant::now()) else { break };
            thread::park_timeout(rest);
        }
        begin = begin.max(Instant::now().checked_sub(check.interval).unwrap_or(begin));
    }
}

impl Record {
    fn take_in(&mut self, passed: bool, check: &Check) {
        let agrees = match self.belief {
            Belief::Initial => false,
            Belief::Healthy => passed,
            Belief::Unhealthy => !passed,
        };
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        if self.belief == Belief::Initial && passed {
            (self.belief, self.in_a_row) = (Belief::Healthy, 0);
            return;
        }
        self.in_a_row = if agrees { 0 } else { self.in_a_row + 1 };
        let threshold = if passed { check.healthy_threshold } else { check.unhealthy_threshold };
        if !agrees && self.in_a_row >= threshold {
            self.belief = if passed { Belief::Healthy } else { Belief::Unhealthy };
            self.in_a_row = 0;
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_enters_service_at_once_and_leaves_it_after_the_threshold() {
        let check = Check {
            speech: Speech::Tcp,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            unhealthy_threshold: 2,
            healthy_threshold: 3,
        };
        let mut record = Record {
            sent: 0,
            passed: 0,
            failed: 0,
            longest_pause: Duration::ZERO,
            belief: Belief::Initial,
            in_a_row: 0,
        };
        let mut story = |passed: &[bool]| {
            for passed in passed {
                record.take_in(*passed, &check);
            }
            record.belief
        };
        assert_eq!(story(&[false]), Belief::Initial);
        assert_eq!(story(&[true]), Belief::Healthy);
        assert_eq!(story(&[false, true, false]), Belief::Healthy);
        assert_eq!(story(&[false]), Belief::Unhealthy);
        assert_eq!(story(&[true, true]), Belief::Unhealthy);
        assert_eq!(story(&[true]), Belief::Healthy);
    }
}
