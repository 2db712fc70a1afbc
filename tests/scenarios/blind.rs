//! Rows on a kernel that does not say why it drops: what they need and cannot have is named, and the agent has to say that
//! it is blind to it.

use std::collections::BTreeSet;

use agent::domain::{check::blinded, stage::Stage};
use lab::{
    agent::{Agent, Ended},
    kernel::GIVES_DROP_REASONS,
    plan::Plan,
};
use serde_json::Value;

use crate::{expected::Expected, row::Row};

/// What drops are filed under where nothing says why.
const UNTOLD: &str = "not told by this kernel";

/// What a row has to show on this kernel.
pub struct Wanted {
    /// Everything that has to be found, and nothing else.
    pub findings: BTreeSet<Expected>,
    /// The verdict in the end.
    pub verdict: &'static str,
    /// Codes that the row is about and that cannot be found here.
    pub blind: BTreeSet<&'static str>,
}

impl Wanted {
    /// What the row says, less what needs drop reasons where there are none.
    pub fn of(row: &Row, plan: &Plan) -> Self {
        let all = (row.expected)(plan).into_iter();
        if *GIVES_DROP_REASONS {
            return Self { findings: all.collect(), verdict: row.verdict, blind: BTreeSet::new() };
        }
        let lost: Vec<&str> = blinded(&[Stage::Admitted]).into_iter().map(|code| code.name()).collect();
        let (blind, mut findings): (BTreeSet<Expected>, BTreeSet<Expected>) =
            all.partition(|finding| lost.contains(&finding.code));
        if !blind.is_empty() {
            findings.extend((row.instead)(plan));
        }
        let has_fault =
            findings.iter().any(|finding| finding.severity == "fault" && finding.confidence != "suspected");
        let blind: BTreeSet<&str> = blind.into_iter().map(|finding| finding.code).collect();
        if !blind.is_empty() {
            eprintln!("NEEDS drop reasons, and this kernel gives none: {blind:?}");
        }
        Self { findings, verdict: if has_fault { row.verdict } else { "inconclusive" }, blind }
    }

    /// Holds what the agent said of its blindness against the kernel.
    #[track_caller]
    pub fn judge(&self, ended: &Ended) {
        let verdicts = ended.lines.iter().filter(|line| line["kind"] == "verdict");
        for line in verdicts {
            assert_eq!(is_blind(line), !*GIVES_DROP_REASONS, "{line}");
        }
        // Nothing says why, but that something was thrown away is counted. What has a route is not: it may be the
        // duplicate of a handshake under way, and a duplicate tuple looks like one.
        let counted = ended.lines.iter().any(|line| filed_under(line, UNTOLD) > 0);
        let has_drops = self.blind.iter().any(|code| *code != "duplicate_tuple");
        assert!(!has_drops || counted, "no drop was counted\n{}", ended.text);
    }
}

/// The verdict where nothing is wrong: what is not seen forbids `healthy`.
pub fn healthy_at_best() -> &'static str {
    if *GIVES_DROP_REASONS { "healthy" } else { "inconclusive" }
}

/// For a test that rests on a drop reason: whether this kernel gives any. Where it gives none, the agent has to say so.
#[track_caller]
pub fn gives_drop_reasons(agent: &mut Agent) -> bool {
    let start = agent.lines()[0].clone();
    assert_eq!(is_blind(&start), !*GIVES_DROP_REASONS, "{start}");
    if !*GIVES_DROP_REASONS {
        eprintln!("NEEDS drop reasons, and this kernel gives none: the agent says that it is blind");
    }
    *GIVES_DROP_REASONS
}

/// Drops that a report files under a reason, or under none where the kernel gives none.
pub fn dropped_by(line: &Value, reason: &str) -> u64 {
    filed_under(line, if *GIVES_DROP_REASONS { reason } else { UNTOLD })
}

fn filed_under(line: &Value, reason: &str) -> u64 {
    line["drop_reasons"][reason].as_u64().unwrap_or(0)
}

fn is_blind(line: &Value) -> bool {
    line["blind_spots"].as_array().into_iter().flatten().any(|spot| spot["id"] == "drop_reasons")
}
