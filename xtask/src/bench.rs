//! `bench`: what the agent costs.

use anyhow::Result;

use crate::{setup, workspace};

/// Builds the agent for speed and lets the lab's bench measure it.
pub fn bench() -> Result<()> {
    setup::setup()?;
    workspace::run_in_lab("bench")
}
