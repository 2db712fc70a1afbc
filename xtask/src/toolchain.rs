//! The compiler for the eBPF programs.
//!
//! Nothing is written down: `agent/build.rs` and xtask look in the same order for what is installed. First the
//! rustup toolchain `bpf`, which carries a compiled `core` for BPF, then a nightly that has the sources of `core`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cmd;

/// The target of the eBPF programs: little endian, as all hosts of the agent are.
pub const TARGET: &str = "bpfel-unknown-none";

/// The rustup toolchain that is linked to a distribution's compiler.
pub const LINKED: &str = "bpf";

/// The rustup toolchain that builds `core` from its sources.
pub const NIGHTLY: &str = "nightly";

/// The crates that use unstable features; a stable compiler lets them when `RUSTC_BOOTSTRAP` names them. Not `1`:
/// that would be for all crates, and would make aya-build ask for `-Z build-std`.
pub const UNSTABLE_CRATES: &str =
    "aya_ebpf,aya_ebpf_bindings,aya_ebpf_cty,agent_ebpf,agent_programs,lab_programs";

/// A toolchain that can build the eBPF programs.
pub struct Toolchain {
    /// Its name in rustup.
    pub name: &'static str,
    /// The major version of its LLVM; bpf-linker must have the same to read its bitcode.
    pub llvm: u32,
    /// Whether `core` has to be built along (`-Z build-std`).
    pub build_std: bool,
}

impl Toolchain {
    /// `rustup run TOOLCHAIN PROGRAM`.
    pub fn command(&self, program: &str) -> Command {
        rustup_run(self.name, program)
    }
}

/// The toolchain this machine builds the eBPF programs with, if it has one.
pub fn find() -> Result<Option<Toolchain>> {
    linked()?.map_or_else(nightly, |toolchain| Ok(Some(toolchain)))
}

/// The linked toolchain, if it has a compiled `core` for BPF.
pub fn linked() -> Result<Option<Toolchain>> {
    let directory =
        cmd::ask(rustup_run(LINKED, "rustc").args(["--target", TARGET, "--print", "target-libdir"]));
    let complete = directory.is_some_and(|directory| Path::new(&directory).is_dir());
    complete.then(|| describe(LINKED, false)).transpose()
}

/// The nightly toolchain, if it has the sources of `core`.
pub fn nightly() -> Result<Option<Toolchain>> {
    let sysroot = cmd::ask(rustup_run(NIGHTLY, "rustc").args(["--print", "sysroot"]));
    let complete =
        sysroot.is_some_and(|root| Path::new(&root).join("lib/rustlib/src/rust/library/core").is_dir());
    complete.then(|| describe(NIGHTLY, true)).transpose()
}

fn describe(name: &'static str, build_std: bool) -> Result<Toolchain> {
    let version = cmd::ask(rustup_run(name, "rustc").arg("-vV")).unwrap_or_default();
    let llvm = llvm_major(&version)
        .with_context(|| format!("`rustup run {name} rustc -vV` does not tell its LLVM version"))?;
    Ok(Toolchain { name, llvm, build_std })
}

/// The LLVM major version in the output of `rustc -vV`.
pub fn llvm_major(version: &str) -> Option<u32> {
    version.lines().find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next()?.parse().ok())
}

fn rustup_run(toolchain: &str, program: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, program]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_version_is_read_from_the_compilers_version() {
        assert_eq!(llvm_major("rustc 1.96.0\nrelease: 1.96.0\nLLVM version: 22.1.8\n"), Some(22));
        assert_eq!(llvm_major("rustc 1.96.0\n"), None);
    }
}
