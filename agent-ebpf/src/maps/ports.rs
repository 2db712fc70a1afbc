//! Which ports are watched.

use agent_common::config::{PORT_TRANSLATED, PortTable};
use aya_ebpf::{btf_maps::Array, macros::btf_map};

#[btf_map]
static PORTS: Array<PortTable, 1> = Array::new();

#[inline(always)]
fn entry(port: u16) -> u8 {
    PORTS.get(0).map_or(0, |table| table.entries[bounded(port)])
}

/// A port whose bounds the verifier of every kernel sees. Older ones (6.1) take a register that was byte-swapped for any
/// number, and the compiler leaves out a mask that changes nothing.
#[inline(always)]
fn bounded(port: u16) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut index = port as usize;
        // SAFETY: one instruction on one register.
        unsafe { core::arch::asm!("{0} &= 65535", inout(reg) index, options(pure, nomem, nostack)) };
        // SAFETY: what was masked with 65535 is not larger.
        unsafe { core::hint::assert_unchecked(index <= 65535) };
        index
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        port as usize
    }
}

/// Index of a port as it appears on the wire.
#[inline(always)]
pub fn on_wire(port: u16) -> Option<u32> {
    let entry = entry(port);
    if entry == 0 || entry & PORT_TRANSLATED != 0 { None } else { Some(entry as u32 - 1) }
}

/// Index of a port as the host's own layers see it: also one that a watched port is translated to.
#[inline(always)]
pub fn any(port: u16) -> Option<u32> {
    let entry = entry(port) & !PORT_TRANSLATED;
    if entry == 0 { None } else { Some(entry as u32 - 1) }
}
