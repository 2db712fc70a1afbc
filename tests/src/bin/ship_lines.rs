//! `ship-lines GROUP STREAM MAY_CREATE BUFFER_BYTES PATIENCE_MS LAST_CALLS_MS`: ships what it reads, line by line, with the
//! agent's own code, and says at the end what was lost. For tests that need no kernel.

use std::{io::BufRead as _, time::Duration};

use agent::ship::cloudwatch::{Options, Shipper, Target};
use anyhow::Context as _;

/// So that tests need not wait for lines to gather.
const GATHER: Duration = Duration::from_millis(100);

fn main() -> anyhow::Result<()> {
    env_logger::Builder::new().filter_level(log_level()).format_timestamp(None).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [group, stream, create, buffer, patience, last_calls] = &arguments[..] else {
        anyhow::bail!("six arguments are needed, see the head of this file");
    };
    let target = Target {
        group: group.clone(),
        stream: stream.clone(),
        may_create_group: create.parse().context("MAY_CREATE")?,
    };
    let milliseconds = |text: &str| text.parse().map(Duration::from_millis);
    let options = Options {
        buffer_bytes: buffer.parse().context("BUFFER_BYTES")?,
        gather: GATHER,
        patience: milliseconds(patience).context("PATIENCE_MS")?,
    };
    let last_calls = milliseconds(last_calls).context("LAST_CALLS_MS")?;
    let shipper = Shipper::start(target, options).context("starting the shipper")?;
    for line in std::io::stdin().lock().lines() {
        shipper.push(&line.context("reading a line")?);
    }
    let left = shipper.finish(last_calls);
    let (lost, peak) = (shipper.lost_lines(), peak_bytes().context("reading /proc/self/status")?);
    println!("{}", serde_json::json!({ "lost": lost, "left": left, "peak_bytes": peak }));
    Ok(())
}

fn log_level() -> log::LevelFilter {
    if std::env::var_os("LAB_DEBUG").is_some() { log::LevelFilter::Debug } else { log::LevelFilter::Warn }
}

/// Peak of resident memory (proc(5), `VmHWM`).
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
