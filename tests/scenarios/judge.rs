//! What a row showed, held against what it has to show.

use std::{collections::BTreeSet, time::Duration};

use lab::{agent::Ended, kernel::MAY_MISS_RUNS, plan::Plan, wait, witness::Witness};
use serde_json::Value;

use crate::{
    blind::Wanted,
    expected::{Expected, arrived, open_findings},
    row::{ClientPath, Row, nodes},
};

/// What is open at the end of these lines, but for what is said of a row just because it takes its time.
pub fn concluded(row: &Row, lines: &[Value]) -> BTreeSet<Expected> {
    let open = open_findings(lines).into_iter();
    open.filter(|finding| !is_true_of_the_row(row, &finding.code.into(), &finding.severity.into())).collect()
}

/// Whether the kernel left out a run of a program of the agent.
pub fn skipped_runs(lines: &[Value]) -> bool {
    lost(lines, "recursion_misses")
}

fn lost(lines: &[Value], kind: &str) -> bool {
    lines.iter().any(|line| line["kind"] == "loss" && line[kind] != 0)
}

/// Where the clients go elsewhere, none comes: a row that lasts long, as on a slow machine, hears of it.
fn is_true_of_the_row(row: &Row, code: &Value, severity: &Value) -> bool {
    row.clients == ClientPath::Elsewhere && code == "clients_missing" && severity == "note"
}

/// Holds everything the agent said against the row, and its counts against those of nftables.
///
/// `nobody_sent_for`: how long the agent watched before the lab had everybody sending.
pub fn judge(
    row: &Row,
    wanted: &Wanted,
    ended: &Ended,
    witness: &Witness<'_>,
    plan: &Plan,
    nobody_sent_for: Duration,
) {
    let shown = || format!("{}\n{}", ended.text, ended.errors);
    assert_eq!(ended.status.code(), Some(0), "{}", shown());
    assert_eq!(ended.errors, "", "nothing is said on standard error");
    assert_eq!(concluded(row, &ended.lines), wanted.findings, "{}", shown());
    wanted.judge(ended);
    let codes: BTreeSet<_> = wanted.findings.iter().map(|finding| (finding.code, finding.class)).collect();
    // Nothing comes before the lab sends, and in the first moments a node may be late: a suspicion then is what the contract
    // asks for. On a slow machine it is more than that.
    let is_early = |line: &Value| {
        let is_absence =
            ["probes_missing", "clients_missing", "nothing_arrives"].iter().any(|code| line["code"] == *code);
        let is_mild = line["confidence"] == "suspected" || line["state"] == "cleared";
        let start = 3 * plan.interval + Duration::from_secs(1) * wait::pace();
        let limit = nobody_sent_for + if is_mild { start } else { plan.interval };
        is_absence && line["watched_seconds"].as_f64().is_some_and(|watched| watched <= limit.as_secs_f64())
    };
    // Before a queue is found to be full, its burst is answered with cookies, and what is in it is not accepted: that is so,
    // and explained later.
    let is_full = codes.iter().any(|(code, _)| *code == "accept_queue_full");
    let is_explained =
        |line: &Value| is_full && (line["code"] == "syn_cookies" || line["code"] == "app_not_accepting");
    let told = ended.lines.iter().filter(|line| line["kind"] == "finding");
    let told = told.filter(|line| !is_true_of_the_row(row, &line["code"], &line["severity"]));
    for line in told.filter(|line| !is_early(line) && !is_explained(line)) {
        let named = (line["code"].as_str().unwrap_or(""), line["class"].as_str().unwrap_or(""));
        assert!(codes.contains(&named), "{}\n{named:?} was reported at a time: {line}", shown());
    }
    let stop = ended.lines.last().expect("a last line");
    assert_eq!((&stop["kind"], &stop["verdict"]), (&"stop".into(), &wanted.verdict.into()), "{}", shown());
    let full =
        ["drops", "elsewhere", "strays", "probes", "sources"].iter().any(|kind| lost(&ended.lines, kind));
    assert!(!full, "a table was full\n{}", shown());
    assert!(*MAY_MISS_RUNS || !skipped_runs(&ended.lines), "runs were skipped\n{}", shown());

    // Every SYN that the agent counted, nftables counted too.
    let counted = arrived(&ended.lines, plan.port);
    let seen = witness.counts();
    for node in nodes(plan) {
        let label = node.to_string();
        if (row.tc_drops)(plan) == Some(node) {
            // Dropped between the agent's hook and nftables.
            assert_eq!(seen[&label], 0, "{}", shown());
            continue;
        }
        assert_eq!(counted.get(&label).copied().unwrap_or(0), seen[&label], "{label}\n{}", shown());
    }
    if !matches!(row.clients, ClientPath::Translated | ClientPath::Proxied) {
        let clients: u64 = plan.client.addresses.iter().map(|address| seen[&address.to_string()]).sum();
        let label = plan.client.subnet.to_string();
        assert_eq!(counted.get(&label).copied().unwrap_or(0), clients, "{label}\n{}", shown());
    }
}
