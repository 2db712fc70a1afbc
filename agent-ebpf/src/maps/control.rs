//! What userspace changes while the programs run.
//!
//! A global: its address is part of the program, where a map would have to be looked up for every packet.

use agent_common::{config::Control, strides::Root};
use aya_ebpf::Global;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.control")]
static CONTROL: Global<Control> = Global::new(Control::EMPTY);

/// Reads one field. Volatile, because userspace writes it.
macro_rules! control {
    ($($field:tt)+) => {
        // SAFETY: `Global` is a transparent wrapper around an initialised `Control`, and the static lives as long as the
        // program; each field that is read so is one word.
        unsafe { core::ptr::read_volatile(&raw const (*(&raw const CONTROL).cast::<Control>()).$($field)+) }
    };
}

/// Which table of sources is in force.
#[inline(always)]
pub fn active_table() -> u32 {
    control!(active_table)
}

/// Where the search for an IPv4 source begins in a table.
#[inline(always)]
pub fn root(table: u32) -> Root {
    // Userspace writes only the root of the table that is not in force.
    if table == 0 { control!(roots[0]) } else { control!(roots[1]) }
}

/// Whether the NLB's nodes are to be learned by what senders do.
#[inline(always)]
pub fn learns() -> bool {
    control!(learns) != 0
}

/// Whether connections on unwatched ports are of interest.
#[inline(always)]
pub fn hunts_translation() -> bool {
    control!(hunt_translation) != 0
}

/// Whether SYNs of NLB nodes for unwatched ports are of interest.
#[inline(always)]
pub fn hunts_strays() -> bool {
    control!(hunt_strays) != 0
}
