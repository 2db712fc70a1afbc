//! Memory that is needed for a moment only.

/// Gives back to the system what was freed. The allocator keeps what a start takes, reading the kernel's type information
/// above all: more than ten MiB for as long as the agent runs.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and touches only what is not in use (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
