//! What others may have attached to the same interface: a tc program that counts, one that does nothing (also the
//! base line of the measurements), one that counts the customary way, and an XDP program that drops. And what a flood of
//! SYNs is made and swallowed by.
#![no_std]
#![no_main]

mod flood;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{TC_ACT_OK, TC_ACT_SHOT, xdp_action},
    btf_maps::{HashMap, LpmTrie, PerCpuArray, PerCpuHashMap, lpm_trie::Key},
    helpers,
    macros::{btf_map, classifier, raw_tracepoint, xdp},
    programs::{RawTracePointContext, TcContext, XdpContext},
};

const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const SYN: u8 = 0x02;
const SYN_AND_ACK: u8 = 0x12;

/// SYNs that `other_tc` saw.
#[btf_map]
static OTHER_SEEN: PerCpuArray<u64, 1> = PerCpuArray::new();

/// What `trie_and_hash` looks up: sources with their class, watched ports, and the count of each (class, port).
#[btf_map]
static CUSTOMARY_SOURCES: LpmTrie<[u8; 4], u32, 16384> = LpmTrie::new();

#[btf_map]
static CUSTOMARY_PORTS: HashMap<u16, u32, 64> = HashMap::new();

#[btf_map]
static CUSTOMARY_COUNTS: PerCpuHashMap<u64, u64, 64> = PerCpuHashMap::new();

/// Last 32 bits of the source address whose SYNs `drop_in_front` and `other_tc` drop, host order; 0 for nobody.
#[unsafe(no_mangle)]
static DROPPED_SOURCE: u32 = 0;

/// Somebody else's tc program: counts SYNs, drops those of one source, and ends the chain.
#[classifier]
pub fn other_tc(context: TcContext) -> i32 {
    let syn_from = read_tc::<2>(&context, 12).and_then(|kind| {
        let (next, flags) = offsets(u16::from_be_bytes(kind))?;
        let is_tcp = read_tc::<1>(&context, next)? == [TCP];
        let is_syn = is_tcp && read_tc::<1>(&context, flags)?[0] & SYN_AND_ACK == SYN;
        if is_syn { read_tc(&context, source(next)).map(u32::from_be_bytes) } else { None }
    });
    let Some(syn_from) = syn_from else { return TC_ACT_OK };
    if let Some(seen) = OTHER_SEEN.get_ptr_mut(0) {
        // SAFETY: a non-null, aligned value of this CPU's own; a tc program does not interrupt itself.
        unsafe { *seen += 1 };
    }
    let dropped = dropped_source();
    if dropped != 0 && syn_from == dropped { TC_ACT_SHOT } else { TC_ACT_OK }
}

/// Drops the SYN-ACKs for the same address, on their way out.
#[classifier]
pub fn drop_replies(context: TcContext) -> i32 {
    let dropped = dropped_source();
    let matches = read_tc::<2>(&context, 12).and_then(|kind| {
        let (next, flags) = offsets(u16::from_be_bytes(kind))?;
        let is_tcp = read_tc::<1>(&context, next)? == [TCP];
        let is_reply = read_tc::<1>(&context, flags)?[0] & SYN_AND_ACK == SYN_AND_ACK;
        Some(is_tcp && is_reply && u32::from_be_bytes(read_tc(&context, destination(next))?) == dropped)
    });
    if matches == Some(true) { TC_ACT_SHOT } else { TC_ACT_OK }
}

/// Nothing: what calling a program costs by itself.
#[classifier]
pub fn empty_tc(_context: TcContext) -> i32 {
    -1
}

/// The same on the way of a packet that is thrown away.
#[raw_tracepoint(tracepoint = "kfree_skb")]
pub fn empty_drop(_context: RawTracePointContext) -> i32 {
    0
}

/// Counts SYNs for watched ports by class of source, as it is customary: a trie for the source, hashes for the rest.
#[classifier]
pub fn trie_and_hash(context: TcContext) -> i32 {
    let _not_counted = count_customary(&context);
    -1
}

#[inline(always)]
fn count_customary(context: &TcContext) -> Option<()> {
    let packet = (context.data(), context.data_end());
    let headers: [u8; 34] = read(packet, 0)?;
    if u16::from_be_bytes([headers[12], headers[13]]) != ETH_P_IP || headers[14 + 9] != TCP {
        return None;
    }
    let tcp: [u8; 14] = read(packet, 14 + usize::from(headers[14] & 0x0f) * 4)?;
    if tcp[13] & SYN_AND_ACK != SYN {
        return None;
    }
    let port = u16::from_be_bytes([tcp[2], tcp[3]]);
    // SAFETY: entries are written before the program runs, and never removed.
    let port_index = unsafe { CUSTOMARY_PORTS.get(port) }?;
    let source = [headers[26], headers[27], headers[28], headers[29]];
    let class = CUSTOMARY_SOURCES.get(&Key::new(32, source)).map_or(0, |class| *class);
    let key = u64::from(class) << 32 | u64::from(*port_index);
    match CUSTOMARY_COUNTS.get_ptr_mut(key) {
        // SAFETY: a non-null, aligned value of this CPU's own; a tc program does not interrupt itself.
        Some(count) => unsafe { *count += 1 },
        None => CUSTOMARY_COUNTS.insert(key, 1, 0).ok()?,
    }
    Some(())
}

/// Drops the SYNs of one source in front of everything else.
#[xdp]
pub fn drop_in_front(context: XdpContext) -> u32 {
    let dropped = dropped_source();
    let matches = read_xdp::<2>(&context, 12).and_then(|kind| {
        let (next, flags) = offsets(u16::from_be_bytes(kind))?;
        let is_tcp = read_xdp::<1>(&context, next)? == [TCP];
        let is_syn = read_xdp::<1>(&context, flags)?[0] & SYN_AND_ACK == SYN;
        Some(is_tcp && is_syn && u32::from_be_bytes(read_xdp(&context, source(next))?) == dropped)
    });
    if matches == Some(true) { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}

#[inline(always)]
fn dropped_source() -> u32 {
    // SAFETY: an initialised static; the loader may have replaced the value, so the compiler must not know it.
    unsafe { core::ptr::read_volatile(&raw const DROPPED_SOURCE) }
}

/// Where the last 32 bits of the source address are, given where the next protocol is.
#[inline(always)]
fn source(next: usize) -> usize {
    if next == 23 { 14 + 12 } else { 14 + 8 + 12 }
}

/// The same of the destination.
#[inline(always)]
fn destination(next: usize) -> usize {
    if next == 23 { 14 + 16 } else { 14 + 24 + 12 }
}

/// Where the next protocol and the TCP flags are, in plain headers behind Ethernet.
#[inline(always)]
fn offsets(kind: u16) -> Option<(usize, usize)> {
    match kind {
        ETH_P_IP => Some((23, 14 + 20 + 13)),
        ETH_P_IPV6 => Some((20, 14 + 40 + 13)),
        _ => None,
    }
}

#[inline(always)]
fn read_tc<const BYTES: usize>(context: &TcContext, offset: usize) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    // SAFETY: the destination is as long as the length passed; the helper checks the offset.
    let failed = unsafe {
        helpers::generated::bpf_skb_load_bytes(
            context.as_ptr().cast_const(),
            offset as u32,
            bytes.as_mut_ptr().cast(),
            BYTES as u32,
        )
    };
    if failed == 0 { Some(bytes) } else { None }
}

#[inline(always)]
fn read_xdp<const BYTES: usize>(context: &XdpContext, offset: usize) -> Option<[u8; BYTES]> {
    // Not by the helper for it, which is of Linux 5.18.
    read((context.data(), context.data_end()), offset)
}

/// Bytes of the linear part of a packet, which begins and ends there.
#[inline(always)]
fn read<const BYTES: usize>((start, end): (usize, usize), offset: usize) -> Option<[u8; BYTES]> {
    let start = start + offset;
    if start + BYTES > end {
        return None;
    }
    // SAFETY: the packet ends behind what is read, and bytes have no alignment.
    Some(unsafe { core::ptr::read(start as *const [u8; BYTES]) })
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
