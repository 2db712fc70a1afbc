//! Senders by address, as the programs last saw them.

use std::net::{IpAddr, Ipv6Addr};

use agent_common::tally::{MUTE, RecentSource, RecentSources, SAID};
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};

use crate::kernel::maps::{MapAccessError, at, take};

/// A sender that shares a tally with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentSender {
    /// Address.
    pub address: IpAddr,
    /// Slot it was counted in.
    pub slot: u32,
}

/// Senders by address.
pub struct Senders {
    recent: PerCpuArray<MapData, RecentSources>,
    checkers: PerCpuArray<MapData, RecentSources>,
}

impl Senders {
    /// Takes the maps out of a loaded object.
    ///
    /// # Errors
    ///
    /// When one is missing or of another kind.
    pub fn take(object: &mut Ebpf) -> Result<Self, MapAccessError> {
        Ok(Self { recent: take(object, "RECENT")?, checkers: take(object, "CHECKERS")? })
    }

    /// Those that share a tally, as last seen on any CPU.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn recent(&self) -> Result<Vec<RecentSender>, MapAccessError> {
        let cells = cells(&self.recent, 0).map_err(at("RECENT"))?;
        let senders = cells.iter().map(|cell| RecentSender { address: address(cell), slot: cell.slot });
        Ok(once(senders))
    }

    /// Those that nobody named and that called themselves a health check, then those that were served without having sent
    /// anything.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn checkers(&self) -> Result<(Vec<IpAddr>, Vec<IpAddr>), MapAccessError> {
        let of = |kind| -> Result<Vec<IpAddr>, MapAccessError> {
            let cells = cells(&self.checkers, kind).map_err(at("CHECKERS"))?;
            Ok(once(cells.iter().map(address)))
        };
        Ok((of(SAID)?, of(MUTE)?))
    }
}

fn cells(
    map: &PerCpuArray<MapData, RecentSources>,
    index: u32,
) -> Result<Vec<RecentSource>, aya::maps::MapError> {
    let per_cpu = map.get(&index, 0)?;
    Ok(per_cpu.iter().flat_map(|cpu| cpu.cells).filter(|cell| cell.address != [0; 16]).collect())
}

fn address(cell: &RecentSource) -> IpAddr {
    let address = Ipv6Addr::from(cell.address);
    address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
}

fn once<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    all.for_each(|one| {
        if !seen.contains(&one) {
            seen.push(one);
        }
    });
    seen
}
