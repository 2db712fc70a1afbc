//! An index whose bounds the verifier of every kernel sees.

/// Masks an index. Older verifiers (6.1) take a register that was byte-swapped or put together of others for any number, and the
/// compiler leaves out a mask that changes nothing. `MASK` is one less than a power of two.
#[inline(always)]
pub fn bounded<const MASK: usize>(index: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut index = index;
        // SAFETY: one instruction on one register.
        unsafe {
            core::arch::asm!("{0} &= {1}", inout(reg) index, const MASK, options(pure, nomem, nostack))
        };
        // SAFETY: what was masked is not larger.
        unsafe { core::hint::assert_unchecked(index <= MASK) };
        index
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        index & MASK
    }
}
