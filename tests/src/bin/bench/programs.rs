//! What one packet costs in the tc programs, by `BPF_PROG_TEST_RUN`, beside an empty program in the same run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use agent::domain::class::Role;
use anyhow::{Context as _, Result, ensure};
use ipnet::{IpNet, Ipv4Net};
use lab::{
    frame::{Flags, Frame},
    others::Others,
    ratio::Ratio,
    unattached::{Side, Unattached, cost},
};

use crate::{
    page::Page,
    row::{Bound, Row},
};

/// Runs per sample: long enough for the clock, short enough for the machine's noise to pass.
const REPEAT: u32 = 300_000;

/// Samples of each program.
const SAMPLES: usize = 151;

const PORT: u16 = 8080;
const TASK4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 32, 10));
const NODE4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 23));
const TASK6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x10));
const NODE6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x17));
/// Prefixes of each family; the node is the last one that is looked at.
const PREFIXES: u8 = 16;

const WHY_MISS: &str = "A miss reads the frame's type, the protocol, both header lengths with their bounds, and the flags, \
    each with the checks that the verifier wants, before it can be sure; the empty program reads nothing.";
const WHY_NOT_TCP: &str = "The frame's type and the protocol are compared, the first once more with that of a tag, behind which TCP \
    could be.";
const WHY_SYN: &str = "A step of the search for each byte in which the 16 addresses differ (three here), and the look-up of the \
    tally of this CPU: each waits for what the one before it loaded.";
const WHY_STRANGER: &str = "Besides what any counted SYN takes, who it was is kept among those seen of late.";
const WHY_SYN6: &str = "An address of sixteen bytes is compared with one prefix after the other, the longest first (decision 0011).";
const WHY_CUSTOMARY: &str = "Both designs read the same headers.";

/// One packet, the program it is given to, and what it may cost beyond an empty program.
struct Case {
    what: &'static str,
    side: Side,
    frame: Vec<u8>,
    target: Option<(f64, &'static str)>,
}

/// Measures.
///
/// # Errors
///
/// When a program cannot be loaded or run, or counts nothing.
pub fn measure(page: &mut Page) -> Result<()> {
    let mut agent = Unattached::load(&[PORT], &named()?, 14)?;
    let (mut others, mut customary) = (Others::load()?, Others::load()?);
    let sources: Vec<Ipv4Net> = named()?
        .iter()
        .filter_map(|(network, _)| if let IpNet::V4(network) = network { Some(*network) } else { None })
        .collect();
    let cases = cases();
    let syn = &cases[SYN].frame;
    let (mut control, mut share) = (Vec::new(), Vec::new());
    let mut beyond = vec![Vec::new(); cases.len()];
    for _ in 0..SAMPLES {
        // One after the other within each round, so that all of them see the same weather.
        let before = cost(others.empty()?, syn, REPEAT)?;
        let mut costs = Vec::new();
        for case in &cases {
            costs.push(agent.cost(case.side, &case.frame, REPEAT)?);
        }
        let of_customary = cost(customary.trie_and_hash(&sources, PORT)?, syn, REPEAT)?;
        let after = cost(others.empty()?, syn, REPEAT)?;
        let empty = (before + after) / 2.0;
        control.push(after - before);
        share.push((costs[SYN] - empty, of_customary - empty));
        for (beyond, cost) in beyond.iter_mut().zip(costs) {
            beyond.push(cost - empty);
        }
    }
    // Fast because nothing was done would be no result.
    let counted = u64::from(REPEAT) * SAMPLES as u64;
    for node in [NODE4, NODE6] {
        let tally = agent.tally(node)?;
        ensure!((tally.arrived, tally.answered) == (counted, counted), "{node} was miscounted: {tally:?}");
    }
    let customarily = customary.counted_customarily()?;
    ensure!(customarily == counted, "the customary design counted {customarily} of {counted}");
    let control = Ratio::of_values(control).context("too few samples")?;
    for (case, beyond) in cases.iter().zip(beyond) {
        page.add(Row {
            measure: format!("{}, over an empty program", case.what),
            bench: "programs",
            unit: "ns",
            digits: 1,
            target: case.target.map(|(target, _)| (Bound::AtMost, target)),
            figure: Ratio::of_values(beyond).context("too few samples")?,
            control: Some((control, case.target.map_or(f64::MAX, |(target, _)| target))),
            why: case.target.map_or("", |(_, why)| why),
        });
    }
    page.add(Row {
        measure: "counted SYN, last of 16 prefixes, over the same by an LPM trie and hashes".to_owned(),
        bench: "programs",
        unit: "",
        digits: 2,
        target: Some((Bound::AtMost, 0.25)),
        figure: Ratio::of(&share).context("too few samples")?,
        control: None,
        why: WHY_CUSTOMARY,
    });
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

/// Where the counted SYN is among the cases.
const SYN: usize = 2;

fn cases() -> Vec<Case> {
    let syn =
        |node, task, port| Frame { source: (node, 40_000), destination: (task, port), flags: Flags::SYN };
    let acknowledgement = |node, task| Frame { flags: Flags::ACK, ..syn(node, task, PORT) };
    let reply = |task, node, flags| Frame { source: (task, PORT), destination: (node, 40_000), flags };
    let other = Frame { source: (TASK4, 9999), ..reply(TASK4, NODE4, Flags::ACK) };
    let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let case = |what, side, frame: Frame, target| Case { what, side, frame: frame.bytes(), target };
    let miss = Some((3.0, WHY_MISS));
    // The same frame with another type, and with another protocol.
    let altered = |what, place: usize, bytes: &[u8]| {
        let mut case = case(what, Side::Ingress, syn(NODE4, TASK4, PORT), Some((3.0, WHY_NOT_TCP)));
        case.frame[place..place + bytes.len()].copy_from_slice(bytes);
        case
    };
    vec![
        case("miss: acknowledgement for the port", Side::Ingress, acknowledgement(NODE4, TASK4), miss),
        case("miss: SYN for another port", Side::Ingress, syn(NODE4, TASK4, 9999), miss),
        case(
            "counted SYN, last of 16 prefixes",
            Side::Ingress,
            syn(NODE4, TASK4, PORT),
            Some((8.0, WHY_SYN)),
        ),
        case(
            "counted SYN, none of 16 prefixes",
            Side::Ingress,
            syn(stranger, TASK4, PORT),
            Some((8.0, WHY_STRANGER)),
        ),
        case(
            "counted SYN, IPv6, last of 16 prefixes",
            Side::Ingress,
            syn(NODE6, TASK6, PORT),
            Some((8.0, WHY_SYN6)),
        ),
        case("miss: acknowledgement from the port", Side::Egress, reply(TASK4, NODE4, Flags::ACK), miss),
        case("miss: acknowledgement from another port", Side::Egress, other, miss),
        case("SYN-ACK", Side::Egress, reply(TASK4, NODE4, Flags::SYN_ACK), None),
        case("SYN-ACK, IPv6", Side::Egress, reply(TASK6, NODE6, Flags::SYN_ACK), None),
        altered("miss: ARP", 12, &[0x08, 0x06]),
        altered("miss: UDP for the port", 23, &[17]),
    ]
}
