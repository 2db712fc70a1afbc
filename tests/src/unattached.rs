//! The agent's programs, loaded and attached to nothing, or to one interface and in no namespace: fed with bytes by
//! `BPF_PROG_TEST_RUN`, or flooded.

use std::{net::IpAddr, path::Path, time::Duration};

use agent::{
    domain::{
        class::Role,
        sources::{Origin, SourceTable},
    },
    kernel::{
        facts::KernelFacts,
        maps::Maps,
        programs::{EGRESS, INGRESS, Programs, Sizes},
        source_maps,
    },
};
use agent_common::{config::Target, tally::Tally};
use anyhow::{Context as _, Result};
use aya::programs::{
    LinkOrder, SchedClassifier, TcAttachType, TestRun as _, TestRunOptions, tc::TcAttachOptions,
};
use ipnet::IpNet;

/// Which of the tc programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Counts SYNs, and looks at what connections begin with.
    Ingress,
    /// Counts SYN-ACKs and refusals, and looks at how connections are answered.
    Egress,
}

impl Side {
    const fn program(self) -> &'static str {
        match self {
            Self::Ingress => INGRESS,
            Self::Egress => EGRESS,
        }
    }
}

/// The programs with these watched ports and sources.
pub struct Unattached {
    programs: Programs,
    maps: Maps,
    sources: SourceTable,
}

impl Unattached {
    /// Loads them, for packets with a link header of `link_header_bytes`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn load(ports: &[u16], named: &[(IpNet, Role)], link_header_bytes: u32) -> Result<Self> {
        let facts = KernelFacts::read(Path::new(agent::kernel::btf::VMLINUX))?;
        let slots = named.iter().map(|(network, role)| SourceTable::slots_for(network, *role)).sum::<u32>();
        let sources = table(1 + slots, named)?;
        // No namespace has the number zero, so the tracepoints count nothing meanwhile.
        let port_count = u32::try_from(ports.len())?;
        let target = Target { link_header_bytes, port_count, ..facts.target() };
        let capacity = sources.capacity();
        let nodes = source_maps::nodes(&sources);
        let sizes = Sizes {
            slots: capacity,
            ports: port_count,
            drops: 16,
            probes: 16,
            nodes,
            trie4: capacity,
            trie6: capacity,
        };
        let mut programs = Programs::load(&target, &sizes, facts.usable(), false)?;
        for side in [Side::Ingress, Side::Egress] {
            programs.classifier(side.program())?;
        }
        let mut maps = Maps::take(&mut programs.object, port_count)?;
        maps.write_ports(ports, &[])?;
        maps.write_sources(&sources)?;
        Ok(Self { programs, maps, sources })
    }

    /// Runs one of them on a frame `repeat` times; nanoseconds per run, and what it returned.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn run(&mut self, side: Side, frame: &[u8], repeat: u32) -> Result<(u32, i32)> {
        run(self.programs.classifier(side.program())?, frame, repeat)
    }

    /// CPU time of one run on a frame, in nanoseconds.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn cost(&mut self, side: Side, frame: &[u8], repeat: u32) -> Result<f64> {
        cost(self.programs.classifier(side.program())?, frame, repeat)
    }

    /// Another table of sources with as many slots.
    ///
    /// # Errors
    ///
    /// When it has no room for these.
    pub fn table(&self, named: &[(IpNet, Role)]) -> Result<SourceTable> {
        table(self.sources.capacity(), named)
    }

    /// Puts another table of sources in force.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn replace(&mut self, sources: &SourceTable) -> Result<()> {
        Ok(self.maps.write_sources(sources)?)
    }

    /// One of the programs for threads that run it, and the maps for who writes meanwhile.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn apart(&mut self, side: Side) -> Result<(&SchedClassifier, &mut Maps)> {
        Ok((self.programs.classifier(side.program())?, &mut self.maps))
    }

    /// Attaches the one that counts SYNs to an interface of this thread's namespace, in front of whoever is there, for as long
    /// as this lives.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, for example because it has no tcx.
    pub fn attach_first(&mut self, interface: &str) -> Result<()> {
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let program = self.programs.classifier(Side::Ingress.program())?;
        program.attach_with_options(interface, TcAttachType::Ingress, options)?;
        Ok(())
    }

    /// What is counted for the source that an address belongs to.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn tally(&self, address: IpAddr) -> Result<Tally> {
        self.tally_of(address, 0)
    }

    /// The same, on the watched port with this index.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn tally_of(&self, address: IpAddr, port_index: u32) -> Result<Tally> {
        let low = match address {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(address) => address.to_bits() as u32,
        };
        // One that has as many slots as addresses has a power of two of both.
        let slot =
            self.sources.of_address(address).map_or(0, |source| source.slot + (low & (source.slots - 1)));
        Ok(self.maps.tally(slot, port_index)?)
    }
}

fn table(capacity: u32, named: &[(IpNet, Role)]) -> Result<SourceTable> {
    let mut sources = SourceTable::new(capacity);
    for (network, role) in named {
        sources.add(*network, *role, Origin::Flag, Duration::ZERO)?;
    }
    Ok(sources)
}

/// Runs a program on a frame; nanoseconds per run, and what it returned.
///
/// # Errors
///
/// When the kernel refuses.
pub fn run(program: &SchedClassifier, frame: &[u8], repeat: u32) -> Result<(u32, i32)> {
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.repeat = repeat;
    let result = program.test_run(options).context("BPF_PROG_TEST_RUN")?;
    Ok((u32::try_from(result.duration.as_nanos())?, result.return_value as i32))
}

/// CPU time of one run of a program on a frame, in nanoseconds and parts of one: the kernel tells whole ones only, and counts
/// what others do on the CPU meanwhile.
///
/// # Errors
///
/// When the kernel refuses.
pub fn cost(program: &SchedClassifier, frame: &[u8], repeat: u32) -> Result<f64> {
    let before = spent();
    run(program, frame, repeat)?;
    Ok((spent() - before).as_nanos() as f64 / f64::from(repeat))
}

/// CPU time of this thread so far.
fn spent() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
