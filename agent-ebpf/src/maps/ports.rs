//! Which ports are watched.

use agent_common::config::{PORT_TRANSLATED, PortTable};
use aya_ebpf::Global;

use crate::bound::bounded;

/// A global: its address is part of the program, where a map would have to be looked up for every SYN.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.ports")]
static PORTS: Global<PortTable> = Global::new(PortTable { entries: [0; 65536] });

#[inline(always)]
fn entry(port: u16) -> u8 {
    let entries = (&raw const PORTS).cast::<u8>();
    // SAFETY: `Global` is a transparent wrapper around an initialised table of 65536 bytes, and the index is less. Volatile,
    // because userspace writes it.
    unsafe { entries.add(bounded::<65535>(PortTable::place(port))).read_volatile() }
}

/// Index of a port as it appears on the wire, if [`is_watched`].
#[inline(always)]
pub fn index_on_wire(port: u16) -> u32 {
    // Of no port it is the largest number of all.
    (entry(port) as u32).wrapping_sub(1)
}

/// Whether it is the index of a port that is watched, by one comparison.
#[inline(always)]
pub const fn is_watched(index: u32) -> bool {
    index < PORT_TRANSLATED as u32 - 1
}

/// Index of a port as it appears on the wire.
#[inline(always)]
pub fn on_wire(port: u16) -> Option<u32> {
    let index = index_on_wire(port);
    if is_watched(index) { Some(index) } else { None }
}

/// Index of a port as the host's own layers see it: also one that a watched port is translated to.
#[inline(always)]
pub fn any(port: u16) -> Option<u32> {
    let entry = entry(port) & !PORT_TRANSLATED;
    if entry == 0 { None } else { Some(entry as u32 - 1) }
}

/// Whether it is a port that a watched port is translated to.
#[inline(always)]
pub fn is_followed(port: u16) -> bool {
    entry(port) & PORT_TRANSLATED != 0
}
