//! What is said with `--output emf`, where every line costs: one document per interval; lines about sources only while
//! something is wrong, about findings as they open, clear and grow old, about verdict and loss when they change.

use std::time::{Duration, SystemTime};

use crate::{
    domain::{
        finding::Finding,
        identity::{Identity, Naming},
        ledger::State as FindingState,
        sample::Loss,
        verdict::{State, Verdict},
    },
    output::{
        emf::{self, Counts, Document, Observed},
        json::{self, Head},
        pace::Pace,
        view::{Row, TargetLabel},
    },
    run::watching::{Summary, Watching},
};

/// What is known and was said of one target.
#[derive(Debug, Default)]
pub struct Thrift {
    naming: Naming,
    identity: Identity,
    pace: Pace,
}

impl Thrift {
    /// Nothing was said yet. `identity`: whose metrics they are, where `naming` does not say it.
    pub fn of(naming: Naming, identity: Identity) -> Self {
        Self { naming, identity, pace: Pace::default() }
    }

    /// Forgets what was said: the target is hooked up anew.
    pub fn begin(&mut self) {
        self.pace = Pace::default();
    }

    /// Lines about findings that opened, cleared, or have been open for a while, each made by `line`.
    pub fn changes(
        &mut self,
        watching: &Watching,
        changes: &[(FindingState, Finding)],
        line: impl Fn(FindingState, &Finding) -> String,
    ) -> Vec<String> {
        let (now, open) = watching.open_since();
        let changed = changes.iter().map(|(state, finding)| (*state, finding));
        let due: Vec<_> = self.pace.due(now, &open);
        let all = changed.chain(due.into_iter().map(|finding| (FindingState::Ongoing, finding)));
        all.filter(|_| self.pace.admits()).map(|(state, finding)| line(state, finding)).collect()
    }

    /// The lines of a report, the document last.
    pub fn report<'a>(
        &mut self,
        summary: &Summary<'_>,
        rows: Vec<Row>,
        loss: Loss,
        label: &TargetLabel,
        head: impl Fn(&'static str) -> Head<'a>,
    ) -> Vec<String> {
        let counts = Counts::of(&rows);
        let mut lines = Vec::new();
        if summary.findings.iter().any(|(_, finding)| finding.is_fault() || finding.is_suspicion()) {
            // Those in trouble first, in case there is no room for all.
            let (troubled, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.trouble.is_some());
            let rows = troubled.into_iter().chain(others).filter(|_| self.pace.admits());
            lines.extend(rows.map(|row| json::report(head("report"), row, summary.window)));
        }
        if self.pace.is_new_verdict(summary.verdict.state) {
            lines.push(json::verdict(head("verdict"), &summary.verdict, &summary.hints));
        }
        if self.pace.is_new_loss(loss.total()) {
            lines.push(json::loss(head("loss"), loss));
        }
        let observed = Observed {
            window_seconds: seconds(summary.window),
            verdict: summary.verdict.state,
            counts,
            findings: summary.findings.iter().map(|(_, finding)| finding.code).collect(),
            lost: loss.total(),
        };
        // A target that is judged out of sight has no heartbeat either.
        let observed = (summary.verdict.state != State::CannotObserve).then_some(observed);
        lines.push(self.document(label, observed));
        lines
    }

    /// The document of a target that cannot be observed, and the verdict where it is new.
    pub fn blind(&mut self, verdict: &Verdict, label: &TargetLabel, head: Head<'_>) -> Vec<String> {
        let is_new = self.pace.is_new_verdict(verdict.state);
        let said = is_new.then(|| json::verdict(head, verdict, &[]));
        said.into_iter().chain([self.document(label, None)]).collect()
    }

    fn document(&mut self, label: &TargetLabel, observed: Option<Observed>) -> String {
        emf::document(Document {
            timestamp_ms: now_ms(),
            naming: &self.naming,
            identity: &self.identity,
            workload: &label.workload,
            netns: label.netns.as_deref(),
            observed,
            lines_left_out: self.pace.close(),
        })
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

/// Milliseconds since 1970. A clock before that is wrong in any case.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}
