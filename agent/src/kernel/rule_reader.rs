//! When the rules of nftables are read: while nothing is dropped, so that their counters can be held against the drops,
//! and seldom enough. A dump of ten thousand rules keeps a processor busy for a good part of a second.

use std::{
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    domain::{reason::Meaning, rules::Rules, tally::Dropped},
    kernel::{nftables::Dump, tallies::Tallies},
};

/// Tries to find a moment in which nothing is dropped.
const ATTEMPTS: u32 = 3;

/// Between two looks at the rules passes this many times what the earlier one took: a hundredth of a processor at most.
const REST: u32 = 100;

/// Remembers what the latest rules were held against.
#[derive(Default)]
pub struct RuleReader {
    /// Drops by netfilter when the rules were last read.
    known_drops: Option<u64>,
    /// Until then the rules are left alone.
    rests_until: Option<Instant>,
    /// The end of the latest dump, which may take its time.
    closing: Option<JoinHandle<()>>,
}

impl RuleReader {
    /// A reading and, when netfilter dropped something new by its `drops`, the rules that may have.
    ///
    /// # Errors
    ///
    /// Those of `reading` and `rules`.
    pub fn read<R, E>(
        &mut self,
        mut reading: impl FnMut() -> Result<R, E>,
        drops: impl Fn(&R) -> u64,
        mut rules: impl FnMut() -> Result<Dump, E>,
    ) -> Result<(R, Option<Rules>), E> {
        let mut latest = reading()?;
        let began = Instant::now();
        let is_closing = self.closing.as_ref().is_some_and(|closing| !closing.is_finished());
        if is_closing || self.rests_until.is_some_and(|until| began < until) {
            return Ok((latest, None));
        }
        let mut found = None;
        let mut spent = Duration::ZERO;
        for _ in 0..ATTEMPTS {
            let drops_before = drops(&latest);
            if self.known_drops == Some(drops_before) {
                break;
            }
            let dump = rules()?;
            spent = began.elapsed();
            self.closing = dump.closing;
            latest = reading()?;
            if drops(&latest) == drops_before {
                self.known_drops = Some(drops_before);
                found = dump.rules.ok();
                break;
            }
        }
        self.rests_until = Some(began + spent * (REST + 1));
        Ok((latest, found))
    }
}

/// SYNs that netfilter dropped, of everybody.
pub fn netfilter_drops(tallies: &Tallies) -> u64 {
    tallies.values().map(|tally| tally.drops_with(Dropped::Syn, Meaning::Netfilter)).sum()
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible, thread::sleep};

    use super::*;
    use crate::domain::{reason::Reason, sample::TallyKey, tally::Tally};

    /// A namespace whose drops and rules are read, and how often the latter were.
    #[derive(Default)]
    struct Namespace {
        reader: RuleReader,
        drops: Cell<u64>,
        dumps: Cell<u32>,
    }

    impl Namespace {
        fn read(&mut self, drops_at_a_dump: u64, a_dump_takes: Duration) -> Option<Rules> {
            let (drops, dumps) = (&self.drops, &self.dumps);
            let tallies = || {
                let mut tally = Tally::default();
                tally.drops.insert((Dropped::Syn, Reason("NETFILTER_DROP")), drops.get());
                Ok::<_, Infallible>(Tallies::from([(TallyKey { slot: 0, port: 80 }, tally)]))
            };
            let rules = || {
                sleep(a_dump_takes);
                drops.set(drops.get() + drops_at_a_dump);
                dumps.set(dumps.get() + 1);
                Ok(Dump { rules: Ok(Rules::new()), closing: None })
            };
            self.reader.read(tallies, netfilter_drops, rules).expect("nothing fails").1
        }
    }

    #[test]
    fn rules_are_read_once_and_then_for_new_drops_only() {
        let mut namespace = Namespace::default();
        assert!(namespace.read(0, Duration::ZERO).is_some());
        sleep(Duration::from_millis(20));
        assert!(namespace.read(0, Duration::ZERO).is_none());
        assert_eq!(namespace.dumps.get(), 1);
        namespace.drops.set(5);
        assert!(namespace.read(0, Duration::ZERO).is_some());
    }

    #[test]
    fn counters_that_moved_meanwhile_prove_nothing() {
        let mut namespace = Namespace::default();
        assert!(namespace.read(1, Duration::ZERO).is_none());
        assert_eq!(namespace.dumps.get(), ATTEMPTS);
    }

    #[test]
    fn what_is_returned_was_read_after_whatever_the_dump_took() {
        let mut reader = RuleReader::default();
        let began = Instant::now();
        let dump = || {
            sleep(Duration::from_millis(50));
            Ok::<_, Infallible>(Dump { rules: Ok(Rules::new()), closing: None })
        };
        let (at, rules) = reader.read(|| Ok(began.elapsed()), |_| 0, dump).expect("nothing fails");
        assert!(rules.is_some() && at >= Duration::from_millis(50), "read at {at:?}");
    }

    #[test]
    fn no_dump_begins_before_the_one_before_is_closed() {
        let (mut reader, drops, dumps) = (RuleReader::default(), Cell::new(0), Cell::new(0));
        let (keep_open, closed) = std::sync::mpsc::channel::<()>();
        let mut closing = Some(std::thread::spawn(move || assert!(closed.recv().is_err())));
        let mut read = || {
            drops.set(drops.get() + 1);
            let dump = || {
                dumps.set(dumps.get() + 1);
                Ok::<_, Infallible>(Dump { rules: Ok(Rules::new()), closing: closing.take() })
            };
            reader.read(|| Ok(()), |()| drops.get(), dump).expect("nothing fails")
        };
        read();
        sleep(Duration::from_millis(20));
        read();
        assert_eq!(dumps.get(), 1);
        drop(keep_open);
        wait_until(|| {
            read();
            dumps.get() == 2
        });
    }

    fn wait_until(mut is_so: impl FnMut() -> bool) {
        let limit = Instant::now() + Duration::from_secs(10);
        while !is_so() {
            assert!(Instant::now() < limit, "it never was");
            sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_long_dump_is_followed_by_a_long_rest() {
        let mut namespace = Namespace::default();
        // Ten seconds and more of rest, which no test waits for.
        assert!(namespace.read(0, Duration::from_millis(100)).is_some());
        namespace.drops.set(1);
        assert!(namespace.read(0, Duration::ZERO).is_none());
        assert_eq!(namespace.dumps.get(), 1);
    }
}
