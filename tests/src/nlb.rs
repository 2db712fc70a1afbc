//! An NLB node: probes the target like AWS documents it, and keeps a belief about its health.
//!
//! AWS, NLB health checks: TCP checks open a connection and close it; HTTP checks carry `Host` with the node's own
//! address and `User-Agent: ELB-HealthChecker/2.0`; a target enters service with its first passed check.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{Netns, wait};

/// What is spoken in a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Connect and close.
    Tcp,
    /// `GET` and a status from 200 to 399.
    Http,
}

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
        let record = Record { sent: 0, passed: 0, failed: 0, belief: Belief::Initial, in_a_row: 0 };
        let record = Arc::new(Mutex::new(record));
        let stopped = Arc::new(AtomicBool::new(false));
        let worker = {
            let (record, stopped) = (Arc::clone(&record), Arc::clone(&stopped));
            move || probe_until(&stopped, &record, address, target, check)
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
    address: IpAddr,
    target: SocketAddr,
    check: Check,
) {
    let mut due = Instant::now();
    while !stopped.load(Ordering::Relaxed) {
        lock(record).sent += 1;
        let passed = probe(address, target, &check);
        lock(record).take_in(passed, &check);
        due += check.interval;
        while !stopped.load(Ordering::Relaxed) {
            let Some(rest) = due.checked_duration_since(Instant::now()) else { break };
            thread::park_timeout(rest);
        }
        due = due.max(Instant::now().checked_sub(check.interval).unwrap_or(due));
    }
}

fn probe(address: IpAddr, target: SocketAddr, check: &Check) -> bool {
    let Ok(mut stream) = connect(address, target, check.timeout) else { return false };
    match check.speech {
        Speech::Tcp => true,
        Speech::Http => http_status(&mut stream, SocketAddr::new(address, target.port()), check.timeout)
            .is_some_and(|status| (200..400).contains(&status)),
    }
}

fn http_status(stream: &mut TcpStream, host: SocketAddr, timeout: Duration) -> Option<u16> {
    stream.set_read_timeout(Some(timeout)).ok()?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let count = stream.read(&mut buffer).ok()?;
        if count == 0 {
            break;
        }
        head.extend_from_slice(&buffer[..count]);
    }
    let line = String::from_utf8_lossy(&head);
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Connects from one address; the socket does not linger when the attempt takes too long.
///
/// # Errors
///
/// As the kernel says.
pub fn connect(from: IpAddr, target: SocketAddr, timeout: Duration) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
    socket.connect_timeout(&SockAddr::from(target), timeout)?;
    Ok(socket.into())
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
        let mut record = Record { sent: 0, passed: 0, failed: 0, belief: Belief::Initial, in_a_row: 0 };
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
