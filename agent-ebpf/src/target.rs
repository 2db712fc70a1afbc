//! Facts of the target and its kernel, written by userspace before load. The map behind them is frozen, so the
//! verifier knows each value and removes the code of branches not taken.

use agent_common::config::Target;
use aya_ebpf::Global;

#[unsafe(no_mangle)]
static TARGET: Global<Target> = Global::new(Target::UNKNOWN_KERNEL);

/// Pointer to the facts, for [`fact!`].
#[inline(always)]
pub fn facts() -> *const Target {
    (&raw const TARGET).cast()
}

/// Reads one fact. Volatile, because the value in this object file is not the one the kernel sees.
macro_rules! fact {
    ($field:ident) => {
        // SAFETY: `Global` is a transparent wrapper around an initialised `Target`, and the static lives as long
        // as the program.
        unsafe { core::ptr::read_volatile(&raw const (*$crate::target::facts()).$field) }
    };
}
pub(crate) use fact;
