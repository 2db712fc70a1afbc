//! The programs. They only observe: every tc program returns "next", nothing is dropped, changed or redirected.
//!
//! One file per hook; `maps/` holds what they write, each map behind functions of its own file; `read.rs` and
//! `word.rs` are the only places that turn an offset into a pointer.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod answer;
mod atomic;
mod bound;
mod drop;
mod egress;
mod ingress;
mod kernel;
mod maps;
mod opening;
mod queue;
mod read;
mod record;
mod retransmit;
mod see;
mod source;
mod state;
mod target;
mod typed;
mod word;

use aya_ebpf::{
    bindings::__sk_buff,
    cty::c_void,
    macros::{btf_tracepoint, classifier, fentry, raw_tracepoint},
    programs::{BtfTracePointContext, FEntryContext, RawTracePointContext, TcContext, TracePointContext},
};

/// `TCX_NEXT` and `TC_ACT_UNSPEC` are both -1: whoever comes after this program still runs (include/uapi/linux/bpf.h
/// and pkt_cls.h, v6.6).
const NEXT: i32 = -1;

/// What a classic tracepoint's program says for others to see the event, too: with 0 it would be kept from everybody who listens by
/// perf (`perf_trace_run_bpf_submit`, kernel/events/core.c, v6.1). aya's own attribute makes every such program say 0.
const GO_ON: u32 = 1;

/// Counts inbound SYNs, and looks at what connections from the NLB's nodes begin with. The name shows in `tc filter show` and
/// `bpftool net`, and is how a stale filter is recognised.
#[classifier]
#[inline(always)]
pub fn hct_ingress(context: TcContext) -> i32 {
    ingress::count::<true>(&context);
    NEXT
}

/// Counts inbound SYNs only, where the kernel refuses the one that looks, too.
#[classifier]
#[inline(always)]
pub fn hct_ingress_syn(context: TcContext) -> i32 {
    ingress::count::<false>(&context);
    NEXT
}

/// Counts outbound SYN-ACKs and the RSTs that refuse a SYN, and looks at how connections from the NLB's nodes are answered.
#[classifier]
#[inline(always)]
pub fn hct_egress(context: TcContext) -> i32 {
    egress::count::<true>(&context);
    NEXT
}

/// Counts outbound SYN-ACKs and refusals only, where the kernel refuses the one that looks, too.
#[classifier]
#[inline(always)]
pub fn hct_egress_syn(context: TcContext) -> i32 {
    egress::count::<false>(&context);
    NEXT
}

/// Files drops of handshake packets by reason.
#[raw_tracepoint(tracepoint = "kfree_skb")]
pub fn kfree_skb(context: RawTracePointContext) -> i32 {
    drop::record(&context);
    0
}

/// The same, where the kernel knows the types of the arguments: a third of the time.
#[btf_tracepoint(function = "kfree_skb")]
pub fn kfree_skb_typed(context: BtfTracePointContext) -> i32 {
    drop::record_typed(&context);
    0
}

/// The same, where the kernel refuses raw tracepoints.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tracepoint/skb/kfree_skb")]
pub extern "C" fn kfree_skb_parsed(context: *mut c_void) -> u32 {
    drop::record_parsed(&TracePointContext::new(context));
    GO_ON
}

/// Counts SYNs that meet a full accept queue.
#[fentry(function = "tcp_conn_request")]
pub fn tcp_conn_request(context: FEntryContext) -> i32 {
    queue::record(&context);
    0
}

/// Counts completed handshakes and how connections end.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn inet_sock_set_state(context: RawTracePointContext) -> i32 {
    state::record(&context);
    0
}

/// The same, where the kernel refuses raw tracepoints.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tracepoint/sock/inet_sock_set_state")]
pub extern "C" fn inet_sock_set_state_parsed(context: *mut c_void) -> u32 {
    state::record_parsed(&TracePointContext::new(context));
    GO_ON
}

/// Counts SYN-ACKs sent again.
#[raw_tracepoint(tracepoint = "tcp_retransmit_synack")]
pub fn tcp_retransmit_synack(context: RawTracePointContext) -> i32 {
    retransmit::record(&context);
    0
}

/// The same, where the kernel refuses raw tracepoints.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tracepoint/tcp/tcp_retransmit_synack")]
pub extern "C" fn tcp_retransmit_synack_parsed(context: *mut c_void) -> u32 {
    retransmit::record_parsed(&TracePointContext::new(context));
    GO_ON
}

/// The packet of a tc context, and its length with the part that is not linear.
fn packet_bytes(skb: *mut __sk_buff) -> (usize, usize, usize) {
    // SAFETY: the kernel passes a valid context; these three fields are readable by every sched_cls program.
    unsafe { ((*skb).data as usize, (*skb).data_end as usize, (*skb).len as usize) }
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
