//! `test`: the host tests, the lab, then what is shipped to AWS.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    cloudwatch,
    cmd::{self, Failed},
    setup, workspace,
};

const THREADS: &str = "--test-threads";

/// Rows wait most of the time: more of them than there are CPUs run beside one another.
const ROWS_AT_A_TIME: usize = 6;

/// So many rows may fail beside others and pass alone. More than that is no crowded machine.
const ALONE: usize = 5;

/// Modules of rows that only `--all` runs: what takes every CPU, what takes long because it is about time, and near misses of near
/// misses. Two fifths of the time of all rows.
const NOT_EVERYDAY: &[&str] = &[
    "calm::",
    "delayed::",
    "flooded::",
    "leaks::",
    "learning::",
    "more_near_misses::",
    "over_http::",
    "policy_routes::",
    "promptness::",
    "proxied::",
    "rhythm::",
    "safety::",
    "shared_near_misses::",
    "translated::",
];

/// Arguments of `test`.
#[derive(clap::Args)]
pub struct Args {
    /// Also the rows that take too long for every day; `.ci/run` does
    #[arg(long)]
    all: bool,
    /// Arguments of the lab's tests, such as a name to filter by
    #[arg(last = true)]
    lab: Vec<OsString>,
}

/// Runs everything in order of cost, and stops at the first step that fails.
pub fn test(args: &Args) -> Result<()> {
    setup::setup()?;
    cmd::run(workspace::cargo().args(["test", "--locked"]))?;
    workspace::need_root()?;
    let agent = workspace::build_agent(&[])?;
    if args.lab.is_empty() {
        // What rows showed that are no longer there is not to be read as today's (`cargo xtask matrix`).
        let _there_may_be_none = std::fs::remove_dir_all(workspace::root().join("target/scenarios"));
    }
    let lab = |of: &[&str]| {
        let mut lab = workspace::cargo();
        lab.args(["test", "--locked", "-p", "lab"]).args(of).arg("--").env("AGENT_BIN", &agent);
        lab
    };
    cmd::run(lab(&["--lib", "--bins", "--test", "image"]).args(&args.lab))?;
    let rows = ["--test", "scenarios"];
    let mut crowd = lab(&rows);
    crowd.args(&args.lab);
    if !args.lab.iter().any(|arg| arg.to_string_lossy().starts_with(THREADS)) {
        crowd.arg(format!("{THREADS}={ROWS_AT_A_TIME}"));
    }
    if !args.all && args.lab.is_empty() {
        crowd.args(NOT_EVERYDAY.iter().flat_map(|name| ["--skip", name]));
    }
    run_rows(
        |see| cmd::watch(&mut crowd, see),
        |failed, see| {
            let alone = ["--exact", "--include-ignored", "--test-threads=1"];
            cmd::watch(lab(&rows).args(alone).args(failed), see)
        },
    )?;
    // Somebody who filters wants the lab only.
    if args.lab.is_empty() { cloudwatch::cloudwatch(&cloudwatch::Args::default()) } else { Ok(()) }
}

/// Runs rows beside one another, and those few that failed so once more, `alone`: rows are about time, and six of them may keep
/// one another from a CPU for longer than an interval. What fails alone, too, fails; what passes then is named, so that a row
/// that needs this often is seen. Both show the lines that they print, and say how they ended.
fn run_rows(
    crowd: impl FnOnce(&mut dyn FnMut(&str)) -> Result<Result<(), Failed>>,
    alone: impl FnOnce(&[String], &mut dyn FnMut(&str)) -> Result<Result<(), Failed>>,
) -> Result<()> {
    let mut failed = Vec::new();
    let Err(failure) = crowd(&mut |line| failed.extend(failed_row(line)))? else { return Ok(()) };
    if failed.is_empty() || failed.len() > ALONE {
        return Err(failure.into());
    }
    eprintln!("{} failed beside others and is run again alone: {}", failed.len(), failed.join(", "));
    let mut passed = 0;
    alone(&failed, &mut |line| passed += usize::from(line.ends_with(" ... ok")))??;
    anyhow::ensure!(passed == failed.len(), "{passed} of {} rows ran again", failed.len());
    eprintln!("PASSED ALONE, after failing beside others: {}", failed.join(", "));
    Ok(())
}

/// The name of a row, from the line in which the test harness says that it failed.
fn failed_row(line: &str) -> Option<String> {
    Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prints(lines: &[&str], code: i32, see: &mut dyn FnMut(&str)) -> Result<Result<(), Failed>> {
        lines.iter().for_each(|line| see(line));
        Ok(if code == 0 { Ok(()) } else { Err(Failed::new("rows", Some(code))) })
    }

    fn run(crowd: &[&str], alone: &[&str], code_alone: i32) -> Result<()> {
        run_rows(
            |see| prints(crowd, 101, see),
            |failed, see| {
                assert_eq!(failed, ["a::b"]);
                prints(alone, code_alone, see)
            },
        )
    }

    const ONE_FAILED: &[&str] = &["test a::b ... FAILED", "test c ... ok"];

    #[test]
    fn what_passes_alone_passed() {
        run(ONE_FAILED, &["test a::b ... ok"], 0).unwrap();
    }

    #[test]
    fn what_fails_alone_or_does_not_run_failed() {
        run(ONE_FAILED, &["test a::b ... FAILED"], 101).unwrap_err();
        run(ONE_FAILED, &["running 0 tests"], 0).unwrap_err();
    }

    #[test]
    fn many_failures_are_no_crowd_and_neither_is_one_without_a_name() {
        run(&["test a ... FAILED"; ALONE + 1], &[], 0).unwrap_err();
        run(&["no such file"], &[], 0).unwrap_err();
    }
}
