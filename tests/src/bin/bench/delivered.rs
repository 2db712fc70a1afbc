//! SYNs a second that get through a namespace with the agent over without it, sent on all CPUs as fast as they are taken:
//! to a listener that answers each, and to somebody who drops each right behind the agent.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::{Agent, words},
    live_frames::{self, Generator},
    others::Others,
    ratio::Ratio,
    shell::sysctl,
    wire::{INTERFACE, Sink, TARGET, Wire},
    witness::netstat,
};

use crate::{
    page::Page,
    row::{Bound, Row},
};

/// Pairs that are compared. The first run is not among them.
const PAIRS: usize = 15;

/// SYNs of one run: about a second.
const ANSWERED: u64 = 600_000;
const DROPPED: u64 = 2_000_000;

/// Lower ends of the intervals that are aimed at.
const GOAL_ANSWERED: f64 = 0.98;
const GOAL_DROPPED: f64 = 0.96;

/// Sources are drawn out of this; the agent is told sixteen prefixes that hold all of it.
const BASE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);
const DRAWN: u32 = 0x00ff_ffff;

const WHY_ANSWERED: &str = "Programs that do nothing in the agent's place cost about as much: it is what one program more for each SYN and \
    each answer takes.";
const WHY_DROPPED: &str = "No program can meet it: those that do nothing in its place (a raw tracepoint among them) are beyond it, because the kernel takes little \
    more than a quarter of a microsecond for a packet that is dropped at once. What the agent's take beyond that is the copy of the \
    packet's headers by a call, and a hash table of the reasons (decision 0012).";

/// Measures.
///
/// # Errors
///
/// When the kernel refuses, the agent fails, or nothing gets through.
pub fn measure(page: &mut Page) -> Result<()> {
    let wire = Wire::new()?;
    let generator = generator(&wire)?;

    let listener = listen(&wire)?;
    compare(page, &wire, "answered with SYN cookies", (GOAL_ANSWERED, WHY_ANSWERED), || {
        rate(&generator, live_frames::size(ANSWERED), || answered(&wire))
    })?;
    drop(listener);

    let sink = Sink::new(&wire)?;
    compare(page, &wire, "dropped right behind the hook", (GOAL_DROPPED, WHY_DROPPED), || {
        rate(&generator, live_frames::size(DROPPED), || sink.count())
    })
}

/// A listener that answers every SYN, and remembers none.
pub fn listen(wire: &Wire) -> Result<TcpListener> {
    sysctl(&wire.task, "ipv4/tcp_syncookies", "2");
    wire.task.run(|| TcpListener::bind(TARGET)).context("listening")
}

/// SYNs that it answered.
#[expect(clippy::unnecessary_wraps, reason = "other ways to count fail")]
pub fn answered(wire: &Wire) -> Result<u64> {
    Ok(netstat(&wire.task, "TcpExt", "SyncookiesSent"))
}

/// A flood from everywhere within the agent's prefixes.
pub fn generator(wire: &Wire) -> Result<Generator<'_>> {
    Generator::new(wire, BASE, DRAWN)
}

/// Sixteen prefixes, each a class of its own, that hold every source.
pub fn prefixes() -> Vec<String> {
    (0..16).map(|number| format!("10.{}.0.0/12", number * 16)).collect()
}

/// The agent, told who sends.
pub fn agent(wire: &Wire) -> Agent {
    let prefixes = prefixes().join(" ");
    Agent::trace(
        &wire.task,
        &words(&format!("--port {} --client {prefixes} --client-ip preserved", TARGET.port())),
    )
}

/// SYNs a second that somebody counted behind everything.
pub fn rate(generator: &Generator<'_>, count: u64, counted: impl Fn() -> Result<u64>) -> Result<f64> {
    let before = counted()?;
    let took = generator.send(count)?;
    let delivered = counted()? - before;
    ensure!(delivered >= count / 10, "of {count} SYNs {delivered} were delivered: the lab is broken");
    Ok(delivered as f64 / took.as_secs_f64())
}

fn compare(
    page: &mut Page,
    wire: &Wire,
    what: &str,
    (goal, why): (f64, &'static str),
    run: impl Fn() -> Result<f64>,
) -> Result<()> {
    run()?;
    let (mut pairs, mut floor, mut control) = (Vec::new(), Vec::new(), Vec::new());
    let mut rates = Vec::new();
    for _ in 0..PAIRS {
        let before = run()?;
        let agent = agent(wire);
        let watched = run()?;
        let ended = agent.stop();
        ensure!(ended.status.success(), "the agent failed: {}", ended.errors);
        let after = run()?;
        let empties = Others::empties(&wire.task, INTERFACE)?;
        let hooked = run()?;
        drop(empties);
        // The machine's drift is the same before and after.
        pairs.push((watched, f64::midpoint(before, after)));
        floor.push((hooked, f64::midpoint(after, run()?)));
        control.push((after, before));
        rates.push(watched / 1e6);
    }
    page.add(Row {
        measure: format!("SYNs a second, {what}, with the agent over without it"),
        bench: "delivered",
        unit: "",
        digits: 3,
        target: Some((Bound::AtLeast, goal)),
        figure: Ratio::of(&pairs).context("too few pairs")?,
        control: Some((Ratio::of(&control).context("too few pairs")?, 1.0 - goal)),
        why,
    });
    page.add(Row {
        measure: format!(
            "SYNs a second, {what}, with programs that do nothing in the agent's place over without any"
        ),
        bench: "delivered",
        unit: "",
        digits: 3,
        target: None,
        figure: Ratio::of(&floor).context("too few pairs")?,
        control: None,
        why: "",
    });
    page.add(Row {
        measure: format!("SYNs a second, {what}, with the agent"),
        bench: "delivered",
        unit: "million",
        digits: 2,
        target: None,
        figure: Ratio::of_values(rates).context("too few pairs")?,
        control: None,
        why: "",
    });
    Ok(())
}
