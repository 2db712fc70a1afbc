//! What the agent and the thread that ships share.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};

use super::{batch::Event, queue::Queue};

/// Once the end has come, a failed call is repeated after this time at the latest: the deadline is near.
const HURRY: Duration = Duration::from_millis(500);

/// Lines that wait, and the two signals around them.
pub struct Shared {
    state: Mutex<State>,
    /// Wakes the thread that ships: there is something to do.
    work: Notify,
    /// Wakes whoever waits for the end: something was done.
    done: Condvar,
}

struct State {
    queue: Queue,
    is_closing: bool,
}

impl Shared {
    /// Nothing waits, in so many bytes of memory at most.
    pub fn new(buffer_bytes: usize) -> Self {
        let state = State { queue: Queue::new(buffer_bytes), is_closing: false };
        Self { state: Mutex::new(state), work: Notify::new(), done: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between locking and unlocking leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line. Never waits.
    pub fn push(&self, event: Event) {
        let mut state = self.lock();
        let (was_empty, was_full) = (state.queue.is_empty(), state.queue.fills_a_call());
        state.queue.push(event);
        // Waking the thread costs a system call; it needs to know only these two.
        if was_empty || (!was_full && state.queue.fills_a_call()) {
            self.work.notify_one();
        }
    }

    /// Lines that will never be stored.
    pub fn lost(&self) -> u64 {
        self.lock().queue.lost()
    }

    /// No further lines come: what waits goes at once.
    pub fn close(&self) {
        self.lock().is_closing = true;
        self.work.notify_one();
    }

    /// Waits until nothing is left, `limit` at most; what is left then is lost. Returns how many that are.
    pub fn drain(&self, limit: Duration) -> usize {
        let is_busy = |state: &mut State| !state.queue.is_empty();
        let waited = self.done.wait_timeout_while(self.lock(), limit, is_busy);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let left = state.queue.len();
        state.queue.abandon();
        left
    }

    /// Waits for lines to ship, and once there are some, `gather` for more. No lines: the end.
    pub async fn next_batch(&self, gather: Duration) -> Option<Vec<Event>> {
        let mut until: Option<Instant> = None;
        loop {
            {
                let mut state = self.lock();
                let is_time = until.is_some_and(|until| Instant::now() >= until);
                if state.queue.is_empty() {
                    if state.is_closing {
                        return None;
                    }
                    until = None;
                } else if state.is_closing || is_time || state.queue.fills_a_call() {
                    return Some(state.queue.begin());
                } else {
                    until.get_or_insert_with(|| Instant::now() + gather);
                }
            }
            match until {
                None => self.work.notified().await,
                // Early or late, the state says what to do.
                Some(until) => drop(timeout_at(until, self.work.notified()).await),
            }
        }
    }

    /// Says what became of the batch under way.
    pub fn settle(&self, fate: impl FnOnce(&mut Queue)) {
        fate(&mut self.lock().queue);
        self.done.notify_all();
    }

    /// Waits that long, or a moment when the end comes meanwhile.
    pub async fn pause(&self, length: Duration) {
        let end = Instant::now() + length;
        while !self.lock().is_closing {
            if timeout_at(end, self.work.notified()).await.is_err() {
                return;
            }
        }
        sleep(HURRY.min(end.saturating_duration_since(Instant::now()))).await;
    }
}
