//! Which ports are watched.

use agent_common::config::{PORT_TRANSLATED, PortTable};
use aya_ebpf::Global;

/// A global: its address is part of the program, where a map would have to be looked up for every SYN.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.ports")]
static PORTS: Global<PortTable> = Global::new(PortTable { entries: [0; 65536] });

#[inline(always)]
fn entry(port: u16) -> u8 {
    let entries = (&raw const PORTS).cast::<u8>();
    // SAFETY: `Global` is a transparent wrapper around an initialised table of 65536 bytes, and the index is less. Volatile,
    // because userspace writes it.
    unsafe { entries.add(bounded(port)).read_volatile() }
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

/// Whether it is a port that a watched port is translated to.
#[inline(always)]
pub fn is_followed(port: u16) -> bool {
    entry(port) & PORT_TRANSLATED != 0
}
