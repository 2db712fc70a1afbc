//! `test`: the host tests, the lab, then what is shipped to AWS.

use std::ffi::OsString;

use anyhow::Result;

use crate::{cloudwatch, cmd, setup, workspace};

const THREADS: &str = "--test-threads";

/// Rows wait most of the time: more of them than there are CPUs run beside one another.
const ROWS_AT_A_TIME: usize = 6;

/// Arguments of `test`.
#[derive(clap::Args)]
pub struct Args {
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
    let mut lab = workspace::cargo();
    lab.args(["test", "--locked", "-p", "lab", "--"]).args(&args.lab).env("AGENT_BIN", agent);
    if !args.lab.iter().any(|arg| arg.to_string_lossy().starts_with(THREADS)) {
        lab.arg(format!("{THREADS}={ROWS_AT_A_TIME}"));
    }
    cmd::run(&mut lab)?;
    // Somebody who filters wants the lab only.
    if args.lab.is_empty() { cloudwatch::cloudwatch(&cloudwatch::Args::default()) } else { Ok(()) }
}
