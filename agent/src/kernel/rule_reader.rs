//! When the rules of nftables are read: while nothing is dropped, so that their counters can be held against the drops,
//! and seldom enough. A dump of ten thousand rules keeps a processor busy for a good part of a second.

use std::time::{Duration, Instant};

use crate::{
    domain::{reason::Meaning, rules::Rules, tally::Dropped},
    kernel::tallies::Tallies,
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
}

impl RuleReader {
    /// The tallies and, when netfilter dropped something new, the rules that may have.
    ///
    /// # Errors
    ///
    /// Those of `tallies` and `rules`, which read them.
    pub fn read<E>(
        &mut self,
        mut tallies: impl FnMut() -> Result<Tallies, E>,
        mut rules: impl FnMut() -> Result<Option<Rules>, E>,
    ) -> Result<(Tallies, Option<Rules>), E> {
        let mut counted = tallies()?;
        let began = Instant::now();
        if self.rests_until.is_some_and(|until| began < until) {
            return Ok((counted, None));
        }
        let mut found = None;
        let mut spent = Duration::ZERO;
        for _ in 0..ATTEMPTS {
            let drops = netfilter_drops(&counted);
            if self.known_drops == Some(drops) {
                break;
            }
            let read = rules()?;
            spent = began.elapsed();
            counted = tallies()?;
            if netfilter_drops(&counted) == drops {
                self.known_drops = Some(drops);
                found = read;
                break;
            }
        }
        self.rests_until = Some(began + spent * (REST + 1));
        Ok((counted, found))
    }
}

/// SYNs that netfilter dropped, of everybody.
fn netfilter_drops(tallies: &Tallies) -> u64 {
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
                Ok(Some(Rules::new()))
            };
            self.reader.read(tallies, rules).expect("nothing fails").1
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
    fn a_long_dump_is_followed_by_a_long_rest() {
        let mut namespace = Namespace::default();
        // Ten seconds and more of rest, which no test waits for.
        assert!(namespace.read(0, Duration::from_millis(100)).is_some());
        namespace.drops.set(1);
        assert!(namespace.read(0, Duration::ZERO).is_none());
        assert_eq!(namespace.dumps.get(), 1);
    }
}
