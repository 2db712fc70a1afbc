//! Memory that is needed for a moment only.

/// Lets all threads take memory from one place. Threads that hook up targets would each get a place of their own, and leave
/// 12 MiB behind in it. To be called before there is a second thread.
pub fn share() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers, and changes only where memory comes from (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back to the system what was freed. The allocator keeps what a start takes, reading the kernel's type information
/// above all: more than ten MiB for as long as the agent runs.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and touches only what is not in use (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
