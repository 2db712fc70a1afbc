//! Bounds-checked reading: with `word.rs`, the only places that turn an offset into a pointer.

use core::mem::MaybeUninit;

use agent_common::packet::Bytes;
use aya_ebpf::{EbpfContext, cty::c_void, helpers, programs::TcContext};

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

/// The first `WIDTH` bytes of the linear part, whose bounds were compared once for all of them.
pub struct Front<const WIDTH: usize>(usize);

/// Loads an unaligned big-endian value with a single instruction. A Rust read of an unaligned integer becomes one
/// load per byte on this target; the kernel allows the wide load on every architecture this builds for.
macro_rules! load {
    ($pointer:expr, $offset:expr, $kind:ty, $width:literal) => {{
        #[cfg(target_arch = "bpf")]
        {
            let value: u64;
            // SAFETY: the caller compared the pointer, the offset and the width with the end of the packet, which the
            // verifier checks again; the instruction only reads, and leaves zero above what it read.
            unsafe {
                core::arch::asm!(
                    concat!("{value} = *(", $width, " *)({pointer} + {offset})"),
                    value = out(reg) value,
                    pointer = in(reg) $pointer,
                    offset = const $offset,
                    options(pure, readonly, nostack),
                );
                core::hint::assert_unchecked(value <= <$kind>::MAX as u64);
            }
            <$kind>::from_be(value as $kind)
        }
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: the caller compared the pointer, the offset and the width with the end of the packet.
        <$kind>::from_be(unsafe { core::ptr::read_unaligned(($pointer + $offset) as *const $kind) })
    }};
}

/// The same at an offset that the compiler knows: one of these is part of the instruction, where any other is added to the
/// pointer first.
macro_rules! load_known {
    ($pointer:expr, $offset:expr, $kind:ty, $width:literal, $($known:literal)+) => {
        match $offset {
            $($known => load!($pointer, $known, $kind, $width),)+
            other => load!($pointer + other, 0, $kind, $width),
        }
    };
}

impl Linear {
    /// The first bytes, if there are so many.
    #[inline(always)]
    pub fn front<const WIDTH: usize>(&self) -> Option<Front<WIDTH>> {
        self.at::<WIDTH>(0).map(Front)
    }

    /// Where `WIDTH` bytes at an offset begin, if they lie in the packet.
    #[inline(always)]
    fn at<const WIDTH: usize>(&self, offset: usize) -> Option<usize> {
        let pointer = self.start + offset;
        if behind::<WIDTH>(pointer) > self.end { None } else { Some(pointer) }
    }
}

/// `pointer + WIDTH`, added where the compiler does not see it: it would turn `pointer + 1 > end` into
/// `pointer >= end`, from which the verifier learns nothing (find_good_pkt_pointers, kernel/bpf/verifier.c, v6.1).
#[inline(always)]
fn behind<const WIDTH: usize>(pointer: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut limit = pointer;
        // SAFETY: the instruction adds a constant to one register.
        unsafe {
            core::arch::asm!("{0} += {1}", inout(reg) limit, const WIDTH, options(pure, nomem, nostack));
        }
        limit
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        pointer + WIDTH
    }
}

impl Bytes for Linear {
    #[inline(always)]
    fn u8_at(&self, offset: usize) -> Option<u8> {
        self.at::<1>(offset).map(|pointer| load!(pointer, 0, u8, "u8"))
    }
    #[inline(always)]
    fn u16_at(&self, offset: usize) -> Option<u16> {
        self.at::<2>(offset).map(|pointer| load!(pointer, 0, u16, "u16"))
    }
    #[inline(always)]
    fn u32_at(&self, offset: usize) -> Option<u32> {
        self.at::<4>(offset).map(|pointer| load!(pointer, 0, u32, "u32"))
    }
    #[inline(always)]
    fn blurred(&self, offset: usize) -> Option<usize> {
        self.at::<2>(0).map(|pointer| blur(pointer, offset))
    }
}

impl<const WIDTH: usize> Front<WIDTH> {
    /// Whether so many bytes at an offset lie in it. Where the offset is constant, the compiler knows.
    #[inline(always)]
    const fn holds(&self, offset: usize, width: usize) -> bool {
        offset + width <= WIDTH
    }
}

impl<const WIDTH: usize> Bytes for Front<WIDTH> {
    #[inline(always)]
    fn u8_at(&self, offset: usize) -> Option<u8> {
        // SAFETY: the byte lies in what was compared with the end of the packet.
        if self.holds(offset, 1) { Some(unsafe { ((self.0 + offset) as *const u8).read() }) } else { None }
    }
    #[inline(always)]
    fn u16_at(&self, offset: usize) -> Option<u16> {
        if !self.holds(offset, 2) {
            return None;
        }
        Some(load_known!(self.0, offset, u16, "u16", 12 16 18 20 34 36 54 56))
    }
    #[inline(always)]
    fn u32_at(&self, offset: usize) -> Option<u32> {
        if !self.holds(offset, 4) {
            return None;
        }
        Some(load_known!(self.0, offset, u32, "u32", 22 26 30 34 38 42 46 50 58))
    }
}

/// Adds the difference of a value with itself, which is zero, and of which the verifier knows 16 bits nothing of. No offset
/// of a header is longer than 14 bits: six extension headers of 2 KiB.
#[inline(always)]
fn blur(pointer: usize, offset: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut offset = offset;
        // SAFETY: the caller compared the pointer and two bytes with the end of the packet, which the verifier checks
        // again; the instructions only read.
        unsafe {
            core::arch::asm!(
                "{one} = *(u16 *)({pointer} + 0)",
                "{two} = *(u16 *)({pointer} + 0)",
                "{one} ^= {two}",
                "{offset} += {one}",
                "{offset} &= 16383",
                one = out(reg) _,
                two = out(reg) _,
                offset = inout(reg) offset,
                pointer = in(reg) pointer,
                options(pure, readonly, nostack),
            );
        }
        offset
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _read_under_the_kernel_only = pointer;
        offset
    }
}

/// The argument of a tracepoint with a constant index. Several plain reads in one function the compiler folds
/// into one with a computed index, which the verifier refuses for a context.
#[inline(always)]
pub fn argument<const INDEX: usize>(context: &impl EbpfContext) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let value: u64;
        // SAFETY: the context holds twelve registers' worth of arguments at most; the verifier checks the index
        // against the tracepoint's own count.
        unsafe {
            core::arch::asm!(
                "{value} = *(u64 *)({context} + {offset})",
                value = out(reg) value,
                context = in(reg) context.as_ptr(),
                offset = const INDEX * 8,
                options(pure, readonly, nostack),
            );
        }
        value
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as above.
    unsafe {
        context.as_ptr().cast::<u64>().add(INDEX).read()
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

/// The longest usual headers: IPv6 and TCP.
const HEADERS: usize = 60;

/// A copy of a packet's headers from the IP header on, to be read at constant offsets.
pub struct Headers(pub [u8; HEADERS]);

impl Headers {
    #[inline(always)]
    fn load<const BYTES: usize>(&self, offset: usize) -> Option<[u8; BYTES]> {
        if offset > HEADERS - BYTES {
            return None;
        }
        let mut bytes = [0; BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = self.0[offset + index];
        }
        Some(bytes)
    }
}

impl Bytes for Headers {
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

impl Kernel {
    /// Copies a value into this room, where it would take too much of the stack to hand it on. `T` is bytes or words.
    #[inline(always)]
    pub fn copy<'a, T>(&self, room: &'a mut MaybeUninit<T>) -> Option<&'a T> {
        // SAFETY: the room is as long as the length passed; the helper takes any address and fails on one that is not mapped.
        let failed = unsafe {
            helpers::generated::bpf_probe_read_kernel(
                room.as_mut_ptr().cast::<c_void>(),
                size_of::<T>() as u32,
                self.0 as *const c_void,
            )
        };
        // SAFETY: the helper wrote all of it, and any bytes are a `T`.
        if failed == 0 { Some(unsafe { room.assume_init_ref() }) } else { None }
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
