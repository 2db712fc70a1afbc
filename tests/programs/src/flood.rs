//! A flood of SYNs: an XDP program that makes each out of the one before, and tc programs in which they end.

use aya_ebpf::{
    bindings::{TC_ACT_OK, TC_ACT_SHOT, TC_ACT_STOLEN, xdp_action},
    btf_maps::PerCpuArray,
    helpers,
    macros::{btf_map, classifier, xdp},
    programs::{TcContext, XdpContext},
};

use crate::{ETH_P_IP, SYN, SYN_AND_ACK, TCP};

/// Where fields are in a SYN without options behind Ethernet.
const SOURCE: usize = 14 + 12;
const IP_CHECKSUM: usize = 14 + 10;
const PORT: usize = 14 + 20;
const TCP_CHECKSUM: usize = 14 + 20 + 16;
const FLAGS: usize = 14 + 20 + 13;
const LENGTH: usize = 14 + 20 + 20;

/// Index of the interface that the flood leaves through.
#[unsafe(no_mangle)]
static FLOOD_INTERFACE: u32 = 0;

/// Sources of the flood, host order: the bits that all of them have, and those that are drawn.
#[unsafe(no_mangle)]
static FLOOD_BASE: u32 = 0;
#[unsafe(no_mangle)]
static FLOOD_DRAWN: u32 = 0;

/// SYNs that `sink` swallowed, by the lower 14 bits of their source's upper 24.
#[btf_map]
static SUNK: PerCpuArray<u64, 16384> = PerCpuArray::new();

/// Gives a SYN another source and port, and sends it. The kernel uses its frames again and again as they are left behind, each
/// with checksums that are right.
#[xdp]
pub fn flood(context: XdpContext) -> u32 {
    let start = context.data();
    if start + LENGTH > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: takes nothing.
    let (drawn, port) = unsafe {
        (helpers::generated::bpf_get_prandom_u32(), helpers::generated::bpf_get_prandom_u32() as u16)
    };
    let source = global(&raw const FLOOD_BASE) | drawn & global(&raw const FLOOD_DRAWN);
    let new = [(source >> 16) as u16, source as u16, port | 1024];
    let mut addresses = 0;
    let mut ports = 0;
    for (place, word) in [SOURCE, SOURCE + 2, PORT].into_iter().zip(new) {
        let change = replace(start, place, word);
        // The port is not in the header of IP.
        if place == PORT { ports += change } else { addresses += change }
    }
    correct(start, IP_CHECKSUM, addresses);
    correct(start, TCP_CHECKSUM, addresses + ports);
    // SAFETY: takes two numbers.
    unsafe { helpers::generated::bpf_redirect(global(&raw const FLOOD_INTERFACE), 0) as u32 }
}

/// Replaces a word of the frame, and returns by how much their complement sum grew.
#[inline(always)]
fn replace(start: usize, place: usize, word: u16) -> u32 {
    let field = (start + place) as *mut [u8; 2];
    // SAFETY: within the frame, which was held against its end, and bytes have no alignment.
    let old = unsafe { core::ptr::replace(field, word.to_be_bytes()) };
    u32::from(!u16::from_be_bytes(old)) + u32::from(word)
}

/// Corrects a checksum for what grew (RFC 1624, equation 3).
#[inline(always)]
fn correct(start: usize, place: usize, grown: u32) {
    let field = (start + place) as *mut [u8; 2];
    // SAFETY: within the frame, which was held against its end, and bytes have no alignment.
    let old = unsafe { core::ptr::read(field) };
    let mut sum = u32::from(!u16::from_be_bytes(old)) + grown;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    // SAFETY: as above.
    unsafe { core::ptr::write(field, (!(sum as u16)).to_be_bytes()) };
}

/// Counts SYNs without options of IP by source, and drops them.
#[classifier]
pub fn sink(context: TcContext) -> i32 {
    let start = context.data();
    if start + LENGTH > context.data_end() {
        return TC_ACT_OK;
    }
    // SAFETY: all of it is in front of the packet's end, and bytes have no alignment.
    let frame = unsafe { &*(start as *const [u8; LENGTH]) };
    let is_tcp = frame[12..14] == ETH_P_IP.to_be_bytes() && frame[14] == 0x45 && frame[14 + 9] == TCP;
    if !is_tcp || frame[FLAGS] & SYN_AND_ACK != SYN {
        return TC_ACT_OK;
    }
    let index = u32::from_be_bytes([0, frame[SOURCE], frame[SOURCE + 1], frame[SOURCE + 2]]) & 0x3fff;
    if let Some(sunk) = SUNK.get_ptr_mut(index) {
        // SAFETY: a non-null, aligned value of this CPU's own; a tc program does not interrupt itself.
        unsafe { *sunk += 1 };
    }
    TC_ACT_SHOT
}

/// Takes everything, of which the kernel says to nobody that it was dropped.
#[classifier]
pub fn swallow(_context: TcContext) -> i32 {
    TC_ACT_STOLEN
}

#[inline(always)]
fn global(value: *const u32) -> u32 {
    // SAFETY: an initialised static; the loader may have replaced the value, so the compiler must not know it.
    unsafe { core::ptr::read_volatile(value) }
}
