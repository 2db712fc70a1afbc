//! Loads the programs and hooks up the tracepoints. Each program loads on its own: one refusal is a blind spot, not
//! the end.

use std::os::fd::AsFd as _;

use aya::{
    Ebpf, EbpfLoader, VerifierLogLevel,
    programs::{ProgramError, SchedClassifier},
};

use agent_common::{config::Target, tally::share_of};
use aya_log::EbpfLogger;

use crate::{
    domain::{sample::BlindSpot, stage::Stage},
    kernel::{
        dispatcher::Seat,
        facts::Usable,
        refusal::{LoadError, is_debugging, load_error, refusal},
        running::{Link, Loaded, Running},
        tracepoints::{self, FULL_QUEUES, Tracepoint},
        typed::Types,
    },
};

/// The eBPF object, built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/agent-programs"));

/// Names of the tc programs, as `tc filter show` and `bpftool net` print them.
pub const INGRESS: &str = "hct_ingress";
/// See [`INGRESS`].
pub const EGRESS: &str = "hct_egress";
/// Counts only, where the kernel refuses [`INGRESS`].
pub const INGRESS_SYN: &str = "hct_ingress_syn";
/// Counts only, where the kernel refuses [`EGRESS`].
pub const EGRESS_SYN: &str = "hct_egress_syn";

/// All of them, and those of agents before.
const OURS: [&str; 6] = [INGRESS, EGRESS, INGRESS_SYN, EGRESS_SYN, "hct_openings", "hct_answers"];

/// Whether a program of this name is one of an agent's.
pub fn is_ours(name: &str) -> bool {
    OURS.contains(&name)
}

/// How large the maps are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Source slots.
    pub slots: u32,
    /// Watched ports.
    pub ports: u32,
    /// (source, port, reason) combinations whose drops are told apart.
    pub drops: u32,
    /// Connections that began like a health check and have not ended.
    pub probes: u32,
    /// Nodes of the search for an IPv4 source that are not near ones, of both tables together.
    pub nodes: u32,
    /// IPv4 prefixes in the trie, when there are too many nodes.
    pub trie4: u32,
    /// IPv6 prefixes in the trie.
    pub trie6: u32,
}

/// How many (source, port, kind, reason) combinations are told apart: room for sixteen of each source and port, of which few have
/// more than two. An entry takes some hundred bytes, whether it is used or not.
pub fn drop_entries(slots: u32, ports: u32) -> u32 {
    slots.saturating_mul(ports).saturating_mul(16).clamp(256, 4096)
}

/// The object while its programs are loaded and hooked up.
pub struct Programs {
    /// Maps and programs.
    pub object: Ebpf,
    /// Tracepoints hooked up, for the report of what is in use.
    tracepoints: Vec<&'static str>,
    /// Their programs that are hooked up by themselves.
    alone: Vec<&'static str>,
    links: Vec<Link>,
    /// Where the others are reached from.
    seat: Option<Seat>,
    /// What could not be hooked up.
    pub blind_spots: Vec<BlindSpot>,
}

impl Programs {
    /// Creates the maps and loads the tracepoint programs that this kernel can run. The tc programs are loaded when
    /// they are attached. Who `shares` is one of several targets of this process.
    ///
    /// # Errors
    ///
    /// When maps cannot be created.
    pub fn load(target: &Target, sizes: &Sizes, usable: Usable, shares: bool) -> Result<Self, LoadError> {
        let target = &Target { probe_entries: sizes.probes, ..*target };
        let debugging = is_debugging();
        let log_level = u8::from(debugging) * 5;
        let object = EbpfLoader::new()
            // No program here has relocations against kernel types.
            .btf(None)
            .verifier_log_level(if debugging { VerifierLogLevel::VERBOSE } else { VerifierLogLevel::DISABLE })
            .override_global("TARGET", target, true)
            .override_global("AYA_LOG_LEVEL", &log_level, false)
            .map_max_entries("TALLIES", sizes.slots * sizes.ports)
            .map_max_entries("MANNERS", sizes.slots * sizes.ports)
            .map_max_entries("DROPS", sizes.drops)
            .map_max_entries("PROBES", sizes.probes)
            .map_max_entries("SHARES", share_of(sizes.slots))
            .map_max_entries("SWEPT", share_of(sizes.slots))
            .map_max_entries("NODES", sizes.nodes.max(1))
            .map_max_entries("TRIE4", sizes.trie4.max(1))
            .map_max_entries("TRIE6", sizes.trie6.max(1))
            .map_max_entries("AYA_LOGS", if debugging { 1 << 17 } else { 1 << 12 })
            .load(OBJECT)
            .map_err(|error| load_error(&error))?;
        let seat = if shares { Seat::take(target.netns_inode, target) } else { None };
        let (tracepoints, alone, links, blind_spots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut programs = Self { object, tracepoints, alone, links, seat, blind_spots };
        // What targets share is hooked up by numbers: tail calls go from a kind of program to the same kind only.
        let types = if programs.seat.is_none() { tracepoints::types(usable) } else { None };
        for tracepoint in &tracepoints::all(usable, target) {
            programs.watch(tracepoint, types.as_ref());
        }
        if let Some(types) = types.filter(|_| usable.request_type.is_some()) {
            programs.refine(&types);
        }
        if usable.drops && !usable.reasons {
            programs.blind_spots.push(BlindSpot {
                id: "drop_reasons",
                stages: vec![Stage::Admitted],
                text: "this kernel gives no drop reasons (Linux 5.17 is the first that does)".to_owned(),
            });
        }
        Ok(programs)
    }

    fn watch(&mut self, tracepoint: &Tracepoint, types: Option<&Types>) {
        let cause = if tracepoint.usable {
            match tracepoint.hook_up(&mut self.object, self.seat.as_ref(), types) {
                Ok(hooked_up) => {
                    if let Some((program, link)) = hooked_up {
                        self.alone.push(program);
                        self.links.push(link);
                    }
                    self.tracepoints.push(tracepoint.name);
                    return;
                }
                Err(cause) => cause,
            }
        } else {
            "the kernel's type information (/sys/kernel/btf/vmlinux) is missing or lacks what it needs"
                .to_owned()
        };
        self.blind_spots.push(BlindSpot {
            id: tracepoint.name,
            stages: tracepoint.stages.to_vec(),
            text: format!("tracepoint {}: {cause}; not seen: {}", tracepoint.name, tracepoint.loss),
        });
    }

    /// Hooks up what tells more where it can be, and whose absence leaves nothing unseen.
    fn refine(&mut self, types: &Types) {
        match tracepoints::hook_up_full_queues(&mut self.object, types) {
            // Not among those whose skipped runs are losses: without it nothing is missed.
            Ok(link) => {
                self.tracepoints.push(FULL_QUEUES);
                self.links.push(link);
            }
            Err(error) => log::debug!("{FULL_QUEUES}: {}", refusal(FULL_QUEUES, &error)),
        }
    }

    /// The programs' own debug lines, where somebody wants to read them.
    pub fn log(&mut self) -> Option<EbpfLogger<&'static dyn log::Log>> {
        if !is_debugging() {
            return None;
        }
        let log = EbpfLogger::init(&mut self.object);
        log.inspect_err(|error| log::warn!("the programs' own log cannot be read: {error}")).ok()
    }

    /// One of the tc programs, loaded.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn classifier(&mut self, name: &str) -> Result<&mut SchedClassifier, ProgramError> {
        let program = self.object.program_mut(name).ok_or(ProgramError::NotLoaded)?;
        let program: &mut SchedClassifier = program.try_into()?;
        if program.fd().is_err() {
            program.load()?;
        }
        Ok(program)
    }

    /// Lets go of the object: of instructions, and of maps that nobody here reads. What was hooked up runs on.
    pub fn settle(self) -> Running {
        let loaded = self.object.programs().filter_map(|(name, program)| {
            let descriptor = program.fd().ok()?.as_fd().try_clone_to_owned();
            let descriptor = descriptor
                .inspect_err(|error| log::warn!("runs of {name} that are skipped go unseen: {error}"));
            let info =
                program.info().inspect_err(|error| log::warn!("{name} is taken for another's: {error}"));
            let is_alone = self.alone.contains(&name);
            Some(Loaded { name: name.to_owned(), id: info.ok()?.id(), descriptor: descriptor.ok(), is_alone })
        });
        Running::new(self.tracepoints, loaded.collect(), self.links, self.seat)
    }
}

#[cfg(test)]
mod tests {
    use super::drop_entries;

    #[test]
    fn the_table_of_drops_is_as_large_as_sources_and_ports_may_need() {
        let sizes = [(1, 1), (68, 1), (68, 3), (68, 64), (u32::MAX, 2)]
            .map(|(slots, ports)| drop_entries(slots, ports));
        assert_eq!(sizes, [256, 1088, 3264, 4096, 4096]);
    }
}
