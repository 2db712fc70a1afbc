//! Tests that load the machine run alone; the others run beside one another.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// For a test that mostly waits.
pub fn share() -> RwLockReadGuard<'static, ()> {
    // A test that failed leaves the machine as good as new.
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// For a test that takes every CPU.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}
