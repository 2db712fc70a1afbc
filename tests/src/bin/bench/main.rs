//! What the agent costs: a packet in its programs, requests, memory, and the time until it watches.
//!
//! Figures are printed and never judged: machines differ, and the same machine differs from minute to minute. What can be
//! compared is what was measured in the same run.

mod process;
mod programs;
mod requests;

use anyhow::{Result, bail};

/// A name, and what it measures.
type Bench = (&'static str, fn() -> Result<()>);

/// What can be measured, by name.
const BENCHES: &[Bench] =
    &[("programs", programs::measure), ("process", process::measure), ("requests", requests::measure)];

/// Measures what is named, or everything.
fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no bench {unknown}: choose from {}", known.join(", "));
    }
    for (_, measure) in
        BENCHES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|one| one == name))
    {
        measure()?;
    }
    Ok(())
}
