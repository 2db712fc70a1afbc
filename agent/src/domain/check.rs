//! What `agent check` finds: one prerequisite, whether it is there, what is lost without it, and what to do.

use serde::Serialize;

use crate::domain::{finding::Code, stage::Stage};

/// How a prerequisite stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is there, or not needed here.
    Pass,
    /// The agent works, with less to tell.
    Warn,
    /// The agent cannot observe.
    Fail,
}

impl State {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One prerequisite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable id.
    pub id: String,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub found: String,
    /// Findings that cannot be made without it.
    pub blind: Vec<Code>,
    /// What to paste or do.
    pub fix: Option<String>,
}

impl Check {
    /// It is there, or not needed.
    pub fn pass(id: impl Into<String>, found: impl Into<String>) -> Self {
        Self { id: id.into(), state: State::Pass, found: found.into(), blind: Vec::new(), fix: None }
    }

    /// It is not there; `fix` brings it.
    pub fn lacks(
        state: State,
        id: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { state, fix: Some(fix.into()), ..Self::pass(id, found) }
    }

    /// Names what is lost.
    pub fn blinds(self, blind: &[Code]) -> Self {
        Self { blind: blind.to_vec(), ..self }
    }
}

/// The worst of all.
pub fn worst(checks: &[Check]) -> State {
    checks.iter().map(|check| check.state).max().unwrap_or(State::Pass)
}

/// Findings that rest on what is seen of a stage. Those about absence rest on arrival.
pub const fn findings_of(stage: Stage) -> &'static [Code] {
    match stage {
        Stage::Arrived => &[
            Code::ProbesMissing,
            Code::ProbesStopped,
            Code::ProbesWithdrawn,
            Code::ProbesPartial,
            Code::ClientsMissing,
            Code::NothingArrives,
        ],
        Stage::Admitted => &[
            Code::HostFirewall,
            Code::ReversePathFilter,
            Code::BpfDrop,
            Code::BadChecksum,
            Code::HostDrop,
            Code::ReplyDropped,
        ],
        Stage::Answered => {
            &[Code::NoListener, Code::ListenerElsewhere, Code::NoReturnRoute, Code::AcceptQueueFull]
        }
        Stage::Established => &[Code::ReplyLost, Code::AcceptQueueFull],
        Stage::Served => &[
            Code::AppNotAccepting,
            Code::ProbeHttpStatus,
            Code::ProbeTimeout,
            Code::AppReset,
            Code::TlsMismatch,
            Code::ProxyProtocolMismatch,
            Code::SharedSource,
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides() {
        let warn = Check::lacks(State::Warn, "btf", "missing", "another kernel");
        let fail = Check::lacks(State::Fail, "cap_bpf", "missing", "add it").blinds(&[Code::ProbesMissing]);
        assert_eq!(worst(&[]), State::Pass);
        assert_eq!(worst(&[Check::pass("kernel", "6.1"), warn.clone()]), State::Warn);
        assert_eq!(worst(&[fail, Check::pass("kernel", "6.1"), warn]), State::Fail);
    }
}
