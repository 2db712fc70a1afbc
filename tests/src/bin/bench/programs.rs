//! What one packet costs in the tc programs, by `BPF_PROG_TEST_RUN`, beside an empty program in the same run.

use std::net::{IpAddr, Ipv4Addr};

use agent::{
    domain::{
        class::Role,
        sources::{Origin, SourceTable},
    },
    kernel::{
        facts::KernelFacts,
        maps::Maps,
        programs::{EGRESS, INGRESS, Programs, Sizes},
    },
};
use agent_common::config::Target;
use anyhow::{Context as _, Result};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use lab::{
    frame::{Flags, Frame},
    others::Others,
};

/// Runs per sample: long enough for the clock, short enough for the machine's noise to pass.
const REPEAT: u32 = 1_000_000;

/// Samples of each program; the least disturbed one counts.
const SAMPLES: usize = 15;

const PORT: u16 = 8080;
const TASK: Ipv4Addr = Ipv4Addr::new(10, 0, 32, 10);

/// One packet, the program it is given to, and what it may cost beyond an empty program (design section 6).
struct Case {
    what: &'static str,
    program: &'static str,
    frame: Vec<u8>,
    budget_ns: Option<u32>,
}

/// Measures and prints.
///
/// # Errors
///
/// When a program cannot be loaded or run.
pub fn measure() -> Result<()> {
    let mut agent = load()?;
    let mut others = Others::load()?;
    let cases = cases();
    let mut empty = u32::MAX;
    let mut best = vec![u32::MAX; cases.len()];
    for _ in 0..SAMPLES {
        // One after the other within each round, so that all of them see the same weather.
        empty = empty.min(run(others.empty()?, &cases[0].frame)?);
        for (case, best) in cases.iter().zip(&mut best) {
            *best = (*best).min(run(agent.classifier(case.program)?, &case.frame)?);
        }
    }
    println!("BPF_PROG_TEST_RUN, best of {SAMPLES} samples of {REPEAT} runs, empty program {empty} ns");
    for (case, best) in cases.iter().zip(best) {
        let budget = case.budget_ns.map(|budget| format!("  (budget: empty + {budget} ns)")).unwrap_or_default();
        println!("  {:<44} {best:>3} ns = empty + {:>2} ns{budget}", case.what, best.saturating_sub(empty));
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let node = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 23));
    let syn = |port| Frame { source: (node, 40_000), destination: (TASK.into(), port), flags: Flags::SYN };
    let reply = Frame { source: (TASK.into(), PORT), destination: (node, 40_000), flags: Flags::SYN_ACK };
    let stranger = Frame { source: (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 40_000), ..syn(PORT) };
    vec![
        Case { what: "miss: data for the port", program: INGRESS, frame: Frame { flags: Flags::ACK, ..syn(PORT) }.bytes(), budget_ns: Some(3) },
        Case { what: "miss: SYN for another port", program: INGRESS, frame: syn(9999).bytes(), budget_ns: Some(3) },
        Case { what: "counted SYN, 16 prefixes", program: INGRESS, frame: syn(PORT).bytes(), budget_ns: Some(8) },
        Case { what: "counted SYN, 16 prefixes, none of them", program: INGRESS, frame: stranger.bytes(), budget_ns: None },
        Case { what: "miss: data from the port, egress", program: EGRESS, frame: Frame { flags: Flags::ACK, ..reply }.bytes(), budget_ns: Some(3) },
        Case { what: "SYN-ACK, egress", program: EGRESS, frame: reply.bytes(), budget_ns: None },
    ]
}

/// The agent's programs with sixteen prefixes, loaded and not attached to anything.
fn load() -> Result<Programs> {
    let facts = KernelFacts::read("/sys/kernel/btf/vmlinux".as_ref())?;
    let mut sources = SourceTable::new(32);
    for number in 0..16u8 {
        let prefix = format!("10.0.{}.0/24", 16 + number).parse()?;
        let role = if number == 15 { Role::Node } else { Role::Client };
        let prefix = if number == 15 { "10.0.1.23/32".parse()? } else { prefix };
        sources.add(prefix, role, Origin::Flag, std::time::Duration::ZERO)?;
    }
    let target = Target { link_header_bytes: 14, port_count: 1, ..facts.target() };
    let sizes = Sizes { slots: sources.capacity(), ports: 1, drops: 16, trie4: 16, trie6: 16 };
    let mut programs = Programs::load(&target, &sizes, facts.usable())?;
    let mut maps = Maps::take(&mut programs.object, 1)?;
    maps.write_ports(&[PORT], &[])?;
    maps.write_sources(&sources)?;
    Ok(programs)
}

fn run(program: &SchedClassifier, frame: &[u8]) -> Result<u32> {
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.repeat = REPEAT;
    let result = program.test_run(options).context("BPF_PROG_TEST_RUN")?;
    Ok(u32::try_from(result.duration.as_nanos())?)
}
