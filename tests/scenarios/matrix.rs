//! What each row showed, as a line of `docs/scenarios.md`; `cargo xtask matrix` puts them together after a run.

use std::{collections::BTreeSet, fs, path::PathBuf, thread};

use lab::{
    kernel::ARE_HIDDEN,
    plan::{Family, Plan},
};
use serde_json::Value;

use crate::{
    asked::exit_code_of,
    blind::Wanted,
    coverage::{BY_HAND, all},
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

/// In place of an exit code.
const NOT_ASKED: &str = "not asked";

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
    write(row, wanted, blind, &exit_code_of(row, wanted.verdict).to_string());
}

/// Holds what is open at the end of these lines, and their verdict, against a row by hand, which `agent diagnose` is not asked
/// beside; then keeps its line.
#[track_caller]
pub fn keep_by_hand(row: &Row, plan: &Plan, lines: &[Value]) {
    let wanted = Wanted::of(row, plan);
    assert_eq!(open_findings(lines), wanted.findings, "{lines:?}");
    assert_eq!(last_verdict(lines), Some(wanted.verdict), "{lines:?}");
    write(row, &wanted, Vec::new(), NOT_ASKED);
}

fn write(row: &Row, wanted: &Wanted, blind: Vec<String>, exit_code: &str) {
    // What is only pretended says nothing of this kernel.
    if *ARE_HIDDEN {
        return;
    }
    let thread = thread::current();
    let Some((name, family)) = thread.name().map(row_of) else { return };
    let line = line(row, (name, family), &wanted.findings, blind, wanted.verdict, exit_code);
    let path = file(name, family);
    let kept = fs::create_dir_all(directory()).and_then(|()| fs::write(&path, line));
    if let Err(error) = kept {
        eprintln!("keeping the line of this row in {}: {error}", path.display());
    }
}

fn line(
    row: &Row,
    (name, family): (&str, &str),
    found: &BTreeSet<Expected>,
    blind: Vec<String>,
    verdict: &str,
    exit_code: &str,
) -> String {
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
    format!(
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
    )
}

/// What a table or a row by hand promises of this kernel or a newer one, as [`keep`] and [`keep_by_hand`] write it.
fn promised(row: &Row, (name, family): (&str, Family), is_asked: bool) -> String {
    // Sources are not written, so any plan will do.
    let found = (row.expected)(&Plan::from_seed(family, 1)).into_iter().collect();
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let exit_code = if is_asked { exit_code_of(row, row.verdict).to_string() } else { NOT_ASKED.to_owned() };
    line(row, (name, family), &found, Vec::new(), row.verdict, &exit_code)
}

#[test]
fn a_row_is_known_by_its_test() {
    assert_eq!(row_of("faults::nobody_listens::ipv6"), ("faults::nobody_listens", "ipv6"));
    assert_eq!(row_of("rare::checksums_are_wrong_ipv6"), ("rare::checksums_are_wrong", "ipv6"));
    assert_eq!(row_of("fallbacks::ipv6_that_is_turned_off"), ("fallbacks::ipv6_that_is_turned_off", "ipv4"));
}

/// A row that failed leaves no line, and nobody would miss it in a long file.
#[test]
fn every_row_stands_in_the_docs_with_what_it_promises() {
    let of_tables = all().flat_map(|(name, families, row)| {
        families.iter().map(move |family| promised(row, (&name, *family), true)).collect::<Vec<_>>()
    });
    let by_hand = BY_HAND.iter().map(|hand| promised(&hand.row, (row_of(hand.test).0, hand.family), false));
    let promised: BTreeSet<String> = of_tables.chain(by_hand).collect();
    let written: BTreeSet<String> = include_str!("../../docs/scenarios.md")
        .lines()
        // Head and rule of the table.
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Kind "))
        .map(|line| format!("{line}\n"))
        .collect();
    let list = |of: &BTreeSet<String>, without: &BTreeSet<String>| -> String {
        of.difference(without).map(String::as_str).collect()
    };
    let (lacking, unfounded) = (list(&promised, &written), list(&written, &promised));
    assert!(
        lacking.is_empty() && unfounded.is_empty(),
        "run these rows, `cargo xtask test -- NAME`, and then `cargo xtask matrix`. docs/scenarios.md lacks\n{lacking}\
         and has, though no row promises it,\n{unfounded}"
    );
}
