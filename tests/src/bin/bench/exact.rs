//! Whether counts are exact while tables of sources are replaced under a flood on all CPUs.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use lab::{
    flood,
    frame::{Frame, Link},
    live_frames::{self, Generator},
    ratio::Ratio,
    unattached::Unattached,
    wire::{INTERFACE, SENDER, Sink, TARGET, Wire},
};

use crate::{
    page::Page,
    reload::{ALL, BASE, SHARED, both_tables},
    row::{Bound, Row},
};

/// SYNs, unless `LAB_FLOOD` asks for fewer.
const FLOOD: u64 = 10_000_000;

/// SYNs that are sent by the slower way, too, of which the number that was sent is known beyond doubt.
const BY_SOCKET: u64 = 50_000;

/// Between two replacements.
const PAUSE: Duration = Duration::from_millis(20);

const WHY: &str = "A SYN whose search goes on for longer than two replacements take may meet a table that is being written.";

/// Measures.
///
/// # Errors
///
/// When the kernel refuses, or too few SYNs arrive.
pub fn measure(page: &mut Page) -> Result<()> {
    let flood = live_frames::size(FLOOD);
    let wire = Wire::new()?;
    let sink = Sink::new(&wire)?;
    let [one, other] = both_tables(ALL, SHARED);
    let mut agent = Unattached::load(&[TARGET.port()], &one, 14)?;
    let tables = [agent.table(&other)?, agent.table(&one)?];
    wire.task.run(|| agent.attach_first(INTERFACE))?;

    let generator = Generator::new(&wire, BASE, (SHARED as u32 - 1) << 8 | 0xff)?;
    let is_over = AtomicBool::new(false);
    let (mut reloads, mut took) = (0, Duration::ZERO);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let took = generator.send(flood);
            is_over.store(true, Ordering::Relaxed);
            took
        });
        while !is_over.load(Ordering::Relaxed) {
            agent.replace(&tables[reloads % 2])?;
            reloads += 1;
            thread::sleep(PAUSE);
        }
        took = sender.join().expect("the thread that sends")?;
        anyhow::Ok(())
    })?;
    let before = sink.counts()?[0];
    send_by_socket(&wire);
    let seen = sink.counts()?;
    let of_socket = seen[0] - before;
    ensure!(of_socket == BY_SOCKET, "{of_socket} of {BY_SOCKET} SYNs of a packet socket arrived");
    let arrived: u64 = seen.iter().sum();
    ensure!(arrived >= flood / 2 + BY_SOCKET, "of {flood} SYNs only {arrived} arrived: the lab is broken");
    ensure!(reloads >= 2, "the flood was over before a table was replaced");
    let mut differences = agent.tally(Ipv4Addr::new(192, 0, 2, 1).into())?.arrived;
    for (number, seen) in (0..).zip(&seen) {
        let address = Ipv4Addr::from_bits(BASE.to_bits() + (number << 8) + 1);
        let is_shared = (number as usize) < SHARED;
        let counted = if is_shared { agent.tally(address.into())?.arrived } else { 0 };
        differences += counted.abs_diff(*seen);
    }
    println!("  {arrived} SYNs in {took:.1?}, {reloads} replacements");
    let millions = arrived as f64 / 1e6;
    page.add(Row {
        measure: format!("SYNs counted for another than their own of {SHARED} prefixes, or not at all, of {millions:.1} million"),
        bench: "exact",
        unit: "",
        digits: 0,
        target: Some((Bound::AtMost, 0.0)),
        figure: Ratio::just(differences as f64),
        control: None,
        why: WHY,
    });
    Ok(())
}

/// The cross-check: what is sent by packet sockets arrives one by one, from the first of the prefixes.
fn send_by_socket(wire: &Wire) {
    let link = Link {
        source: flood::hardware_address(&wire.sender, SENDER),
        destination: flood::hardware_address(&wire.task, INTERFACE),
        tags: Vec::new(),
    };
    let frames: Vec<_> =
        (1..=64).map(|port| Frame::syn(BASE.into(), 40_000 + port, TARGET).on(&link)).collect();
    thread::scope(|scope| {
        scope.spawn(|| flood::send(&wire.sender, SENDER, &frames, BY_SOCKET, 0));
    });
}
