//! Which watched ports are translated inside the host, and what was seen on the ports they lead to.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::strays::{StrayLog, Strays};

/// Which watched ports are translated, and what was completed on unwatched ones within the window.
#[derive(Clone, Debug, Default)]
pub struct Translated {
    to: BTreeMap<u16, u16>,
    /// When something was last seen to be translated, of the ports that are no longer.
    until: BTreeMap<u16, Duration>,
    completed: StrayLog,
}

impl Translated {
    /// Takes in what was completed on unwatched local ports so far, and forgets what is older than `keep_from`.
    pub(super) fn observe(&mut self, at: Duration, completed: Strays, keep_from: Duration) {
        self.completed.observe(at, completed, keep_from);
    }

    /// Follows a port to a local one, or no longer where that is itself.
    pub(super) fn follow(&mut self, port: u16, local_port: u16) {
        if port == local_port {
            let until = self.last(port);
            self.to.remove(&port);
            self.until.extend(until.map(|until| (port, until)));
        } else {
            self.to.insert(port, local_port);
        }
    }

    /// The local port on which a watched one is followed.
    pub fn followed(&self, port: u16) -> Option<u16> {
        self.to.get(&port).copied()
    }

    /// Whether some watched port is followed on this local one.
    pub fn is_followed(&self, local_port: u16) -> bool {
        self.to.values().any(|local| *local == local_port)
    }

    /// The reading that last saw a connection to a watched port end up where the port is, or was, followed.
    pub fn last(&self, port: u16) -> Option<Duration> {
        let followed = self.followed(port).and_then(|local| self.completed.last(local));
        followed.or_else(|| self.until.get(&port).copied())
    }

    /// Connections completed on unwatched local ports after `from`: (slot, local port) and how many.
    pub fn completed_since(&self, from: Duration) -> Strays {
        self.completed.since(from)
    }
}
