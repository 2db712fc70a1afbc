//! Everything about one target: loads, attaches, reads, detaches.

mod sampling;

use std::{io, path::Path};

use agent_common::config::Target as TargetFacts;
use aya_log::EbpfLogger;

use crate::{
    domain::{
        other_programs::OtherProgram,
        sample::{BlindSpot, Sample},
        sources::SourceTable,
        stage::Stage,
    },
    kernel::{
        attach::{AttachMode, Attachment},
        attached::Attached,
        counters,
        ethtool::AllowanceReader,
        facts::{KernelFacts, Usable},
        interface::{self, Interface, InterfaceError},
        maps::{MapAccessError, Maps},
        memory,
        namespace::{Namespace, NamespaceError},
        programs::{Programs, Sizes, drop_entries},
        reading::Reader,
        refusal::LoadError,
        routes::RouteReader,
        rule_reader::RuleReader,
        running::Running,
        senders::Senders,
        source_maps,
    },
};

/// One thing to watch. Interface indices repeat across namespaces: only all three together name a target.
#[derive(Clone, Debug)]
pub struct Target {
    /// Network namespace.
    pub namespace: Namespace,
    /// Interface in it.
    pub interface: Interface,
    /// Ports, in the order of their indices.
    pub ports: Vec<u16>,
}

/// Why a target cannot be watched, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The interface.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    /// The programs.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A map.
    #[error(transparent)]
    Map(#[from] MapAccessError),
    /// The interface vanished.
    #[error("interface {0} is gone")]
    InterfaceGone(String),
    /// The interface cannot be read.
    #[error("reading the state of interface {name}: {source}")]
    Link {
        /// Interface.
        name: String,
        /// Cause.
        source: io::Error,
    },
}

/// How to watch.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// Kernel type information.
    pub btf: &'a Path,
    /// tcx or clsact.
    pub attach: AttachMode,
    /// Whether this is one of several targets of this process.
    pub shares: bool,
    /// Whether the NLB's nodes are to be learned, because nobody named them.
    pub learns: bool,
    /// Entries of the drop table, where not as many as its sources may need.
    pub drop_entries: Option<u32>,
    /// Entries of the table of connections that began like a health check.
    pub probe_entries: u32,
}

/// Watches one target until dropped.
pub struct Observer {
    target: Target,
    facts: KernelFacts,
    programs: Running,
    attachment: Attachment,
    maps: Maps,
    log: Option<EbpfLogger<&'static dyn log::Log>>,
    allowances: AllowanceReader,
    lost_sources: u64,
    routes: RouteReader,
    rules: RuleReader,
    reader: Reader,
    recursion_misses: u64,
    blind_spots: Vec<BlindSpot>,
    others: Attached,
    baseline: Sample,
}

impl Observer {
    /// Loads the programs, hooks them up and puts the sources in force.
    ///
    /// # Errors
    ///
    /// When maps or programs cannot be created, or the namespace cannot be entered. A hook that fails is a blind spot.
    pub fn start(target: Target, sources: &SourceTable, options: &Options<'_>) -> Result<Self, ObserveError> {
        let mut blind_spots = Vec::new();
        let facts = KernelFacts::read(options.btf).unwrap_or_else(|error| {
            blind_spots.push(BlindSpot {
                id: "btf",
                stages: vec![Stage::Admitted, Stage::Established, Stage::Served],
                text: error.to_string(),
            });
            KernelFacts::default()
        });
        let usable: Usable = facts.usable();
        let port_count = target.ports.len() as u32;
        let target_facts = TargetFacts {
            netns_inode: target.namespace.inode(),
            link_header_bytes: target.interface.link_header_bytes,
            port_count,
            ..facts.target()
        };
        let sizes = Sizes {
            slots: sources.capacity(),
            ports: port_count,
            drops: options.drop_entries.unwrap_or_else(|| drop_entries(sources.capacity(), port_count)),
            probes: options.probe_entries,
            nodes: source_maps::nodes(sources),
            trie4: sources.capacity(),
            trie6: sources.capacity(),
        };
        let mut programs = Programs::load(&target_facts, &sizes, usable, options.shares)?;
        let log = programs.log();
        // Without type information, one blind spot says it all.
        if blind_spots.is_empty() {
            blind_spots.append(&mut programs.blind_spots);
        }
        let (name, index) = (target.interface.name.clone(), target.interface.index);
        let mut attachment =
            target.namespace.run(|| Attachment::attach(&mut programs, &name, index, options.attach))?;
        blind_spots.extend(attachment.blind_spots.iter().cloned());
        let begun = Self::begin(&target, programs, sources, options.learns);
        let (programs, maps, others, baseline) = begun.inspect_err(|_| detach(&target, &mut attachment))?;
        memory::give_back();
        Ok(Self {
            target,
            facts,
            programs,
            attachment,
            maps,
            log,
            allowances: AllowanceReader::default(),
            lost_sources: 0,
            routes: RouteReader::default(),
            rules: RuleReader::default(),
            reader: Reader::default(),
            recursion_misses: 0,
            blind_spots,
            others,
            baseline,
        })
    }

    /// What is left once every program is loaded and hooked up.
    fn begin(
        target: &Target,
        mut programs: Programs,
        sources: &SourceTable,
        learns: bool,
    ) -> Result<(Running, Maps, Attached, Sample), ObserveError> {
        let mut maps = Maps::take(&mut programs.object, target.ports.len() as u32)?;
        maps.write_sources(sources)?;
        if learns {
            maps.learn()?;
        }
        let programs = programs.settle();
        let index = target.interface.index;
        let mut others = Attached::default();
        target.namespace.run(|| {
            let link = interface::link_state(index).ok().flatten();
            others.note(&link.map(|link| link.xdp_programs).unwrap_or_default(), 0);
            others.look(index, &programs.ids(), 0);
        })?;
        // What the namespace counted before the first SYN is nobody's: growth is told from here on.
        let (host, conntrack) = target.namespace.run(|| (counters::read(), counters::conntrack()))?;
        // No port is watched before every hook is in place: all of them begin to count at one moment.
        maps.write_ports(&target.ports, &[])?;
        Ok((programs, maps, others, Sample { host, conntrack, ..Sample::default() }))
    }

    /// What is watched.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Reaches the namespace by another path from now on, if it is the same one.
    pub fn reach_by(&mut self, namespace: Namespace) {
        if namespace.inode() == self.target.namespace.inode() {
            self.target.namespace = namespace;
        }
    }

    /// What is hooked up.
    pub fn hooks(&self) -> Vec<String> {
        let tracepoints = self.programs.tracepoints.iter().map(|name| (*name).to_owned());
        let looking = self.attachment.looking.iter().cloned();
        self.attachment.hooks.iter().cloned().chain(looking).chain(tracepoints).collect()
    }

    /// What cannot be seen on this host.
    pub fn blind_spots(&self) -> &[BlindSpot] {
        &self.blind_spots
    }

    /// Programs and filters of somebody else on the interface, as they were when this began to watch or, later, when a
    /// program had dropped something.
    pub fn others(&self) -> &[OtherProgram] {
        self.others.found()
    }

    /// Counters of the namespace as they were before anything was counted of a watched port.
    pub const fn baseline(&self) -> &Sample {
        &self.baseline
    }

    /// Whether neither arriving SYNs nor leaving SYN-ACKs can be seen.
    pub fn is_blind(&self) -> bool {
        self.attachment.hooks.is_empty()
    }

    /// Puts a changed table of sources in force. `lost` sources found no slot.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn set_sources(&mut self, sources: &SourceTable, lost: u64) -> Result<(), ObserveError> {
        self.lost_sources = lost;
        Ok(self.maps.write_sources(sources)?)
    }

    /// Looks for the local port that a watched port is translated to, or stops looking.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn hunt_translation(&mut self, hunt: bool) -> Result<(), ObserveError> {
        Ok(self.maps.hunt_translation(hunt)?)
    }

    /// Counts SYNs of NLB nodes for unwatched ports, or stops counting.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn hunt_strays(&mut self, hunt: bool) -> Result<(), ObserveError> {
        Ok(self.maps.hunt_strays(hunt)?)
    }

    /// Follows connections of watched ports on the local ports they are translated to: (watched, local).
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn follow(&mut self, translated: &[(u16, u16)]) -> Result<(), ObserveError> {
        Ok(self.maps.write_ports(&self.target.ports, translated)?)
    }

    /// Senders by address.
    pub const fn senders(&self) -> &Senders {
        &self.maps.senders
    }
}

fn detach(target: &Target, attachment: &mut Attachment) {
    // When the namespace is gone, so is everything that was attached in it.
    if let Err(error) = target.namespace.run(|| attachment.detach()) {
        log::debug!("detaching: {error}");
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        detach(&self.target, &mut self.attachment);
    }
}
