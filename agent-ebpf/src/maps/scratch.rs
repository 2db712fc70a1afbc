//! Room for a few hundred bytes of a packet: the stack is too small.

use aya_ebpf::{EbpfContext as _, btf_maps::PerCpuArray, helpers, macros::btf_map, programs::TcContext};

/// As long as the longest that is asked for.
const BYTES: usize = agent_common::opening::HEAD_BYTES;

#[btf_map]
static SCRATCH: PerCpuArray<[u8; BYTES], 1> = PerCpuArray::new();

/// Copies what follows `offset` in a packet, `BYTES` at most, and says how much that was; `None` when it is less than
/// `LEAST`. What lies behind is left over from another packet.
#[inline(always)]
pub fn load<const LEAST: usize>(context: &TcContext, offset: usize) -> Option<(&'static [u8; BYTES], usize)> {
    let room = SCRATCH.get_ptr_mut(0)?;
    let available = (context.len() as usize).checked_sub(offset)?;
    let length = bounded(available.min(BYTES));
    if length < LEAST {
        return None;
    }
    // SAFETY: the destination holds BYTES, and `length` is no more; the helper checks the packet's own end.
    let failed = unsafe {
        helpers::generated::bpf_skb_load_bytes(
            context.as_ptr().cast_const(),
            offset as u32,
            room.cast(),
            length as u32,
        )
    };
    // SAFETY: a non-null map value of this CPU that lives as long as the program; softirqs are off, so no other tc
    // program of ours writes it meanwhile.
    if failed == 0 { Some((unsafe { &*room }, length)) } else { None }
}

/// Keeps the compiler from comparing one copy of the length and passing another on, of which the verifier then knows
/// nothing.
#[inline(always)]
fn bounded(length: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut length = length;
        // SAFETY: one instruction on one register; a mask that changes nothing that is in range.
        unsafe { core::arch::asm!("{0} &= 1023", inout(reg) length, options(pure, nomem, nostack)) };
        if length > BYTES { 0 } else { length }
    }
    #[cfg(not(target_arch = "bpf"))]
    length
}
