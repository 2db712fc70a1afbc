//! What maps cost in the kernel, whoever holds them: programs do, where a process has closed its descriptors.

use std::{
    collections::BTreeSet,
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{MapInfo, loaded_maps};

/// The maps that were there at one time.
pub struct Maps(BTreeSet<u32>);

impl Maps {
    /// All that are there.
    pub fn before() -> Self {
        Self(infos().map(|info| info.id()).collect())
    }

    /// KiB that the kernel charges for those that came since (`memlock` in a descriptor's fdinfo).
    ///
    /// # Errors
    ///
    /// When the kernel does not show them, or there are none.
    pub fn kib_since(&self) -> Result<u64> {
        let mut bytes = 0;
        for info in infos().filter(|info| !self.0.contains(&info.id())) {
            // One that went meanwhile.
            let Ok(map) = info.fd() else { continue };
            let path = format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd());
            let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
            let charged = text.lines().find_map(|line| line.strip_prefix("memlock:"));
            bytes += charged.context("no memlock of a map")?.trim().parse::<u64>()?;
        }
        ensure!(bytes > 0, "the kernel lists no maps that came since");
        Ok(bytes / 1024)
    }
}

fn infos() -> impl Iterator<Item = MapInfo> {
    // One that went meanwhile has none.
    loaded_maps().filter_map(Result::ok)
}
