//! What `--listen` says of the targets.

use std::{io, net::SocketAddr};

use tokio::sync::mpsc::Receiver;

use crate::{
    output::prometheus::{self, Observed},
    run::{Failure, VERSION, ready, target::Target, watching::Watching},
    ship::listen::{self, Page, Question},
};

/// Where questions come in.
pub struct Endpoint {
    questions: Receiver<Question>,
}

impl Endpoint {
    /// Opens the port in the agent's own network namespace.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open(address: SocketAddr) -> Result<Self, Failure> {
        let questions = listen::open(address).map_err(|error| unopened(address, &error))?;
        Ok(Self { questions })
    }

    /// Waits for the next question; for ever where nothing is served.
    pub async fn asked(endpoint: Option<&mut Self>) -> Question {
        match endpoint {
            Some(endpoint) => match endpoint.questions.recv().await {
                Some(question) => question,
                // The thread that serves never ends.
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}

fn unopened(address: SocketAddr, error: &io::Error) -> Failure {
    let what_to_do = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("name a free port, or see who has it with `ss -ltnp sport = :{}`", address.port())
        }
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "no interface here has the address {}: name one of `ip address`, or 127.0.0.1",
                address.ip()
            )
        }
        io::ErrorKind::PermissionDenied => "name a port above 1023, or allow CAP_NET_BIND_SERVICE".to_owned(),
        _ => "name another address, or leave --listen out".to_owned(),
    };
    Failure::Usage(format!("opening --listen {address}: {error}; {what_to_do}"))
}

/// The answer to a question. `follows`: the agent finds the targets on its node itself. `lost_lines`: lines of output that
/// nobody read or that could not be written.
pub fn page(follows: bool, targets: &[Target], lost_lines: u64) -> Page {
    let shown: Vec<_> = targets
        .iter()
        .map(|target| prometheus::Target {
            label: target.label(),
            identity: target.identity(),
            observed: target.watching().ok().map(observed),
        })
        .collect();
    let states: Vec<_> =
        targets.iter().map(|target| (target.name(), target.watching().map(|_| ()))).collect();
    Page { metrics: prometheus::page(VERSION, lost_lines, &shown), not_ready: not_ready(follows, &states) }
}

/// What keeps the agent from being ready: of each target its name, and why it is not watched.
fn not_ready(follows: bool, targets: &[(&str, Result<(), &str>)]) -> Vec<String> {
    if ready::is_ready(follows, targets.iter().map(|(_, state)| state.is_ok())) {
        return Vec::new();
    }
    let trouble = |(name, state): &(&str, Result<(), &str>)| Some(format!("{name}: {}", state.err()?));
    targets.iter().filter_map(trouble).collect()
}

fn observed(watching: &Watching) -> Observed<'_> {
    let summary = watching.summary();
    Observed {
        watched_seconds: summary.case.now.as_millis() as f64 / 1000.0,
        verdict: summary.verdict.state,
        totals: watching.totals(),
        nodes: prometheus::nodes(&summary.case),
        findings: summary.findings.into_iter().map(|(_, finding)| finding).collect(),
        blind_spots: summary.verdict.blind_spots,
        loss: summary.loss,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_with_a_blind_target_and_the_page_goes_by_the_rule_of_the_ready_file() {
        let (seen, blind) = (("a", Ok(())), ("b", Err("no default route")));
        assert_eq!(not_ready(true, &[seen, blind]), [""; 0]);
        assert_eq!(not_ready(true, &[]), [""; 0]);
        assert_eq!(not_ready(false, &[seen, blind]), ["b: no default route"]);
        assert_eq!(not_ready(true, &[blind]), ["b: no default route"]);
    }
}
