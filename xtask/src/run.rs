//! `run`: builds the agent and becomes it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::{cmd, setup, workspace};

/// Arguments of `run`.
#[derive(clap::Args)]
pub struct Args {
    /// Arguments of the agent
    #[arg(last = true)]
    agent: Vec<OsString>,
}

/// Builds the agent for speed and replaces this process by it, so that its signals and exit code are its own.
pub fn run(args: &Args) -> Result<()> {
    setup::setup()?;
    let agent = workspace::build_agent(&["--release"])?;
    cmd::exec(Command::new(agent).args(&args.agent))
}
