//! The agent as a process: memory, size, and what it does while nothing happens or too much.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::{Agent, binary, words},
    app::{App, Listen},
    client::Clients,
    plan::{Family, Plan},
    ratio::Ratio,
    topology::Topology,
    wire::{Sink, Wire},
};

use crate::{
    delivered::{agent as flooded_agent, generator},
    maps::Maps,
    page::Page,
    row::{Bound, Row},
};

/// Time under load before memory is read.
const WARM_UP: Duration = Duration::from_secs(5);

/// SYNs that are sent before anybody looks whether it is over.
const AT_ONCE: u64 = 500_000;

/// The same of a flood of about a tenth.
const SELDOM: u64 = 5_000;
const SELDOM_PAUSE: Duration = Duration::from_millis(19);

/// Spans of idleness, and of a flood; each holds reports.
const SPANS: usize = 6;
const SPAN: Duration = Duration::from_secs(10);

const WHY_IDLE: &str = "It looks four times in three seconds, as a fault has to be named within a second of the health check that it \
    befalls. A fifth of the time is falling asleep and waking up, a seventh each are reading maps and, at every seventh look, \
    what the namespace counts; the rest is concluding from it, in caches that others have filled meanwhile.";
const WHY_FLOODED: &str = "While tallies move, what the namespace counts is read at every look, in place of every seventh, and so are drops. \
    Nothing is done for a packet: the row beside it has a tenth of the rate.";
const WHY_RESIDENT: &str = "Two thirds are pages of the binary and of the C library, which the kernel shares among processes, and may take \
    back: those that a start touched are let go of after it, but each that is touched again comes back with its fifteen \
    neighbours. What the agent allocated itself is told beside it.";
const WHY_MAPS: &str = "The table of health checks under way takes four tenths, the near nodes of the search and the table of ports two, \
    and tallies and drops are kept for each CPU.";
const WHY_BINARY: &str = "Seven tenths are code: the agent's own 1.3 MB, the standard library's 0.4, netlink's messages 0.4, the command line with its \
    manual page and completions 0.25, the loader of eBPF 0.3. The programs themselves take 0.2.";

/// Measures.
///
/// # Errors
///
/// When the agent does not start, or the kernel shows no figures.
pub fn measure(page: &mut Page) -> Result<()> {
    let lab = Topology::new(Plan::draw(Family::V4));
    let plan = &lab.plan;
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let nodes = format!("--port {} --nlb {} {}", plan.port, plan.node(0), plan.node(1));
    let agent = Agent::trace(&lab.task, &words(&nodes));
    // What starting took is no idleness.
    thread::sleep(WARM_UP);
    let idle = busy(agent.id())?;
    agent.stop();
    let (flooded, rate) = flooded_with(AT_ONCE, Duration::ZERO)?;
    let (flooded_less, less) = flooded_with(SELDOM, SELDOM_PAUSE)?;
    let clients = Clients::start(&lab.client, &plan.client.addresses, plan.target(), 200);
    let flags = format!("{nodes} --client {} --interval 1s", plan.client.subnet);
    let before = Maps::before();
    let agent = Agent::trace(&lab.task, &words(&flags));
    thread::sleep(WARM_UP);
    let kib = |name| kib(agent.id(), name);
    let (resident, peak, anonymous) = (kib("VmRSS")?, kib("VmHWM")?, kib("RssAnon")?);
    let maps = before.kib_since()?;
    let (_, served) = clients.stop();
    ensure!(served > 0, "no request was served: the lab is broken");
    agent.stop();
    drop(app);
    let size = fs::metadata(binary()).context("the agent's binary")?.len();

    let row = |measure: &str, unit, digits, target: Option<f64>, figure, why| Row {
        measure: measure.to_owned(),
        bench: "process",
        unit,
        digits,
        target: target.map(|target| (Bound::AtMost, target)),
        figure,
        control: None,
        why,
    };
    let megabytes = |kib: u64| Ratio::just(kib as f64 * 1024.0 / 1e6);
    page.add(row("CPU time while idle, of one core, over 60 s", "%", 3, Some(0.02), idle, WHY_IDLE));
    let measure = format!("CPU time under a flood of {:.1} million SYNs a second, over 60 s", rate / 1e6);
    page.add(row(&measure, "%", 3, Some(0.1), flooded, WHY_FLOODED));
    let measure = format!("the same of {:.2} million SYNs a second", less / 1e6);
    page.add(row(&measure, "%", 3, None, flooded_less, ""));
    page.add(row("resident memory under load", "MB", 1, Some(4.0), megabytes(resident), WHY_RESIDENT));
    page.add(row("the anonymous part of it", "MB", 1, None, megabytes(anonymous), ""));
    page.add(row("most resident memory, at the start", "MB", 1, None, megabytes(peak), ""));
    page.add(row("maps in the kernel", "MB", 2, Some(1.0), megabytes(maps), WHY_MAPS));
    page.add(row("binary, stripped", "MB", 1, Some(3.0), Ratio::just(size as f64 / 1e6), WHY_BINARY));
    Ok(())
}

/// CPU time of a process in each span, in percent of one core.
fn busy(process: u32) -> Result<Ratio> {
    let mut spans = Vec::new();
    for _ in 0..SPANS {
        let (began, before) = (Instant::now(), on_cpu(process)?);
        thread::sleep(SPAN);
        let busy = on_cpu(process)?.saturating_sub(before);
        spans.push(100.0 * busy.as_secs_f64() / began.elapsed().as_secs_f64());
    }
    Ratio::of_values(spans).context("too few spans")
}

/// The same under a flood on all CPUs, dropped right behind the agent, with so many SYNs at once and a pause behind them; and SYNs a
/// second.
fn flooded_with(at_once: u64, pause: Duration) -> Result<(Ratio, f64)> {
    let wire = Wire::new()?;
    let sink = Sink::new(&wire)?;
    let generator = generator(&wire)?;
    let agent = flooded_agent(&wire);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                generator.send(at_once)?;
                thread::sleep(pause);
            }
            anyhow::Ok(())
        });
        thread::sleep(WARM_UP);
        let (began, before) = (Instant::now(), sink.count());
        let busy = busy(agent.id());
        let (took, after) = (began.elapsed(), sink.count());
        is_over.store(true, Ordering::Relaxed);
        sender.join().expect("the thread that sends")?;
        let rate = (after? - before?) as f64 / took.as_secs_f64();
        ensure!(rate > 0.0, "no SYN arrived: the lab is broken");
        let ended = agent.stop();
        ensure!(ended.status.success(), "the agent failed: {}", ended.errors);
        Ok((busy?, rate))
    })
}

/// Time that all threads of a process were on a CPU, as the scheduler counts it.
fn on_cpu(process: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for entry in fs::read_dir(format!("/proc/{process}/task")).context("its threads")? {
        let path = entry?.path().join("schedstat");
        // A thread that ended meanwhile.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let first = text.split_whitespace().next().context("an empty schedstat")?;
        nanoseconds += first.parse::<u64>().with_context(|| format!("in {}", path.display()))?;
    }
    Ok(Duration::from_nanos(nanoseconds))
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
