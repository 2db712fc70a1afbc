//! How the application took the connections that it accepted: counted where it did not answer well.

use std::time::Duration;

use serde::Serialize;

use crate::domain::tally::growth;

/// Counts of one (source, port), cumulative or as a difference; the last three are levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Answers {
    /// Proxy protocol v2 headers at the begin of a connection.
    pub proxy_openings: u64,
    /// Answers that began as plain HTTP.
    pub http_answers: u64,
    /// Of `http_answers`, those with status 400: what came was no request, as far as the application understood it.
    pub bad_requests: u64,
    /// Answers that go on with a TLS handshake.
    pub tls_answers: u64,
    /// TLS handshakes that this side refused with an alert.
    pub tls_alerts: u64,
    /// Health checks answered with an HTTP status other than 200 to 399.
    pub probes_bad_status: u64,
    /// Health checks whose peer gave up before a single byte of an answer.
    pub probes_given_up: u64,
    /// Health checks that this side ended without an answer.
    pub probes_cut: u64,
    /// Connections that began like a health check and found no place to be followed: they end as a client's.
    pub probes_lost: u64,
    /// Connections of clients that had sent something, and that this side ended without an answer.
    pub clients_cut: u64,
    /// The latest status of `probes_bad_status`.
    pub bad_status: u64,
    /// The latest description of `tls_alerts` (RFC 8446 section 6).
    pub tls_alert: u64,
    /// How long the latest of `probes_given_up` had waited.
    pub wait: Duration,
}

impl Answers {
    /// Answers that show that the application understood what it was sent, at the least.
    pub fn understood(&self) -> u64 {
        let badly = self.bad_requests.max(self.probes_bad_status);
        self.http_answers.saturating_sub(badly) + self.tls_answers
    }

    /// Connections that this side ended without an answer.
    pub const fn cut(&self) -> u64 {
        self.probes_cut + self.clients_cut
    }

    /// Adds later ones: counts add up, levels are replaced where there is a new one.
    pub fn add(&mut self, later: &Self) {
        self.proxy_openings += later.proxy_openings;
        self.http_answers += later.http_answers;
        self.bad_requests += later.bad_requests;
        self.tls_answers += later.tls_answers;
        self.tls_alerts += later.tls_alerts;
        self.probes_bad_status += later.probes_bad_status;
        self.probes_given_up += later.probes_given_up;
        self.probes_cut += later.probes_cut;
        self.probes_lost += later.probes_lost;
        self.clients_cut += later.clients_cut;
        if later.probes_bad_status > 0 {
            self.bad_status = later.bad_status;
        }
        if later.tls_alerts > 0 {
            self.tls_alert = later.tls_alert;
        }
        if later.probes_given_up > 0 {
            self.wait = later.wait;
        }
    }

    /// What was counted since `earlier`; a level stands only where its count grew.
    pub fn since(&self, earlier: &Self) -> Self {
        let probes_bad_status = growth(self.probes_bad_status, earlier.probes_bad_status);
        let tls_alerts = growth(self.tls_alerts, earlier.tls_alerts);
        let probes_given_up = growth(self.probes_given_up, earlier.probes_given_up);
        Self {
            proxy_openings: growth(self.proxy_openings, earlier.proxy_openings),
            http_answers: growth(self.http_answers, earlier.http_answers),
            bad_requests: growth(self.bad_requests, earlier.bad_requests),
            tls_answers: growth(self.tls_answers, earlier.tls_answers),
            tls_alerts,
            probes_bad_status,
            probes_given_up,
            probes_cut: growth(self.probes_cut, earlier.probes_cut),
            probes_lost: growth(self.probes_lost, earlier.probes_lost),
            clients_cut: growth(self.clients_cut, earlier.clients_cut),
            bad_status: if probes_bad_status > 0 { self.bad_status } else { 0 },
            tls_alert: if tls_alerts > 0 { self.tls_alert } else { 0 },
            wait: if probes_given_up > 0 { self.wait } else { Duration::ZERO },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_stands_only_while_its_count_grows() {
        let first = Answers { probes_bad_status: 3, bad_status: 503, ..Answers::default() };
        let second = Answers { probes_cut: 1, ..first };
        assert_eq!(second.since(&first), Answers { probes_cut: 1, ..Answers::default() });
        let mut sum = first;
        sum.add(&second.since(&first));
        assert_eq!(sum, second);
    }
}
