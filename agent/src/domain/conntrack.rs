//! The connection tracking table of a network namespace, and when it was too full for another connection.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

use crate::domain::tally::growth;

/// The table at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Conntrack {
    /// Connections in it.
    pub entries: u64,
    /// Most that it takes (`nf_conntrack_max`); zero is no limit.
    pub limit: u64,
    /// Packets dropped because no entry could be made for them, cumulative.
    pub drops: u64,
}

impl Conntrack {
    /// The next connection finds no room (`__nf_conntrack_alloc`, net/netfilter/nf_conntrack_core.c, v6.1).
    pub const fn is_full(&self) -> bool {
        self.limit > 0 && self.entries >= self.limit
    }
}

/// The time between two readings, of which at least one found the table full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullSpan {
    /// The reading before.
    pub from: Duration,
    /// The reading after.
    pub to: Duration,
    /// What the table dropped meanwhile.
    pub drops: u64,
    /// The fuller of the two readings.
    pub table: Conntrack,
}

/// When the table was full, as far back as conclusions look.
#[derive(Clone, Debug, Default)]
pub struct ConntrackLog {
    latest: Option<(Duration, Conntrack)>,
    full: VecDeque<FullSpan>,
}

impl ConntrackLog {
    /// Takes in a reading, `None` where there is no such table, and forgets what ended before `keep_from`.
    pub fn observe(&mut self, at: Duration, table: Option<Conntrack>, keep_from: Duration) {
        while self.full.front().is_some_and(|span| span.to < keep_from) {
            self.full.pop_front();
        }
        if let (Some((from, before)), Some(now)) = (self.latest, table)
            && (before.is_full() || now.is_full())
        {
            let table = if now.is_full() { now } else { before };
            self.full.push_back(FullSpan { from, to: at, drops: growth(now.drops, before.drops), table });
        }
        self.latest = table.map(|table| (at, table));
    }

    /// The times it was full that ended after `from`, oldest first.
    pub fn full_since(&self, from: Duration) -> impl Iterator<Item = &FullSpan> {
        self.full.iter().filter(move |span| span.to > from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drops_while_full(readings: &[Option<(u64, u64)>]) -> u64 {
        let mut log = ConntrackLog::default();
        for (second, reading) in (0..).zip(readings) {
            let table = reading.map(|(entries, drops)| Conntrack { entries, limit: 10, drops });
            log.observe(Duration::from_secs(second), table, Duration::ZERO);
        }
        log.full_since(Duration::ZERO).map(|span| span.drops).sum()
    }

    #[test]
    fn drops_count_between_readings_of_which_one_is_full() {
        assert_eq!(drops_while_full(&[Some((9, 5)), Some((10, 7)), Some((8, 8)), Some((8, 20))]), 3);
    }

    #[test]
    fn what_was_dropped_before_the_first_reading_is_not_counted() {
        assert_eq!(drops_while_full(&[Some((10, 900))]), 0);
        assert_eq!(drops_while_full(&[None, Some((10, 900)), Some((10, 901))]), 1);
    }

    #[test]
    fn a_counter_that_went_backwards_was_reset() {
        assert_eq!(drops_while_full(&[Some((10, 900)), Some((10, 2))]), 2);
    }

    #[test]
    fn a_table_without_a_limit_is_never_full() {
        assert!(!Conntrack { entries: 5, limit: 0, drops: 3 }.is_full());
    }
}
