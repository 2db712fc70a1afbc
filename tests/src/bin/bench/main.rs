//! What the agent costs: a packet in its programs, requests, memory, and the time until it watches.
//!
//! Figures are printed and never judged: machines differ, and the same machine differs from minute to minute. What can be
//! compared is what was measured in the same run.

mod process;
mod programs;
mod requests;
mod targets;

use anyhow::{Result, bail};

/// A name, and what it measures.
type Bench = (&'static str, fn() -> Result<()>);

/// What can be measured, by name.
const BENCHES: &[Bench] =
    &[("programs", programs::measure), ("process", process::measure), ("requests", requests::measure)];

/// What takes minutes, and is measured only when it is named.
const LONG: &[Bench] = &[("targets", targets::measure)];

/// Measures what is named, or everything that is soon done.
fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known: Vec<&str> = BENCHES.iter().chain(LONG).map(|(name, _)| *name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no bench {unknown}: choose from {}", known.join(", "));
    }
    let is_named = |(name, _): &&Bench| wanted.iter().any(|one| one == name);
    let soon = BENCHES.iter().filter(|bench| wanted.is_empty() || is_named(bench));
    for (_, measure) in soon.chain(LONG.iter().filter(is_named)) {
        measure()?;
    }
    Ok(())
}
