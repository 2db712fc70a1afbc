//! How long it takes to replace 10 000 sources, or a few, and whether SYNs that are counted on every CPU meanwhile are counted right.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use agent::domain::class::Role;
use anyhow::{Context as _, Result, ensure};
use ipnet::{IpNet, Ipv4Net};
use lab::{
    frame::Frame,
    ratio::Ratio,
    unattached::{Side, Unattached, run},
};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::{
    page::Page,
    row::{Bound, Row},
};

const TASK: &str = "192.168.77.2:8080";

/// Prefixes of a table, and how many of them are in both, from [`BASE`] on.
pub const ALL: usize = 10_000;
pub const SHARED: usize = 8_192;

/// The same of tables whose nodes are all near ones; those of the others are not.
const FEW: usize = 16;
const SHARED_OF_FEW: usize = 12;

pub const BASE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);

/// Replacements that are timed.
const RELOADS: usize = 51;

/// Between two: nobody replaces them all the time, and SYNs meet each table in force.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs with one frame before the next source.
const REPEAT: u32 = 500;

const WHY_SLOW: &str = "It builds the search anew and writes it, near nodes by one system call and others by one each, on a machine \
    whose CPUs all count SYNs.";
const WHY_WRONG: &str = "A SYN whose search goes on for longer than two replacements take may meet a table that is being written.";

/// Measures.
///
/// # Errors
///
/// When a program cannot be loaded or run.
pub fn measure(page: &mut Page) -> Result<()> {
    for (all, shared) in [(FEW, SHARED_OF_FEW), (ALL, SHARED)] {
        replace(page, all, shared)?;
    }
    Ok(())
}

fn replace(page: &mut Page, all: usize, shared: usize) -> Result<()> {
    let [one, other] = both_tables(all, shared);
    let target = TASK.parse()?;
    let mut agent = Unattached::load(&[8080], &one, 14)?;
    let tables = [agent.table(&other)?, agent.table(&one)?];
    let addresses: Vec<_> =
        (0..shared as u32).map(|n| Ipv4Addr::from_bits(BASE.to_bits() + (n << 8) + 1)).collect();
    let frames: Vec<_> =
        addresses.iter().map(|source| Frame::syn((*source).into(), 40_000, target).bytes()).collect();
    let sent: Vec<AtomicU64> = frames.iter().map(|_| AtomicU64::new(0)).collect();
    let cpus = thread::available_parallelism()?.get();
    let is_over = AtomicBool::new(false);
    let mut took = Vec::new();
    let (program, maps) = agent.apart(Side::Ingress)?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cpus)
            .map(|cpu| {
                let (frames, sent, is_over) = (&frames, &sent, &is_over);
                scope.spawn(move || {
                    let mut set = CpuSet::new();
                    set.set(cpu);
                    sched_setaffinity(None, &set).with_context(|| format!("staying on CPU {cpu}"))?;
                    while !is_over.load(Ordering::Relaxed) {
                        let number = fastrand::usize(..frames.len());
                        run(program, &frames[number], REPEAT)?;
                        sent[number].fetch_add(REPEAT.into(), Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        let reloaded = (0..RELOADS).try_for_each(|number| {
            thread::sleep(PAUSE);
            let began = Instant::now();
            maps.write_sources(&tables[number % 2])?;
            took.push(began.elapsed().as_secs_f64() * 1000.0);
            anyhow::Ok(())
        });
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().try_for_each(|thread| thread.join().expect("a thread that counts"))?;
        reloaded
    })?;
    let whole: u64 = sent.iter().map(|sent| sent.load(Ordering::Relaxed)).sum();
    ensure!(whole > 0, "no SYN was counted meanwhile");
    let mut wrong = agent.tally(Ipv4Addr::new(192, 0, 2, 1).into())?.arrived;
    for (address, sent) in addresses.iter().zip(&sent) {
        wrong += agent.tally((*address).into())?.arrived.abs_diff(sent.load(Ordering::Relaxed));
    }
    let row = |measure: String, unit, digits, target, figure, why| Row {
        measure,
        bench: "reload",
        unit,
        digits,
        target: Some((Bound::AtMost, target)),
        figure,
        control: None,
        why,
    };
    let took = Ratio::of_values(took).context("too few replacements")?;
    let measure = format!("replacing {all} prefixes while {cpus} CPUs count SYNs");
    page.add(row(measure, "ms", 1, 5.0, took, WHY_SLOW));
    let measure = format!("SYNs miscounted while {all} are replaced, of {:.0} million", whole as f64 / 1e6);
    page.add(row(measure, "", 0, 0.0, Ratio::just(wrong as f64), WHY_WRONG));
    Ok(())
}

/// Two tables: most prefixes are in both, the others in one of them.
pub fn both_tables(all: usize, shared: usize) -> [Vec<(IpNet, Role)>; 2] {
    let network = |bits: u32| (Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), 24).into(), Role::Client);
    [Ipv4Addr::new(100, 0, 0, 0), Ipv4Addr::new(101, 0, 0, 0)].map(|own| {
        let in_both = (0..shared as u32).map(|number| BASE.to_bits() + (number << 8));
        // A node of the search for each value of the second byte.
        let in_one = (0..(all - shared) as u32)
            .map(move |number| own.to_bits() + ((number & 0xff) << 16) + ((number >> 8) << 8));
        in_both.chain(in_one).map(network).collect()
    })
}
