//! What each row showed, as a line of `docs/scenarios.md`; `cargo xtask matrix` puts them together after a run.

use std::{collections::BTreeSet, fs, path::PathBuf, thread};

use lab::kernel::ARE_HIDDEN;
use serde_json::Value;

use crate::{
    asked::exit_code_of,
    blind::Wanted,
    expected::{Expected, last_verdict, open_findings},
    row::{ClientPath, Kind, Row},
};

/// Where the lines are kept, one file each, so that rows that run beside one another do not meet. `LAB_SCENARIOS` where
/// the sources are not, as in a booted kernel.
fn directory() -> PathBuf {
    let elsewhere = std::env::var_os("LAB_SCENARIOS").map(PathBuf::from);
    elsewhere.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../target/scenarios").into())
}

/// The harness names the thread after the test: `faults::nobody_listens::ipv4` of a table, `rare::checksums_are_wrong_ipv4` by hand.
fn row_of(test: &str) -> (&str, &str) {
    for family in ["ipv4", "ipv6"] {
        let rest = test.strip_suffix(family);
        if let Some(name) = rest.and_then(|rest| rest.strip_suffix("::").or_else(|| rest.strip_suffix('_'))) {
            return (name, family);
        }
    }
    (test, "ipv4")
}

fn file(name: &str, family: &str) -> PathBuf {
    directory().join(format!("{}-{family}.md", name.replace("::", "-")))
}

/// Forgets what a row showed in an earlier run: it has not held in this one yet.
pub fn forget() {
    if let Some((name, family)) = thread::current().name().map(row_of)
        && !*ARE_HIDDEN
    {
        let _there_may_be_none = fs::remove_file(file(name, family));
    }
}

/// Keeps the line of a row that held. It is no part of the test: where it cannot be written, the row holds all the same.
pub fn keep(row: &Row, wanted: &Wanted) {
    // What cannot be found here is named without the marks of what was found.
    let blind = wanted.blind.iter().map(|code| format!("blind to {code}")).collect();
    write(row, &wanted.findings, blind, wanted.verdict, &exit_code_of(row, wanted).to_string());
}

/// The same of a row by hand, which `agent diagnose` is not asked beside: what is open at the end of these lines.
pub fn keep_by_hand(row: &Row, lines: &[Value]) {
    let verdict = last_verdict(lines).unwrap_or("none");
    write(row, &open_findings(lines), Vec::new(), verdict, "not asked");
}

fn write(row: &Row, found: &BTreeSet<Expected>, blind: Vec<String>, verdict: &str, exit_code: &str) {
    // What is only pretended says nothing of this kernel.
    if *ARE_HIDDEN {
        return;
    }
    let thread = thread::current();
    let Some((name, family)) = thread.name().map(row_of) else { return };
    let mut findings: Vec<String> = found
        .iter()
        .map(|finding| {
            let note = if finding.severity == "note" { ", note" } else { "" };
            format!("`{}` ({}, {}{note})", finding.code, finding.class, finding.confidence)
        })
        .collect();
    let clients = match row.clients {
        ClientPath::Preserved => "preserved",
        ClientPath::Translated => "translated",
        ClientPath::Proxied => "proxy protocol",
        ClientPath::Elsewhere => "none",
    };
    findings.extend(blind);
    let near: Vec<_> = row.near.iter().map(|code| code.name()).collect();
    let line = format!(
        "| {}{}{} | {name} | {family} | {:?} | {clients} | {} | {verdict} | {exit_code} |\n",
        row.kind().name(),
        match (row.kind(), near.is_empty()) {
            (_, true) => "",
            (Kind::NearMiss, false) => " of ",
            (Kind::Fault | Kind::Calm, false) => ", near miss of ",
        },
        near.join(", "),
        row.speech,
        if findings.is_empty() { "nothing".to_owned() } else { findings.join(", ") },
    );
    let path = file(name, family);
    let kept = fs::create_dir_all(directory()).and_then(|()| fs::write(&path, line));
    if let Err(error) = kept {
        eprintln!("keeping the line of this row in {}: {error}", path.display());
    }
}

#[test]
fn a_row_is_known_by_its_test() {
    assert_eq!(row_of("faults::nobody_listens::ipv6"), ("faults::nobody_listens", "ipv6"));
    assert_eq!(row_of("rare::checksums_are_wrong_ipv6"), ("rare::checksums_are_wrong", "ipv6"));
    assert_eq!(row_of("fallbacks::ipv6_that_is_turned_off"), ("fallbacks::ipv6_that_is_turned_off", "ipv4"));
}
