//! The time from the agent's start until it watches, and how much of it the kernel takes to load and attach.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::{Agent, START, binary, words},
    kernel,
    plan::{Family, Plan},
    ratio::Ratio,
    topology::Topology,
};

use crate::{
    page::Page,
    row::{Bound, Row},
};

/// Starts that are timed.
const STARTS: usize = 15;

/// Calls that load and attach, as strace writes them.
const CALLS: [&str; 7] = [
    "BPF_PROG_LOAD",
    "BPF_MAP_CREATE",
    "BPF_BTF_LOAD",
    "BPF_LINK_CREATE",
    "BPF_RAW_TRACEPOINT_OPEN",
    "BPF_MAP_UPDATE_ELEM",
    "perf_event_open",
];

const WHY: &str = "Beside the kernel's work (of a start of its own under strace, whose own time is in it) it reads the kernel's type \
    information and makes that of two names for aya, parses the eBPF object and relocates it, and reads the namespace's state once.";

/// Measures.
///
/// # Errors
///
/// When the agent does not start, or strace is missing.
pub fn measure(page: &mut Page) -> Result<()> {
    let lab = Topology::new(Plan::draw(Family::V4));
    let plan = &lab.plan;
    let flags = format!("--port {} --nlb {} {}", plan.port, plan.node(0), plan.node(1));
    let report = std::env::temp_dir().join(format!("agent-bench-{}.strace", std::process::id()));
    let (mut whole, mut kernels, mut own, mut control) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let start = || {
        let began = Instant::now();
        let agent = Agent::trace(&lab.task, &words(&flags));
        let ready = began.elapsed().as_secs_f64() * 1000.0;
        agent.stop();
        ready
    };
    for _ in 0..STARTS {
        let ready = start();
        control.push(start() - ready);
        let kernel = kernel_time(&lab, &flags, &report)?.as_secs_f64() * 1000.0;
        whole.push(ready);
        kernels.push(kernel);
        own.push(ready - kernel);
    }
    let control = Ratio::of_values(control).context("too few starts")?;
    let row = |measure: &str, target: Option<(Bound, f64)>, values, why| {
        anyhow::Ok(Row {
            measure: measure.to_owned(),
            bench: "start",
            unit: "ms",
            digits: 0,
            target,
            figure: Ratio::of_values(values).context("too few starts")?,
            control: target.map(|(_, target)| (control, target)),
            why,
        })
    };
    page.add(row("exec to ready", None, whole, "")?);
    page.add(row("the kernel's part of it (loading, verifying, attaching)", None, kernels, "")?);
    page.add(row("exec to ready beyond the kernel's part", Some((Bound::AtMost, 35.0)), own, WHY)?);
    Ok(())
}

/// Time that one start spends in the kernel's calls that load and attach.
fn kernel_time(lab: &Topology, flags: &str, report: &Path) -> Result<Duration> {
    let mut command = Command::new("strace");
    // Beside the agent, not above it: signals go to the agent itself.
    command.args(["-D", "-f", "-T", "--seccomp-bpf", "-e", "trace=bpf,perf_event_open", "-o"]).arg(report);
    command.arg(binary()).args(["trace", "--output", "json"]).args(flags.split_whitespace());
    command.args(kernel::arguments());
    let mut agent = Agent::spawn(&lab.task, command);
    agent.wait_for("the agent to watch", START, |line| line["kind"] == "start");
    let ended = agent.stop();
    ensure!(ended.status.success(), "the agent failed under strace: {}", ended.errors);
    let text = fs::read_to_string(report).context("strace's report")?;
    fs::remove_file(report).context("strace's report")?;
    let time: f64 = text.lines().filter_map(seconds).sum();
    ensure!(time > 0.0, "strace saw no program being loaded");
    Ok(Duration::from_secs_f64(time))
}

/// Time of one call that loads or attaches.
fn seconds(line: &str) -> Option<f64> {
    CALLS.iter().find(|call| line.contains(*call))?;
    line.rsplit_once('<')?.1.strip_suffix('>')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_load_or_attach_are_timed_and_no_others() {
        let load = "123 bpf(BPF_PROG_LOAD, {prog_type=BPF_PROG_TYPE_SCHED_CLS}, 144) = 7 <0.012345>";
        assert_eq!(seconds(load), Some(0.012345));
        assert_eq!(seconds("123 bpf(BPF_MAP_LOOKUP_ELEM, {map_fd=3}, 32) = 0 <0.000010>"), None);
        assert_eq!(seconds("123 +++ exited with 0 +++"), None);
    }
}
