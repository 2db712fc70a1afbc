//! `test`: the host tests, then the lab.

use std::ffi::OsString;

use anyhow::Result;

use crate::{cmd, setup, workspace};

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
    let mut lab = workspace::cargo();
    lab.args(["test", "--locked", "-p", "lab", "--"]).args(&args.lab).env("AGENT_BIN", agent);
    cmd::run(&mut lab)
}
