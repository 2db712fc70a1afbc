//! `bench`: what the agent costs.

use anyhow::Result;

use crate::{host, setup, workspace};

/// What to measure.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Names of benches; all of them when there is none
    names: Vec<String>,
}

/// Builds the agent for speed and lets the lab's bench measure it.
pub fn bench(args: &Args) -> Result<()> {
    setup::setup()?;
    if host::find("wrk").is_none() && host::can_install() && host::offers("wrk") {
        host::install(&["wrk"])?;
    }
    workspace::run_in_lab("bench", &args.names)
}
