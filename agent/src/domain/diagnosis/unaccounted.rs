//! SYNs that arrived, and of which nothing observed says what became of them.

use std::time::Duration;

use crate::domain::{
    diagnosis::Case,
    history::GRACE,
    reason::Meaning,
    tally::{Dropped, Tally},
    track::Track,
};

/// Recent SYNs of a source that nothing observed accounts for: neither dropped, refused nor answered, although old
/// enough.
pub fn unaccounted(case: &Case<'_>, track: &Track) -> u64 {
    Account::sure(case, track, GRACE).unaccounted()
}

/// What became of the SYNs of one source within the window, but for those that are too young.
pub struct Account {
    arrived: u64,
    /// Dropped, refused, duplicates, or without an answer for another reason that is known.
    gone: u64,
    /// Freed without a reason on a kernel that gives none: as duplicates are there.
    untold: u64,
    synacks: u64,
    /// Of the SYN-ACKs, those that were sent again.
    retransmits: u64,
}

impl Account {
    /// Counters are not read at one moment, so what became of a SYN may be counted with the reading after its own: that one is
    /// taken in. Where many are answered, some of a few that are not are hidden by answers to SYNs of that reading.
    pub fn sure(case: &Case<'_>, track: &Track, age: Duration) -> Self {
        let (from, to) = window(case, age);
        Self::new(&track.between(from, to), &track.between_and_next(from, to))
    }

    /// Without that reading: nothing is hidden, and a SYN that was answered while the counters were read may be said not to be.
    /// Enough for a fault to go on.
    pub fn likely(case: &Case<'_>, track: &Track, age: Duration) -> Self {
        let (from, to) = window(case, age);
        let settled = track.between(from, to);
        Self::new(&settled, &settled)
    }

    fn new(settled: &Tally, told: &Tally) -> Self {
        Self {
            arrived: settled.arrived,
            gone: gone(told),
            untold: told.drops_with(Dropped::Syn, Meaning::Untold),
            synacks: told.synacks,
            retransmits: settled.synack_retransmits,
        }
    }

    /// SYNs that nothing accounts for. One that comes again is answered again or counted as a duplicate; SYN-ACKs sent by timer
    /// may exceed the SYNs, and then pass for the answers of others.
    pub const fn unaccounted(&self) -> u64 {
        self.arrived.saturating_sub(self.gone + self.synacks)
    }

    /// The same, but SYN-ACKs that were sent again pass for nobody's answer. Rests on every duplicate SYN being counted as one.
    pub const fn unanswered(&self) -> u64 {
        let answered = self.synacks.saturating_sub(self.retransmits);
        self.arrived.saturating_sub(self.gone + self.untold + answered)
    }
}

fn window(case: &Case<'_>, age: Duration) -> (Duration, Duration) {
    (case.now.saturating_sub(case.history.window()), case.now.saturating_sub(age))
}

fn gone(told: &Tally) -> u64 {
    told.dropped()
        // The same SYN, seen without a socket and answered with a reset; what netfilter refuses is among the dropped.
        + told.no_socket().max(told.refused.saturating_sub(told.drops_with(Dropped::Syn, Meaning::Netfilter)))
        + told.on_open_connections()
        + told.drops_of(Dropped::DuplicateSyn)
        + told.drops_with(Dropped::Syn, Meaning::NotForThisHost)
        + told.drops_of(Dropped::SynAck)
}
