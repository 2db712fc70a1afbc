//! What somebody else counts who listens to a tracepoint by perf, as `perf stat -e` does.

use std::{
    fs::File,
    io::{Error, Read as _},
    os::fd::FromRawFd as _,
    thread,
};

/// `PERF_TYPE_TRACEPOINT` (include/uapi/linux/perf_event.h, v5.10).
const TRACEPOINT: u32 = 2;

/// The first part of `struct perf_event_attr` (`PERF_ATTR_SIZE_VER0`, the same file): the kernel takes the rest for zero.
#[repr(C)]
struct Attributes {
    kind: u32,
    bytes: u32,
    event: u64,
    zeros: [u64; 6],
}

const _: () = assert!(size_of::<Attributes>() == 64);

/// The events of one tracepoint, on every CPU, since this was opened.
pub struct Events(Vec<File>);

impl Events {
    /// Of the tracepoint with this number (`id` in tracefs).
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    pub fn open(number: u64) -> Self {
        let count = thread::available_parallelism().expect("a number of CPUs").get();
        let attributes = Attributes {
            kind: TRACEPOINT,
            bytes: size_of::<Attributes>() as u32,
            event: number,
            zeros: [0; 6],
        };
        let on = |cpu: usize| {
            let (every_process, no_group, no_flags) = (-1_i64, -1_i64, 0_u64);
            // SAFETY: the attributes are as long as they say, and outlive the call.
            let descriptor = unsafe {
                libc::syscall(
                    libc::SYS_perf_event_open,
                    &raw const attributes,
                    every_process,
                    cpu,
                    no_group,
                    no_flags,
                )
            };
            assert!(descriptor >= 0, "listening by perf: {}", Error::last_os_error());
            // SAFETY: a new descriptor that nobody else has.
            unsafe { File::from_raw_fd(descriptor as i32) }
        };
        Self((0..count).map(on).collect())
    }

    /// How many so far.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    pub fn count(&self) -> u64 {
        let of = |mut file: &File| {
            let mut bytes = [0; 8];
            file.read_exact(&mut bytes).expect("a count");
            u64::from_ne_bytes(bytes)
        };
        self.0.iter().map(of).sum()
    }
}
