//! `agent diagnose`, asked beside the trace of a row: it has to exit as the verdict says.
//!
//! It begins when what the row is about has happened, while the row waits anyway, so it costs no time. What happens only
//! once it has to watch from before: then the process is held still meanwhile, and its programs count on.

use std::time::Duration;

use lab::{
    agent::{Agent, START, words},
    plan::Plan,
    topology::Topology,
    wait,
};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    blind::Wanted,
    row::{Row, told_to_both},
};

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Once the trouble is there, as an operator does.
    Late,
    /// The same; who begins so late has never seen what stopped, and says this, for which it exits so.
    LateAs(&'static str, i32),
    /// From before, held still until the trouble was there, which comes only once.
    Held,
}

/// One that was asked and has not answered yet.
pub struct Question {
    agent: Agent,
    code: i32,
    /// Codes of which one has to be among the faults, where there are any.
    faults: Vec<&'static str>,
    /// What it says, as suspected at least, who has not seen what stopped.
    instead: Option<&'static str>,
}

/// The exit code that belongs to a verdict (README, exit codes).
pub fn exit_code(verdict: &str) -> i32 {
    match verdict {
        "healthy" => 0,
        "fault" => 1,
        "cannot_observe" => 3,
        "inconclusive" => 4,
        other => panic!("{other} is no verdict"),
    }
}

/// The exit code that a row has to show where this is the verdict.
pub fn exit_code_of(row: &Row, verdict: &str) -> i32 {
    match row.asked {
        Asked::LateAs(_, code) => code,
        Asked::Late | Asked::Held => exit_code(verdict),
    }
}

impl Question {
    /// Asks it before the trouble, where the row wants that; it is held still at once, long before it can be sure.
    pub fn hold(row: &Row, wanted: &Wanted, topology: &Topology) -> Option<Self> {
        if row.asked != Asked::Held {
            return None;
        }
        let mut question = Self::ask(row, wanted, topology);
        question.agent.wait_for("diagnose to watch", START, |line| line["kind"] == "start");
        question.agent.signal(Signal::STOP);
        Some(question)
    }

    /// Lets it go on, or asks it now.
    pub fn now(held: Option<Self>, row: &Row, wanted: &Wanted, topology: &Topology) -> Self {
        let Some(mut question) = held else { return Self::ask(row, wanted, topology) };
        question.agent.signal(Signal::CONT);
        question
    }

    fn ask(row: &Row, wanted: &Wanted, topology: &Topology) -> Self {
        let plan = &topology.plan;
        let code = exit_code_of(row, wanted.verdict);
        let limit = limit(code, plan).as_millis();
        // Without a default route there would be no default interface.
        let interface = &plan.task.interface;
        let text = format!(
            "diagnose --output json --interface {interface} --wait {limit}ms {}",
            told_to_both(row, plan)
        );
        let proven = wanted.findings.iter().filter(|finding| finding.severity == "fault");
        let faults = match row.asked {
            Asked::LateAs(code, _) => vec![code],
            Asked::Late | Asked::Held => proven.map(|finding| finding.code).collect(),
        };
        let instead = if let Asked::LateAs(code, _) = row.asked { Some(code) } else { None };
        Self { agent: Agent::start(&topology.task, &words(&text)), code, faults, instead }
    }

    /// Holds its answer against the row.
    #[track_caller]
    pub fn judge(self) {
        let ended = self.agent.wait_end();
        let shown = || format!("diagnose: {}\n{}", ended.text, ended.errors);
        assert_eq!(ended.status.code(), Some(self.code), "{}", shown());
        assert_eq!(ended.errors, "", "{}", shown());
        let stop = ended.lines.last().expect("a last line");
        let verdict = stop["verdict"].as_str().expect("a verdict");
        assert_eq!(exit_code(verdict), self.code, "{}", shown());
        let is_fault = |line: &&Value| {
            line["kind"] == "finding" && line["severity"] == "fault" && line["confidence"] != "suspected"
        };
        let faults: Vec<&str> =
            ended.lines.iter().filter(is_fault).filter_map(|line| line["code"].as_str()).collect();
        assert_eq!(self.code == 1, !faults.is_empty(), "{}", shown());
        assert!(faults.iter().all(|code| self.faults.contains(code)), "{faults:?}\n{}", shown());
        let is_said = |code| ended.lines.iter().any(|line| line["kind"] == "finding" && line["code"] == code);
        assert!(self.instead.is_none_or(is_said), "{:?} is not said\n{}", self.instead, shown());
    }
}

/// A verdict that is sure ends it; where none can be, what is suspected stands after three intervals.
fn limit(code: i32, plan: &Plan) -> Duration {
    if code == exit_code("inconclusive") {
        4 * plan.interval + Duration::from_millis(1500) * wait::pace()
    } else {
        Duration::from_secs(60) * wait::pace()
    }
}
