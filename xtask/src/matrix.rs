//! `matrix`: what the rows of the lab showed when they last ran, as `docs/scenarios.md`.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

const HEAD: &str = "# Scenarios

Written by `cargo xtask matrix` from the latest run of `cargo xtask test --all`: every row that held, with everything that was found
in it and nothing else. A near miss has the same symptom and another cause, or a cause too weak to count. The exit code is that
of `agent diagnose`, asked beside it: where it differs from what the verdict says, it began too late to have seen what stopped. Rows
by hand are about time, and it is not asked beside them.

| Kind | Row | Family | Health check | Client addresses | Found (class, confidence) | Verdict | Exit code |
|---|---|---|---|---|---|---|---|
";

/// The lines that the rows left in `target/scenarios`, in order.
pub fn rows() -> Result<Vec<String>> {
    let directory = workspace::root().join("target/scenarios");
    let entries = fs::read_dir(&directory)
        .with_context(|| format!("listing {}: run `cargo xtask test` first", directory.display()))?;
    let mut lines = Vec::new();
    for entry in entries {
        let path = entry?.path();
        lines.push(fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?);
    }
    ensure!(!lines.is_empty(), "no row has held yet: run `cargo xtask test` first");
    lines.sort();
    Ok(lines)
}

/// Puts them together.
pub fn matrix() -> Result<()> {
    let lines = rows()?;
    let target = workspace::root().join("docs/scenarios.md");
    let before = fs::read_to_string(&target).unwrap_or_default();
    for row in gone(&before, &lines) {
        eprintln!("xtask: {row} stood there and has no line now: it failed, did not run, or is no more");
    }
    fs::write(&target, HEAD.to_owned() + &lines.concat())
        .with_context(|| format!("writing {}", target.display()))?;
    eprintln!("xtask: {} rows in {}", lines.len(), target.display());
    Ok(())
}

/// Rows with their families that stood in the text and have no line any more.
fn gone(before: &str, lines: &[String]) -> Vec<String> {
    let now: Vec<_> = lines.iter().filter_map(|line| row(line)).collect();
    let known = before.lines().skip_while(|line| !line.starts_with("|---")).filter_map(row);
    known.filter(|row| !now.contains(row)).map(|(name, family)| format!("{name} ({family})")).collect()
}

/// The name of a row and its family.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.split('|').map(str::trim).skip(2);
    Some((cells.next()?, cells.next()?)).filter(|(name, _)| name.contains("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_line_is_named() {
        let both = "| calm | a::b | ipv4 | Tcp |\n| calm | a::b | ipv6 | Tcp |\n";
        let before = format!("{HEAD}{both}");
        let now: Vec<String> = both.lines().map(|line| line.replace("Tcp", "Http")).collect();
        assert!(gone(&before, &now).is_empty());
        assert_eq!(gone(&before, &now[..1]), ["a::b (ipv6)"]);
    }
}
