//! The one atomic the programs need. `core` has no read-modify-write atomics for this target, but the instruction is
//! as old as eBPF (BPF_XADD).

/// Adds one atomically.
///
/// # Safety
///
/// `counter` must be valid for writes, aligned to 8 bytes, and written by nothing but this function while the
/// program runs.
#[inline(always)]
pub unsafe fn add_one(counter: *mut u64) {
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller vouches for the pointer; the instruction touches nothing else.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({counter} + 0) += {one}",
            counter = in(reg) counter,
            one = in(reg) 1u64,
            options(nostack),
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: the caller vouches for the pointer.
    unsafe { core::sync::atomic::AtomicU64::from_ptr(counter) }
        .fetch_add(1, core::sync::atomic::Ordering::Relaxed);
}
