//! What one packet costs in the tc programs, by `BPF_PROG_TEST_RUN`, beside an empty program in the same run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use agent::domain::class::Role;
use anyhow::{Result, ensure};
use ipnet::IpNet;
use lab::{
    frame::{Flags, Frame},
    others::Others,
    unattached::{Side, Unattached},
};

/// Runs per sample: long enough for the clock, short enough for the machine's noise to pass.
const REPEAT: u32 = 1_000_000;

/// Samples of each program; the least disturbed one counts.
const SAMPLES: usize = 15;

const PORT: u16 = 8080;
const TASK4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 32, 10));
const NODE4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 23));
const TASK6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x10));
const NODE6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x17));
/// Prefixes of each family; the node is the last one that is looked at.
const PREFIXES: u8 = 16;

/// One packet, the program it is given to, and what it is meant to cost beyond an empty program one day.
struct Case {
    what: &'static str,
    side: Side,
    frame: Vec<u8>,
    goal_ns: Option<u32>,
}

/// Measures and prints.
///
/// # Errors
///
/// When a program cannot be loaded or run, or counts nothing.
pub fn measure() -> Result<()> {
    let mut agent = Unattached::load(PORT, &named()?, 14)?;
    let mut others = Others::load()?;
    let cases = cases();
    let mut empty = u32::MAX;
    let mut best = vec![u32::MAX; cases.len()];
    for _ in 0..SAMPLES {
        // One after the other within each round, so that all of them see the same weather.
        empty = empty.min(lab::unattached::run(others.empty()?, &cases[0].frame, REPEAT)?.0);
        for (case, best) in cases.iter().zip(&mut best) {
            *best = (*best).min(agent.run(case.side, &case.frame, REPEAT)?.0);
        }
    }
    // Fast because nothing was done would be no result.
    let counted = u64::from(REPEAT) * SAMPLES as u64;
    for node in [NODE4, NODE6] {
        let tally = agent.tally(node)?;
        ensure!((tally.arrived, tally.answered) == (counted, counted), "{node} was miscounted: {tally:?}");
    }
    println!("One packet in the tc programs (BPF_PROG_TEST_RUN, best of {SAMPLES} samples of {REPEAT} runs)");
    println!("  {:<44} {empty:>3} ns", "empty program");
    for (case, best) in cases.iter().zip(best) {
        let goal = case.goal_ns.map(|goal| format!("   (goal: empty + {goal} ns)")).unwrap_or_default();
        println!("  {:<44} {best:>3} ns = empty + {:>2} ns{goal}", case.what, best.saturating_sub(empty));
    }
    Ok(())
}

fn named() -> Result<Vec<(IpNet, Role)>> {
    // Prefixes of the same length keep their order, and longer ones come first.
    let mut named = Vec::new();
    for number in 0..PREFIXES - 1 {
        named.push((format!("10.1.{number}.0/32").parse()?, Role::Client));
        named.push((format!("fd00:3:{number:x}::/128").parse()?, Role::Client));
    }
    named.extend([(NODE4.into(), Role::Node), (NODE6.into(), Role::Node)]);
    Ok(named)
}

fn cases() -> Vec<Case> {
    let syn =
        |node, task, port| Frame { source: (node, 40_000), destination: (task, port), flags: Flags::SYN };
    let data = |node, task| Frame { flags: Flags::ACK, ..syn(node, task, PORT) };
    let reply = |task, node, flags| Frame { source: (task, PORT), destination: (node, 40_000), flags };
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let case = |what, side, frame: Frame, goal_ns| Case { what, side, frame: frame.bytes(), goal_ns };
    vec![
        case("miss: data for the port", Side::Ingress, data(NODE4, TASK4), Some(3)),
        case("miss: SYN for another port", Side::Ingress, syn(NODE4, TASK4, 9999), Some(3)),
        case("counted SYN, last of 16 prefixes", Side::Ingress, syn(NODE4, TASK4, PORT), Some(8)),
        case("counted SYN, none of 16 prefixes", Side::Ingress, syn(stranger, TASK4, PORT), None),
        case("counted SYN, IPv6, last of 16 prefixes", Side::Ingress, syn(NODE6, TASK6, PORT), None),
        case("miss: data from the port", Side::Egress, reply(TASK4, NODE4, Flags::ACK), Some(3)),
        case("SYN-ACK", Side::Egress, reply(TASK4, NODE4, Flags::SYN_ACK), None),
        case("SYN-ACK, IPv6", Side::Egress, reply(TASK6, NODE6, Flags::SYN_ACK), None),
    ]
}
