//! Since when something listens on a port.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::domain::sample::Listener;

/// Since when, by port.
#[derive(Clone, Debug, Default)]
pub struct ListeningLog {
    since: BTreeMap<u16, Duration>,
}

impl ListeningLog {
    /// Takes in a reading; nothing where the socket table could not be read.
    pub fn observe(&mut self, at: Duration, listeners: Option<&Vec<Listener>>) {
        let Some(listeners) = listeners else { return };
        let ports: BTreeSet<u16> = listeners.iter().map(|listener| listener.port).collect();
        self.since.retain(|port, _| ports.contains(port));
        for port in ports {
            self.since.entry(port).or_insert(at);
        }
    }

    /// The reading from which on something was found there each time; `None` while nothing is.
    pub fn since(&self, port: u16) -> Option<Duration> {
        self.since.get(&port).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn it_is_told_from_the_reading_that_found_it_to_the_one_that_does_not() {
        let listener = |port| Listener {
            address: Ipv4Addr::UNSPECIFIED.into(),
            port,
            v6_only: false,
            backlog: 0,
            backlog_limit: 128,
        };
        let mut log = ListeningLog::default();
        let second = Duration::from_secs;
        log.observe(second(1), Some(&vec![listener(80)]));
        log.observe(second(2), Some(&vec![listener(80), listener(81)]));
        log.observe(second(3), None);
        assert_eq!((log.since(80), log.since(81), log.since(82)), (Some(second(1)), Some(second(2)), None));
        log.observe(second(4), Some(&vec![listener(81)]));
        log.observe(second(5), Some(&vec![listener(80)]));
        assert_eq!((log.since(80), log.since(81)), (Some(second(5)), None));
    }
}
