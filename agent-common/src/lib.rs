//! Types and rules that the eBPF programs and the agent share.
//!
//! Byte order: addresses in shared tables are kept as the kernel reads them from the packet and turned into
//! host order once (see [`prefix`]); ports are host order. Every shared struct is `repr(C)` without implicit
//! padding, and its size is asserted next to its definition, because both sides must agree to the byte.
//!
//! Reading order: [`packet`] (what a segment is), [`usual`] (what nearly every packet is), [`prefix`] (who sent it), [`tally`] (what is counted),
//! [`opening`] (what a peer's first bytes say), [`answer`] (what those of the answer do), [`drop`] (what was thrown away), [`config`] (what userspace hands to the programs).
#![cfg_attr(not(test), no_std)]

pub mod answer;
pub mod config;
pub mod drop;
pub mod opening;
pub mod packet;
pub mod prefix;
pub mod strides;
pub mod tally;
pub mod usual;

/// Implements [`aya::Pod`] for shared structs.
macro_rules! pod {
    ($($name:ty),+ $(,)?) => {
        $(
            // SAFETY: repr(C), only integer fields (or arrays of them), no padding (size asserted beside the
            // type), and every bit pattern is a valid value.
            #[cfg(feature = "user")]
            unsafe impl aya::Pod for $name {}
        )+
    };
}
pub(crate) use pod;
