//! `bench`: what the agent costs.

use anyhow::Result;

use crate::{host, setup, workspace};

/// What to measure.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Names of benches; with none, all of them, and `docs/performance.md` is written
    names: Vec<String>,
}

/// Builds the agent for speed and lets the lab's bench measure it.
pub fn bench(args: &Args) -> Result<()> {
    setup::setup()?;
    for tool in ["wrk", "strace", "tcpdump", "bpftrace"] {
        if host::find(tool).is_none() && host::can_install() && host::offers(tool) {
            host::install(&[tool])?;
        }
    }
    workspace::run_in_lab("bench", &args.names)
}
