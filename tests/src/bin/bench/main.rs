//! What the agent costs: a packet in its programs, memory, and the time until it watches.
//!
//! Figures are printed and never judged: machines differ, and the same machine differs from minute to minute. What can be
//! compared is what was measured in the same run.

mod process;
mod programs;

fn main() -> anyhow::Result<()> {
    programs::measure()?;
    process::measure()
}
