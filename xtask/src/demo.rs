//! `demo`: the story of the blocked health checks, for a person to watch.

use anyhow::Result;

use crate::{setup, workspace};

/// Builds the agent and lets the lab's demo run it.
pub fn demo() -> Result<()> {
    setup::setup()?;
    workspace::run_in_lab("demo", &[])
}
