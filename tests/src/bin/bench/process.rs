//! The agent as a process: memory, and the time from its start until it watches.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::{Agent, binary},
    app::{App, Listen},
    client::Clients,
    plan::{Family, Plan},
    topology::Topology,
};

/// Starts that are timed; the least disturbed one counts.
const STARTS: usize = 7;

/// Time under load before memory is read.
const WARM_UP: Duration = Duration::from_secs(5);

/// Measures and prints.
///
/// # Errors
///
/// When the agent does not start, or the kernel shows no memory figures.
pub fn measure() -> Result<()> {
    let lab = Topology::new(Plan::draw(Family::V4));
    let plan = &lab.plan;
    let text = format!(
        "--port {} --nlb {} {} --client {} --interval 1s",
        plan.port,
        plan.node(0),
        plan.node(1),
        plan.client.subnet
    );
    let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();

    let (mut best, mut version) = (Duration::MAX, Duration::MAX);
    for _ in 0..STARTS {
        let began = Instant::now();
        let ended = lab::agent::run(&lab.task, &["--version"]);
        version = version.min(began.elapsed());
        ensure!(ended.status.success(), "`agent --version` failed: {}", ended.errors);
        let began = Instant::now();
        let agent = Agent::trace(&lab.task, &arguments);
        best = best.min(began.elapsed());
        agent.stop();
    }
    println!("Time from start to ready (best of {STARTS})");
    println!("  {:<44} {:>6.1} ms", "process that only prints its version", milliseconds(version));
    println!("  {:<44} {:>6.1} ms", "all hooks in place", milliseconds(best));

    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let clients = Clients::start(&lab.client, &plan.client.addresses, plan.target(), 200);
    let agent = Agent::trace(&lab.task, &arguments);
    std::thread::sleep(WARM_UP);
    let (resident, peak) = (kib(agent.id(), "VmRSS")?, kib(agent.id(), "VmHWM")?);
    let anonymous = kib(agent.id(), "RssAnon")?;
    let (_, served) = clients.stop();
    ensure!(served > 0, "no request was served: the lab is broken");
    agent.stop();
    drop(app);
    let size = fs::metadata(binary()).context("the agent's binary")?.len();
    println!("Memory after {} s under load, with two nodes and one client prefix", WARM_UP.as_secs());
    println!("  {:<44} {:>6.1} MiB ({:.1} MiB of it anonymous)", "resident", mib(resident), mib(anonymous));
    println!(
        "  {:<44} {:>6.1} MiB (the kernel's type information is read then)",
        "peak, at the start",
        mib(peak)
    );
    println!("  {:<44} {:>6.1} MiB", "size of the binary", mib(size / 1024));
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// KiB in MiB.
pub fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// A figure of a process in KiB (`/proc/PID/status`).
///
/// # Errors
///
/// When there is none.
pub fn kib(process: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let figure = line.and_then(|rest| rest.split_whitespace().next()).context("no such figure")?;
    figure.parse().with_context(|| format!("{name} in {path}"))
}
