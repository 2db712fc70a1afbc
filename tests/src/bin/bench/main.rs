//! What the agent costs: a packet in its programs, requests, memory, and the time until it watches.
//!
//! A figure is never a reason to fail: machines differ, and the same machine differs from minute to minute. What can be
//! compared is what was measured in the same run.

mod curves;
mod delivered;
mod exact;
mod maps;
mod others;
mod page;
mod ports;
mod prefixes;
mod process;
mod programs;
mod reload;
mod requests;
mod row;
mod start;
mod targets;
mod tools;

use std::path::Path;

use anyhow::{Result, bail};

use crate::page::Page;

/// A name, and what it measures.
type Bench = (&'static str, fn(&mut Page) -> Result<()>);

/// What can be measured, by name.
const BENCHES: &[Bench] = &[
    ("programs", programs::measure),
    ("prefixes", prefixes::measure),
    ("ports", ports::measure),
    ("reload", reload::measure),
    ("exact", exact::measure),
    ("delivered", delivered::measure),
    ("others", others::measure),
    ("start", start::measure),
    ("process", process::measure),
    ("requests", requests::measure),
    ("targets", targets::measure),
];

/// Measures what is named, or everything; then it also writes the page.
fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no bench {unknown}: choose from {}", known.join(", "));
    }
    println!("{}", page::machine()?);
    let mut page = Page::default();
    for (name, measure) in BENCHES {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            println!("{name}");
            measure(&mut page)?;
        }
    }
    if wanted.is_empty() {
        page.write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs"))?;
    }
    Ok(())
}
