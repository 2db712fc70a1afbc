//! How the cost of a counted SYN grows with the number of watched ports.

use std::net::{IpAddr, Ipv4Addr};

use agent::domain::class::Role;
use agent_common::config::MAX_PORTS;
use anyhow::{Context as _, Result, ensure};
use lab::{
    frame::{Flags, Frame},
    others::Others,
    ratio::Ratio,
    unattached::{Side, Unattached, cost},
};

use crate::{curves::Curve, page::Page, row::Row};

const TASK: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 32, 10));
const NODE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 23));
const FIRST: u16 = 8080;

/// Numbers of ports.
const COUNTS: [usize; 4] = [1, 4, 16, MAX_PORTS];

const REPEAT: u32 = 100_000;
const ROUNDS: usize = 15;

/// Measures.
///
/// # Errors
///
/// When a program cannot be loaded or run, or miscounts.
pub fn measure(page: &mut Page) -> Result<()> {
    let mut others = Others::load()?;
    let ports: Vec<u16> = (FIRST..).take(MAX_PORTS).collect();
    let mut agents = Vec::new();
    for count in COUNTS {
        let agent = Unattached::load(&ports[..count], &[(NODE.into(), Role::Node)], 14);
        agents.push(agent.with_context(|| format!("{count} ports"))?);
    }
    let mut beyond = vec![Vec::new(); COUNTS.len()];
    let mut control = Vec::new();
    for _ in 0..ROUNDS {
        let before = cost(others.empty()?, &syn(FIRST), REPEAT)?;
        let mut costs = Vec::new();
        for (agent, count) in agents.iter_mut().zip(COUNTS) {
            costs.push(agent.cost(Side::Ingress, &syn(ports[count - 1]), REPEAT)?);
        }
        let after = cost(others.empty()?, &syn(FIRST), REPEAT)?;
        control.push(after - before);
        beyond.iter_mut().zip(costs).for_each(|(beyond, cost)| beyond.push(cost - (before + after) / 2.0));
    }
    let sent = u64::from(REPEAT) * ROUNDS as u64;
    for (agent, count) in agents.iter().zip(COUNTS) {
        let counted = agent.tally_of(NODE, count as u32 - 1)?.arrived;
        ensure!(counted == sent, "of {count} ports the last counted {counted} of {sent} SYNs");
    }
    let (one, most) = (&beyond[0], &beyond[COUNTS.len() - 1]);
    page.add(Row {
        measure: format!("counted SYN, last of {MAX_PORTS} ports, over the same of one port"),
        bench: "ports",
        unit: "ns",
        digits: 1,
        target: None,
        figure: Ratio::of_values(most.iter().zip(one).map(|(most, one)| most - one).collect())
            .context("too few rounds")?,
        control: Some((Ratio::of_values(control).context("too few rounds")?, f64::MAX)),
        why: "",
    });
    let medians = beyond.into_iter().map(|beyond| Ratio::of_values(beyond).map_or(0.0, |ratio| ratio.median));
    page.draw(Curve {
        title: "Counted SYN over an empty program in ns, by number of watched ports".to_owned(),
        points: COUNTS.iter().map(|count| *count as f64).zip(medians).collect(),
    });
    Ok(())
}

/// A SYN of the node to a port.
fn syn(port: u16) -> Vec<u8> {
    Frame { source: (NODE, 40_000), destination: (TASK, port), flags: Flags::SYN }.bytes()
}
