//! What each row showed, as a line of `docs/scenarios.md`; `cargo xtask matrix` puts them together after a run.

use std::{fs, path::PathBuf, thread};

use lab::kernel::ARE_HIDDEN;

use crate::{
    asked::exit_code_of,
    blind::Wanted,
    row::{ClientPath, Kind, Row},
};

/// Where the lines are kept, one file each, so that rows that run beside one another do not meet. `LAB_SCENARIOS` where
/// the sources are not, as in a booted kernel.
fn directory() -> PathBuf {
    let elsewhere = std::env::var_os("LAB_SCENARIOS").map(PathBuf::from);
    elsewhere.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../target/scenarios").into())
}

/// The harness names the thread after the test: `faults::nobody_listens::ipv4`; a row without a family of its own is IPv4's.
fn row_of(test: &str) -> (&str, &str) {
    match test.rsplit_once("::") {
        Some((name, family @ ("ipv4" | "ipv6"))) => (name, family),
        _ => (test, "ipv4"),
    }
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
    // What is only pretended says nothing of this kernel.
    if *ARE_HIDDEN {
        return;
    }
    let thread = thread::current();
    let Some((name, family)) = thread.name().map(row_of) else { return };
    let found = &wanted.findings;
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
    // What cannot be found here is named without the marks of what was found.
    findings.extend(wanted.blind.iter().map(|code| format!("blind to {code}")));
    let near: Vec<_> = row.near.iter().map(|code| code.name()).collect();
    let line = format!(
        "| {}{}{} | {name} | {family} | {:?} | {clients} | {} | {} | {} |\n",
        row.kind().name(),
        match (row.kind(), near.is_empty()) {
            (_, true) => "",
            (Kind::NearMiss, false) => " of ",
            (Kind::Fault | Kind::Calm, false) => ", near miss of ",
        },
        near.join(", "),
        row.speech,
        if findings.is_empty() { "nothing".to_owned() } else { findings.join(", ") },
        wanted.verdict,
        exit_code_of(row, wanted),
    );
    let path = file(name, family);
    let kept = fs::create_dir_all(directory()).and_then(|()| fs::write(&path, line));
    if let Err(error) = kept {
        eprintln!("keeping the line of this row in {}: {error}", path.display());
    }
}
