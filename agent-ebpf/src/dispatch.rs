//! One program per tracepoint for all targets of a node agent. It finds the target by its network namespace and goes on in
//! the target's own program; what befalls a namespace that is none of a target's costs one look-up, however many targets
//! there are.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[allow(dead_code, reason = "the targets' programs read the rest")]
mod kernel;
#[allow(dead_code, reason = "the targets' programs read packets")]
mod read;
mod target;
#[allow(dead_code, reason = "the targets' programs read members of known types")]
mod word;

use agent_common::config::SEATS;
use aya_ebpf::{
    btf_maps::{HashMap, ProgramArray},
    macros::{btf_map, raw_tracepoint},
    programs::RawTracePointContext,
};

use kernel::{Packet, Socket};

/// Seat of each target, by the inode number of its network namespace.
#[btf_map]
static SEAT_BY_INODE: HashMap<u32, u32, SEATS> = HashMap::new();

/// The targets' programs by seat, one table per tracepoint.
#[btf_map]
static DROP_PROGRAMS: ProgramArray<SEATS> = ProgramArray::new();
#[btf_map]
static STATE_PROGRAMS: ProgramArray<SEATS> = ProgramArray::new();
#[btf_map]
static SYNACK_PROGRAMS: ProgramArray<SEATS> = ProgramArray::new();

/// See the program of the same name in `main.rs`.
#[raw_tracepoint(tracepoint = "kfree_skb")]
pub fn kfree_skb(context: RawTracePointContext) -> i32 {
    go_on(&context, Packet::new(context.arg(0)).namespace(), &DROP_PROGRAMS)
}

/// See the program of the same name in `main.rs`.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn inet_sock_set_state(context: RawTracePointContext) -> i32 {
    go_on(&context, Socket::new(context.arg(0)).namespace(), &STATE_PROGRAMS)
}

/// See the program of the same name in `main.rs`.
#[raw_tracepoint(tracepoint = "tcp_retransmit_synack")]
pub fn tcp_retransmit_synack(context: RawTracePointContext) -> i32 {
    go_on(&context, Socket::new(context.arg(1)).namespace(), &SYNACK_PROGRAMS)
}

/// Goes on in the program of the target that lives there, if one does.
#[inline(always)]
fn go_on(
    context: &RawTracePointContext,
    namespace: Option<u32>,
    programs: &'static ProgramArray<SEATS>,
) -> i32 {
    // SAFETY: a copy of one word; userspace writes a seat once, before the namespace is anybody's.
    let seat = namespace.and_then(|inode| unsafe { SEAT_BY_INODE.get(inode) }.copied());
    if let Some(seat) = seat {
        // SAFETY: nothing here has anything to drop; an empty seat comes back and is passed over.
        unsafe { programs.tail_call(context, seat) };
    }
    0
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The helpers used here (bpf_probe_read_kernel) are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
