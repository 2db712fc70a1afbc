//! Bounds-checked reading: the only place that turns an offset into a pointer.

use agent_common::packet::Bytes;
use aya_ebpf::{EbpfContext as _, cty::c_void, helpers, programs::TcContext};

/// The linear part of a packet, read by direct access (1 ns for a whole SYN).
pub struct Linear {
    start: usize,
    end: usize,
}

impl Linear {
    /// `start` and `end` are the context's `data` and `data_end`.
    #[inline(always)]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// Loads an unaligned big-endian value with a single instruction. A Rust read of an unaligned integer becomes one
/// load per byte on this target; the kernel allows the wide load on every architecture this builds for.
macro_rules! load {
    ($pointer:expr, $kind:ty, $width:literal) => {{
        #[cfg(target_arch = "bpf")]
        {
            let value: u64;
            // SAFETY: the caller compared the pointer and the width with the end of the packet, which the verifier
            // checks again; the instruction only reads.
            unsafe {
                core::arch::asm!(
                    concat!("{value} = *(", $width, " *)({pointer} + 0)"),
                    value = out(reg) value,
                    pointer = in(reg) $pointer,
                    options(pure, readonly, nostack),
                );
            }
            <$kind>::from_be(value as $kind)
        }
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: the caller compared the pointer and the width with the end of the packet.
        <$kind>::from_be(unsafe { core::ptr::read_unaligned($pointer as *const $kind) })
    }};
}

impl Bytes for Linear {
    #[inline(always)]
    fn u8_at(&self, offset: usize) -> Option<u8> {
        let pointer = self.start + offset;
        if pointer + 1 > self.end { None } else { Some(load!(pointer, u8, "u8")) }
    }
    #[inline(always)]
    fn u16_at(&self, offset: usize) -> Option<u16> {
        let pointer = self.start + offset;
        if pointer + 2 > self.end { None } else { Some(load!(pointer, u16, "u16")) }
    }
    #[inline(always)]
    fn u32_at(&self, offset: usize) -> Option<u32> {
        let pointer = self.start + offset;
        if pointer + 4 > self.end { None } else { Some(load!(pointer, u32, "u32")) }
    }
}

/// A packet whose headers are not all in the linear part: read through the helper (15 ns and more).
pub struct Paged<'a>(pub &'a TcContext);

impl Paged<'_> {
    #[inline(always)]
    fn load<const BYTES: usize>(&self, offset: usize) -> Option<[u8; BYTES]> {
        let mut bytes = [0; BYTES];
        // SAFETY: the destination is as long as the length passed; the helper checks offset and length.
        let failed = unsafe {
            helpers::generated::bpf_skb_load_bytes(
                self.0.as_ptr().cast_const(),
                offset as u32,
                bytes.as_mut_ptr().cast::<c_void>(),
                BYTES as u32,
            )
        };
        if failed == 0 { Some(bytes) } else { None }
    }
}

impl Bytes for Paged<'_> {
    #[inline(always)]
    fn u8_at(&self, offset: usize) -> Option<u8> {
        self.load::<1>(offset).map(|bytes| bytes[0])
    }
    #[inline(always)]
    fn u16_at(&self, offset: usize) -> Option<u16> {
        self.load(offset).map(u16::from_be_bytes)
    }
    #[inline(always)]
    fn u32_at(&self, offset: usize) -> Option<u32> {
        self.load(offset).map(u32::from_be_bytes)
    }
}

/// Kernel memory under a tracepoint.
pub struct Kernel(pub u64);

impl Kernel {
    /// Copies a value; `None` when the address cannot be read.
    #[inline(always)]
    pub fn load<T: Copy>(&self, offset: usize) -> Option<T> {
        // SAFETY: bpf_probe_read_kernel takes any address and fails on one that is not mapped.
        unsafe { helpers::bpf_probe_read_kernel((self.0 + offset as u64) as *const T) }.ok()
    }
}

impl Bytes for Kernel {
    #[inline(always)]
    fn u8_at(&self, offset: usize) -> Option<u8> {
        self.load(offset)
    }
    #[inline(always)]
    fn u16_at(&self, offset: usize) -> Option<u16> {
        self.load(offset).map(u16::from_be_bytes)
    }
    #[inline(always)]
    fn u32_at(&self, offset: usize) -> Option<u32> {
        self.load(offset).map(u32::from_be_bytes)
    }
}
