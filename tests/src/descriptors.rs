//! What the kernel says of the descriptors that a process holds.

use std::fs;

/// The number behind this word in the fdinfo of each descriptor that has one.
///
/// # Panics
///
/// When there is no such process.
pub fn numbers(process: u32, word: &str) -> Vec<u64> {
    let number = |text: String| text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
    texts(process).filter_map(number).collect()
}

/// The fdinfo of each descriptor.
///
/// # Panics
///
/// When there is no such process.
pub fn texts(process: u32) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(format!("/proc/{process}/fdinfo")).expect("a living process");
    entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
}
