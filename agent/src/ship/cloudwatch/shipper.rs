//! The thread that ships.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    Options, Target, backoff,
    batch::Event,
    delivery::{Api, deliver},
    sdk::Sdk,
    shared::Shared,
    trouble::{Action, Class, Trouble},
};
use crate::kernel::privileges;

/// How many failures in a row make an outage worth a word, where it may pass by itself.
const WORTH_A_WORD: u32 = 3;

/// Lines on their way to CloudWatch Logs. Dropped without [`Shipper::finish`], what waits is lost.
pub struct Shipper {
    shared: Arc<Shared>,
}

impl Shipper {
    /// Starts the thread, which stays in the network namespace of the caller. It is not waited for: at the end of the
    /// process it may be in the middle of a call.
    ///
    /// # Errors
    ///
    /// When the kernel allows no further thread.
    pub fn start(target: Target, options: Options) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(options.buffer_bytes));
        let theirs = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Those that resolve names and read files.
            .on_thread_start(privileges::none)
            .build()?;
        thread::Builder::new().name("cloudwatch".to_owned()).spawn(move || {
            privileges::none();
            let mut api = Sdk::new(target.clone(), options.patience);
            runtime.block_on(ship(&mut api, &theirs, &target, options.gather));
            // A name server that does not answer must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self { shared })
    }

    /// Takes text, one event a line. Never waits.
    pub fn push(&self, text: &str) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ms = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        for line in text.lines().filter(|line| !line.is_empty()) {
            self.shared.push(Event { time_ms, message: line.to_owned() });
        }
    }

    /// Lines that were not shipped and never will be.
    pub fn lost_lines(&self) -> u64 {
        self.shared.lost()
    }

    /// No further lines come: what waits goes at once.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Waits until everything is shipped, `limit` at most. What is left then is lost; returns how many lines that are.
    pub fn finish(&self, limit: Duration) -> usize {
        self.close();
        self.shared.drain(limit)
    }
}

/// Ships until the end.
async fn ship(api: &mut impl Api, shared: &Shared, target: &Target, gather: Duration) {
    let mut said = Said::default();
    loop {
        // What is sent again has waited long enough.
        let gather = if said.failures > 0 { Duration::ZERO } else { gather };
        let Some(events) = shared.next_batch(gather).await else { return };
        match deliver(api, target, &events).await {
            // What there is to say comes first: once nothing is left, the agent may end.
            Ok(rejected) => {
                said.success(target, rejected, shared.lost() + rejected as u64);
                shared.settle(|queue| queue.stored(rejected));
            }
            Err(trouble) if trouble.class == Class::Invalid => {
                log::warn!("{}", trouble.sentence(target));
                shared.settle(super::queue::Queue::discard);
            }
            Err(trouble) => {
                shared.settle(super::queue::Queue::put_back);
                said.failure(target, &trouble);
                shared.pause(backoff::wait(trouble.class, said.failures, chance())).await;
            }
        }
    }
}

/// Failures in a row, and what was said of them: each trouble once.
#[derive(Default)]
struct Said {
    failures: u32,
    trouble: Option<(Action, Class)>,
}

impl Said {
    fn failure(&mut self, target: &Target, trouble: &Trouble) {
        self.failures = self.failures.saturating_add(1);
        let may_pass = matches!(trouble.class, Class::Unavailable | Class::Throttled);
        let kind = (trouble.action, trouble.class);
        log::debug!("failure {} in a row: {}", self.failures, trouble.sentence(target));
        if self.trouble != Some(kind) && (!may_pass || self.failures >= WORTH_A_WORD) {
            log::warn!("{}", trouble.sentence(target));
            self.trouble = Some(kind);
        }
    }

    fn success(&mut self, target: &Target, rejected: usize, lost: u64) {
        let Target { group, stream, .. } = target;
        if rejected > 0 {
            log::warn!(
                "shipping to CloudWatch Logs group {group}, stream {stream}: {rejected} lines were rejected as too old or \
                 too new: is the clock of this host right, and does the group keep its events long enough?"
            );
        }
        if self.trouble.is_some() {
            log::warn!(
                "shipping to CloudWatch Logs group {group}, stream {stream}: works again; {lost} lines lost since the start"
            );
        }
        *self = Self::default();
    }
}

/// A number from 0 to below 1 that differs from agent to agent.
fn chance() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};

    // The standard library's random keys: good enough to spread retries.
    let random = RandomState::new().hash_one(SystemTime::now());
    (random >> 11) as f64 / (1_u64 << 53) as f64
}
