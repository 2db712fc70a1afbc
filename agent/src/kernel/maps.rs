//! Typed access to the programs' maps.

use std::{collections::BTreeMap, os::fd::AsFd as _};

use agent_common::{
    config::{Control, PORT_TRANSLATED, PortTable},
    drop::{DropKey, ElsewhereKey, Stray},
    tally::{Loss, Manners, Tally},
};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap},
};

use crate::{
    domain::sources::SourceTable,
    kernel::{batch::Batched, probe_table::ProbeTable, senders::Senders, source_maps::SourceMaps},
};

/// A map is missing or refuses.
#[derive(Debug, thiserror::Error)]
pub enum MapAccessError {
    /// The object has no such map.
    #[error("eBPF map {0} is missing from the object")]
    Missing(&'static str),
    /// The kernel refuses.
    #[error("eBPF map {name}: {source}")]
    Access {
        /// Map.
        name: &'static str,
        /// Cause.
        source: MapError,
    },
}

/// Sections of globals that the programs read, each a map of one value.
const PORTS: &str = ".bss.ports";
const CONTROL: &str = ".data.control";

/// The maps of one target.
pub struct Maps {
    tallies: Batched<Tally>,
    manners: Batched<Manners>,
    drops: PerCpuHashMap<MapData, DropKey, u64>,
    elsewhere: HashMap<MapData, ElsewhereKey, u64>,
    strays: HashMap<MapData, ElsewhereKey, Stray>,
    loss: PerCpuArray<MapData, Loss>,
    /// Senders by address.
    pub senders: Senders,
    /// Connections that began like a health check.
    pub probes: ProbeTable,
    ports: Array<MapData, PortTable>,
    control: Array<MapData, Control>,
    sources: SourceMaps,
    state: Control,
    port_count: u32,
}

/// What one slot and port counted, on all CPUs.
pub struct Counted {
    /// Slot.
    pub slot: u32,
    /// Index of the port.
    pub port_index: u32,
    /// Handshakes.
    pub tally: Tally,
    /// How connections behaved.
    pub manners: Manners,
}

/// So many entries are read one by one.
const FEW: usize = 8;

/// What all CPUs counted together.
fn sum<T: Default>(per_cpu: &[T], add: impl Fn(&mut T, &T)) -> T {
    let mut sum = T::default();
    per_cpu.iter().for_each(|one| add(&mut sum, one));
    sum
}

pub(super) fn take<T>(object: &mut Ebpf, name: &'static str) -> Result<T, MapAccessError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = object.take_map(name).ok_or(MapAccessError::Missing(name))?;
    T::try_from(map).map_err(|source| MapAccessError::Access { name, source })
}

/// One that the kernel keeps globals of the programs in, by a descriptor of its own: with the loader's goes a copy of what they
/// began with, 192 KiB for a target. Programs that are loaded later would know it by a number that is somebody else's then.
pub(super) fn take_globals<V: Pod>(
    object: &mut Ebpf,
    name: &'static str,
) -> Result<Array<MapData, V>, MapAccessError> {
    let Some(Map::Array(loaded)) = object.take_map(name) else { return Err(MapAccessError::Missing(name)) };
    let descriptor = loaded.fd().as_fd().try_clone_to_owned();
    let again = descriptor.map_err(MapError::IoError).and_then(MapData::from_fd);
    again.and_then(|map| Array::try_from(Map::Array(map))).map_err(at(name))
}

pub(super) fn at(name: &'static str) -> impl Fn(MapError) -> MapAccessError {
    move |source| MapAccessError::Access { name, source }
}

/// A removal, which is a success when there is nothing to remove.
pub(super) fn if_there(removed: Result<(), MapError>) -> Result<(), MapError> {
    was_there(removed).map(|_either_way| ())
}

/// Whether a removal found something to remove.
pub(super) fn was_there(removed: Result<(), MapError>) -> Result<bool, MapError> {
    match removed {
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => {
            Ok(false)
        }
        other => other.map(|()| true),
    }
}

impl Maps {
    /// Takes the maps out of an object, after which no more of its programs can be loaded.
    ///
    /// # Errors
    ///
    /// When one is missing or of another kind.
    pub fn take(object: &mut Ebpf, port_count: u32) -> Result<Self, MapAccessError> {
        Ok(Self {
            tallies: Batched::take(object, "TALLIES")?,
            manners: Batched::take(object, "MANNERS")?,
            drops: take(object, "DROPS")?,
            elsewhere: take(object, "ELSEWHERE")?,
            strays: take(object, "STRAYS")?,
            loss: take(object, "LOSS")?,
            senders: Senders::take(object)?,
            probes: ProbeTable::take(object)?,
            ports: take_globals(object, PORTS)?,
            control: take_globals(object, CONTROL)?,
            sources: SourceMaps::take(object)?,
            state: Control::EMPTY,
            port_count,
        })
    }

    /// Says which ports are watched, in the order of their indices, and which local ports stand for one of them.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn write_ports(&mut self, ports: &[u16], translated: &[(u16, u16)]) -> Result<(), MapAccessError> {
        let mut table = Box::new(PortTable { entries: [0; 65536] });
        for (watched, local) in translated {
            if let Some(index) = ports.iter().position(|port| port == watched) {
                table.entries[PortTable::place(*local)] = (index as u8 + 1) | PORT_TRANSLATED;
            }
        }
        for (index, port) in ports.iter().enumerate() {
            table.entries[PortTable::place(*port)] = index as u8 + 1;
        }
        self.ports.set(0, *table, 0).map_err(at(PORTS))
    }

    /// Puts a table of sources in force, in one step as far as packets are concerned.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn write_sources(&mut self, sources: &SourceTable) -> Result<(), MapAccessError> {
        let next = 1 - self.state.active_table;
        let mut roots = self.state.roots;
        roots[next as usize] = self.sources.write(next, sources)?;
        // In two steps, because the kernel copies the words of a value in no order that it promises.
        self.write_control(Control { roots, ..self.state })?;
        self.write_control(Control { active_table: next, ..self.state })
    }

    /// Remembers senders that behave like an NLB's node from now on.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn learn(&mut self) -> Result<(), MapAccessError> {
        self.write_control(Control { learns: 1, ..self.state })
    }

    /// Starts or stops counting connections on unwatched ports.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn hunt_translation(&mut self, hunt: bool) -> Result<(), MapAccessError> {
        let state = Control { hunt_translation: u32::from(hunt), ..self.state };
        if state == self.state { Ok(()) } else { self.write_control(state) }
    }

    /// Starts or stops counting SYNs of NLB nodes for unwatched ports.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn hunt_strays(&mut self, hunt: bool) -> Result<(), MapAccessError> {
        let state = Control { hunt_strays: u32::from(hunt), ..self.state };
        if state == self.state { Ok(()) } else { self.write_control(state) }
    }

    fn write_control(&mut self, state: Control) -> Result<(), MapAccessError> {
        self.control.set(0, state, 0).map_err(at(CONTROL))?;
        self.state = state;
        Ok(())
    }

    /// The tally of a slot and a port index, summed over the CPUs.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn tally(&self, slot: u32, port_index: u32) -> Result<Tally, MapAccessError> {
        Ok(sum(&self.tallies.one(slot * self.port_count + port_index)?, Tally::add))
    }

    /// Tallies and manners of the first `slots`, summed over the CPUs, of those that counted something.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn counted(&self, slots: u32) -> Result<Vec<Counted>, MapAccessError> {
        let mut tallies = Vec::new();
        self.tallies.each(slots * self.port_count, |index, per_cpu| {
            let tally = sum(per_cpu, Tally::add);
            if tally != Tally::default() {
                tallies.push((index, tally));
            }
        })?;
        let Some((last, _)) = tallies.last() else { return Ok(Vec::new()) };
        let mut manners = BTreeMap::new();
        if tallies.len() > FEW {
            self.manners.each(last + 1, |index, per_cpu| {
                manners.insert(index, sum(per_cpu, Manners::add));
            })?;
        } else {
            for (index, _) in &tallies {
                manners.insert(*index, sum(&self.manners.one(*index)?, Manners::add));
            }
        }
        let with_manners = tallies.into_iter().map(|(index, tally)| Counted {
            slot: index / self.port_count,
            port_index: index % self.port_count,
            tally,
            manners: manners.get(&index).copied().unwrap_or_default(),
        });
        Ok(with_manners.collect())
    }

    /// All counted drops, summed over the CPUs.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn drops(&self) -> Result<Vec<(DropKey, u64)>, MapAccessError> {
        let sum = |entry: Result<(DropKey, aya::maps::PerCpuValues<u64>), MapError>| {
            entry.map(|(key, per_cpu)| (key, per_cpu.iter().sum())).map_err(at("DROPS"))
        };
        self.drops.iter().map(sum).collect()
    }

    /// Connections completed on unwatched ports.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn elsewhere(&self) -> Result<Vec<(ElsewhereKey, u64)>, MapAccessError> {
        self.elsewhere.iter().map(|entry| entry.map_err(at("ELSEWHERE"))).collect()
    }

    /// Connection attempts of NLB nodes on unwatched ports, by slot and port.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn strays(&self) -> Result<Vec<(ElsewhereKey, u64)>, MapAccessError> {
        let entries = self.strays.iter();
        entries.map(|entry| entry.map(|(key, stray)| (key, stray.attempts)).map_err(at("STRAYS"))).collect()
    }

    /// What the programs failed to record.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn loss(&self) -> Result<Loss, MapAccessError> {
        let per_cpu = self.loss.get(&0, 0).map_err(at("LOSS"))?;
        Ok(per_cpu.iter().fold(Loss::default(), |sum, one| Loss {
            drops: sum.drops + one.drops,
            elsewhere: sum.elsewhere + one.elsewhere,
            strays: sum.strays + one.strays,
            probes: sum.probes + one.probes,
        }))
    }
}

/// Keeps the bound visible where the maps are declared: values are copied as bytes.
const fn _values_are_plain<T: Pod>() {}
const _: () = _values_are_plain::<Tally>();
