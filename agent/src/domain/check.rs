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

/// The stages that have to be seen for a finding to be made. There is no arm for the rest: a new code does not compile
/// before somebody has thought of it.
pub const fn rests_on(code: Code) -> &'static [Stage] {
    match code {
        Code::ProbesMissing
        | Code::ProbesStopped
        | Code::ProbesWithdrawn
        | Code::ProbesPartial
        | Code::ProbesOtherPort
        | Code::ClientsMissing
        | Code::NothingArrives
        | Code::Hairpin => &[Stage::Arrived],
        // The driver's own counters say it, whatever hooks there are.
        Code::AllowanceExceeded => &[],
        // Reasons of drops.
        Code::HostFirewall
        | Code::FirewallReject
        | Code::ConntrackFull
        | Code::ReversePathFilter
        | Code::BpfDrop
        | Code::BadChecksum
        | Code::HostDrop
        | Code::SlowStart
        | Code::DuplicateTuple
        | Code::ReplyDropped => &[Stage::Admitted],
        // A reason of a drop, and the RST that went out.
        Code::NoListener | Code::ListenerElsewhere => &[Stage::Admitted, Stage::Answered],
        Code::NoReturnRoute | Code::SynCookies => &[Stage::Answered],
        Code::AcceptQueueFull | Code::ReplyLost | Code::PortTranslated => {
            &[Stage::Answered, Stage::Established]
        }
        Code::AppNotAccepting => &[Stage::Established],
        Code::ProbeHttpStatus
        | Code::ProbeTimeout
        | Code::AppReset
        | Code::TlsMismatch
        | Code::ProxyProtocolMismatch
        | Code::SharedSource => &[Stage::Served],
    }
}

/// Findings that cannot be made, or not for sure, while one of these stages is not seen.
pub fn blinded(stages: &[Stage]) -> Vec<Code> {
    let all = Code::ALL.into_iter();
    all.filter(|code| rests_on(*code).iter().any(|stage| stages.contains(stage))).collect()
}

/// Stages that the tracepoints see.
pub const OF_TRACEPOINTS: [Stage; 3] = [Stage::Admitted, Stage::Established, Stage::Served];

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

    #[test]
    fn each_stage_has_findings_that_rest_on_it_and_the_drivers_counters_need_none() {
        for stage in Stage::ALL {
            assert!(!blinded(&[stage]).is_empty(), "{stage:?}");
        }
        let all = blinded(&Stage::ALL);
        let others: Vec<_> = Code::ALL.into_iter().filter(|code| !all.contains(code)).collect();
        assert_eq!(others, [Code::AllowanceExceeded]);
        assert_eq!(blinded(&[]), []);
    }

    #[test]
    fn without_drop_reasons_firewalls_are_not_named_and_absence_still_is() {
        let lost = blinded(&[Stage::Admitted]);
        for code in [Code::HostFirewall, Code::FirewallReject, Code::ConntrackFull, Code::NoListener] {
            assert!(lost.contains(&code), "{code:?}");
        }
        assert!(!lost.contains(&Code::ProbesMissing) && !lost.contains(&Code::AppReset));
    }
}
