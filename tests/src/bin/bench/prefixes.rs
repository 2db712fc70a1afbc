//! How the cost of a counted SYN grows with the number of prefixes, with sources drawn from all of them.

use std::net::{IpAddr, Ipv4Addr};

use agent::domain::class::Role;
use anyhow::{Context as _, Result, ensure};
use ipnet::IpNet;
use lab::{
    frame::{Flags, Frame},
    others::Others,
    ratio::Ratio,
    unattached::{Side, Unattached, cost},
};

use crate::{
    curves::Curve,
    page::Page,
    row::{Bound, Row},
};

const PORT: u16 = 8080;
const TASK: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 200, 0, 10));

/// Numbers of prefixes.
const COUNTS: [usize; 8] = [1, 4, 16, 32, 100, 1_000, 4_000, 10_000];

/// Those that the target compares.
const FEW: usize = 16;
const MANY: usize = 10_000;

/// Sources that are drawn anew in each round, and runs with each.
const SOURCES: usize = 100;
const REPEAT: u32 = 2_000;

/// Rounds, each with all numbers of prefixes.
const ROUNDS: usize = 15;

/// Sources of which each is seen once, in each round.
const SEEN_ONCE: usize = 4_000;

const WHY_ONCE: &str = "Each source has a node of the search and a tally of its own, and with 10 000 of them neither is in the CPU's nearest \
    memory when its turn comes, after a system call and a copy of the packet: each is waited for. The tally is so with any design that \
    counts by source.";

const WHY: &str = "A search takes a step for each byte in which prefixes differ, each a load from another node: more prefixes are \
    more nodes, which fit less into the CPU's nearest memory, and beyond 64 are looked up in a map.";

/// Measures.
///
/// # Errors
///
/// When a program cannot be loaded or run, or miscounts.
pub fn measure(page: &mut Page) -> Result<()> {
    let mut others = Others::load()?;
    let mut agents = Vec::new();
    for count in COUNTS {
        let named: Vec<_> = (0..count).map(|number| (IpNet::from(prefix(number)), Role::Client)).collect();
        agents.push(Unattached::load(&[PORT], &named, 14).with_context(|| format!("{count} prefixes"))?);
    }
    let mut beyond = vec![Vec::new(); COUNTS.len()];
    let mut control = Vec::new();
    for _ in 0..ROUNDS {
        let any: Vec<_> = (0..SOURCES).map(|_| frame(fastrand::usize(0..MANY))).collect();
        let before = mean(&any, |frame| cost(others.empty()?, frame, REPEAT))?;
        let mut costs = Vec::new();
        for (agent, count) in agents.iter_mut().zip(COUNTS) {
            let frames: Vec<_> = (0..SOURCES).map(|_| frame(fastrand::usize(0..count))).collect();
            costs.push(mean(&frames, |frame| agent.cost(Side::Ingress, frame, REPEAT))?);
        }
        let after = mean(&any, |frame| cost(others.empty()?, frame, REPEAT))?;
        control.push(after - before);
        beyond.iter_mut().zip(costs).for_each(|(beyond, cost)| beyond.push(cost - (before + after) / 2.0));
    }
    for (agent, count) in agents.iter().zip(COUNTS) {
        let strangers = agent.tally(Ipv4Addr::new(192, 0, 2, 1).into())?.arrived;
        ensure!(strangers == 0, "of {count} prefixes, {strangers} SYNs were counted for none");
    }
    let place = |count| COUNTS.iter().position(|one| *one == count).context("a number that is measured");
    let (few, many) = (place(FEW)?, place(MANY)?);
    let (of_few, of_many) = (&beyond[few], &beyond[many]);
    let control = Ratio::of_values(control).context("too few rounds")?;
    let row = |measure: &str, unit, digits, target, figure: Option<Ratio>, control| {
        anyhow::Ok(Row {
            measure: measure.to_owned(),
            bench: "prefixes",
            unit,
            digits,
            target: Some((Bound::AtMost, target)),
            figure: figure.context("too few rounds")?,
            control,
            why: WHY,
        })
    };
    let more = Ratio::of_values(of_many.iter().zip(of_few).map(|(many, few)| many - few).collect());
    let times = Ratio::of(&of_many.iter().copied().zip(of_few.iter().copied()).collect::<Vec<_>>());
    let measure = "counted SYN, random of 10 000 prefixes, over random of 16";
    page.add(row(measure, "ns", 1, 5.0, more, Some((control, 5.0)))?);
    page.add(row(measure, "", 2, 1.5, times, None)?);
    let (mut more, mut again) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut once = |place: usize| seen_once(&mut agents[place], COUNTS[place]);
        let (before, among_many, after) = (once(few)?, once(many)?, once(few)?);
        more.push(among_many - (before + after) / 2.0);
        again.push(after - before);
    }
    let (more, again) = (Ratio::of_values(more), Ratio::of_values(again).context("too few rounds")?);
    let measure = "the same, each source seen once";
    page.add(Row { why: WHY_ONCE, ..row(measure, "ns", 1, 5.0, more, Some((again, 5.0)))? });
    let medians = beyond.into_iter().map(|beyond| Ratio::of_values(beyond).map_or(0.0, |ratio| ratio.median));
    page.draw(Curve {
        title: "Counted SYN over an empty program in ns, by number of prefixes, random sources".to_owned(),
        points: COUNTS.iter().map(|count| *count as f64).zip(medians).collect(),
    });
    Ok(())
}

/// A prefix of its own for each number, of 10.0.0.0/8 and none beside the one before: side by side, ten thousand would share nodes of
/// the search, and be as near as a few.
fn prefix(number: usize) -> ipnet::Ipv4Net {
    // An odd factor gives each number of 16 bits another one.
    let scattered = (number as u32).wrapping_mul(40_503) & 0xffff;
    let bits = u32::from(Ipv4Addr::new(10, 0, 0, 0)) + (scattered << 8);
    ipnet::Ipv4Net::new(Ipv4Addr::from_bits(bits), 24).expect("24 is a length of a prefix")
}

/// A SYN from somewhere in the prefix with this number.
fn frame(number: usize) -> Vec<u8> {
    let source = Ipv4Addr::from_bits(prefix(number).network().to_bits() + fastrand::u32(1..255));
    Frame { source: (source.into(), 40_000), destination: (TASK, PORT), flags: Flags::SYN }.bytes()
}

/// What a source takes of many that come once each: as the kernel times a single run, which is longer by what
/// taking the time takes.
fn seen_once(agent: &mut Unattached, count: usize) -> Result<f64> {
    let mut costs = Vec::with_capacity(SEEN_ONCE);
    for _ in 0..SEEN_ONCE {
        let (nanoseconds, _) = agent.run(Side::Ingress, &frame(fastrand::usize(0..count)), 1)?;
        costs.push(f64::from(nanoseconds));
    }
    costs.sort_by(f64::total_cmp);
    // The mean of the middle half: whole nanoseconds are too coarse for a median, and interrupts too long for a mean of all.
    let middle = &costs[SEEN_ONCE / 4..SEEN_ONCE * 3 / 4];
    Ok(middle.iter().sum::<f64>() / middle.len() as f64)
}

fn mean(frames: &[Vec<u8>], mut cost: impl FnMut(&[u8]) -> Result<f64>) -> Result<f64> {
    let mut sum = 0.0;
    for frame in frames {
        sum += cost(frame)?;
    }
    Ok(sum / frames.len() as f64)
}
