//! `setup`: gives the machine what it lacks. Safe to repeat, and quick when nothing is missing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::host::{self, Tool};
use crate::toolchain::{self, Toolchain};
use crate::{cmd, nginx, promtool, workspace};

/// What the lab calls.
const LAB: &[Tool] = &[
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("iptables-nft", "iptables"),
    ("bpftool", "bpftool"),
    ("openssl", "openssl"),
    ("setpriv", "util-linux"),
];

/// What the fuzz targets are linked with: LLVM's fuzzer is C++.
pub const FUZZ: &[Tool] = &[("c++", "g++")];

/// A compiler with a compiled `core` for BPF, the `cargo` and the clippy that belong to it.
const DEBIAN_RUST: &[&str] = &["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf", "rust-web-clippy"];

/// Pinned: another release may need a newer compiler, or speak another set of LLVM versions.
const BPF_LINKER: &str = "0.13.0";

/// The LLVM majors this release of bpf-linker can be built for.
const BPF_LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// Makes sure that the eBPF programs can be built, and as far as we may that the lab can run.
pub fn setup() -> Result<Toolchain> {
    let toolchain = ebpf_toolchain()?;
    lab_tools()?;
    nginx::provide()?;
    promtool::provide()?;
    Ok(toolchain)
}

fn ebpf_toolchain() -> Result<Toolchain> {
    ensure!(host::find("rustup").is_some(), "rustup is missing: install it from https://rustup.rs");

    let ways: [fn() -> Result<Option<Toolchain>>; 3] = [toolchain::find, nightly_with_sources, debian];
    let mut obstacles = Vec::new();
    for way in ways {
        // A compiler without a linker for its LLVM is no use, so a way counts only with both.
        match way().and_then(|found| found.map(with_linker).transpose()) {
            Ok(Some(toolchain)) => return Ok(toolchain),
            Ok(None) => {}
            Err(error) => obstacles.push(format!("{error:#}")),
        }
    }
    for obstacle in obstacles {
        eprintln!("xtask: {obstacle}");
    }
    bail!(
        "no compiler for eBPF: install a nightly with `rustup toolchain install nightly --component rust-src` \
         and the LLVM development files of the same major version, or on Debian run this again as root"
    )
}

/// The usual way: the sources of `core` for a nightly compiler, from rustup's server.
fn nightly_with_sources() -> Result<Option<Toolchain>> {
    let installed = cmd::ask(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let mut command = Command::new("rustup");
    // Where the server cannot be reached rustup may hang for minutes rather than say so.
    let limit = if installed.lines().any(|line| line.starts_with(toolchain::NIGHTLY)) {
        command.args(["component", "add", "rust-src", "--toolchain", toolchain::NIGHTLY]);
        Duration::from_secs(30)
    } else {
        command.args(["toolchain", "install", toolchain::NIGHTLY, "--profile", "minimal"]);
        command.args(["--component", "rust-src", "--component", "clippy"]);
        Duration::from_secs(180)
    };
    cmd::run_within(&mut command, limit)?;
    toolchain::nightly()
}

/// Where rustup has no server: Debian's compiler, whose `core` for BPF is a package.
fn debian() -> Result<Option<Toolchain>> {
    if !host::can_install() {
        return Ok(None);
    }
    host::install(DEBIAN_RUST)?;
    cmd::run(Command::new("rustup").args(["toolchain", "link", toolchain::LINKED, "/usr"]))?;
    toolchain::linked()
}

/// Makes sure that a bpf-linker runs and was built for the LLVM of this toolchain.
fn with_linker(toolchain: Toolchain) -> Result<Toolchain> {
    let llvm = toolchain.llvm;
    if linker_fits(llvm) {
        return Ok(toolchain);
    }
    ensure!(
        BPF_LINKER_LLVM.contains(&llvm),
        "toolchain {} uses LLVM {llvm}, for which there is no bpf-linker {BPF_LINKER}",
        toolchain.name
    );
    let prefix = format!("/usr/lib/llvm-{llvm}");
    if !Path::new(&prefix).join("include/llvm-c").is_dir() {
        let package = format!("llvm-{llvm}-dev");
        ensure!(
            host::can_install() && host::offers(&package),
            "bpf-linker for toolchain {} needs the development files of LLVM {llvm} in {prefix}: install {package}",
            toolchain.name
        );
        host::install(&[&package])?;
    }
    let mut command = workspace::cargo();
    command.env("LLVM_PREFIX", prefix);
    command.args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--force"]);
    command.args(["--no-default-features", "--features", &format!("llvm-{llvm}")]);
    cmd::run(&mut command)?;
    ensure!(
        linker_fits(llvm),
        "bpf-linker was installed but does not run: is cargo's bin directory in PATH?"
    );
    Ok(toolchain)
}

/// Whether there is a bpf-linker that runs, and is not known to be for another LLVM.
fn linker_fits(llvm: u32) -> bool {
    let Some(linker) = host::find("bpf-linker") else { return false };
    if cmd::ask(Command::new(&linker).arg("--version")).is_none() {
        return false;
    }
    let linked = host::libraries(&linker).iter().find_map(|library| llvm_of_library(library));
    // Built with LLVM inside it does not tell which one; then trust whoever installed it.
    linked.is_none_or(|linked| linked == llvm)
}

/// The LLVM major in the name of its library: `libLLVM.so.22.1`, `libLLVM-22.so`, `libLLVM-17.so.1`.
fn llvm_of_library(library: &Path) -> Option<u32> {
    let rest = library.file_name()?.to_str()?.strip_prefix("libLLVM")?;
    rest.split(['-', '.']).find_map(|part| part.parse().ok())
}

fn lab_tools() -> Result<()> {
    let missing = host::missing(LAB);
    if missing.is_empty() {
        return Ok(());
    }
    if host::can_install() {
        return host::install(&missing);
    }
    // Building and the host tests work without, so this is no failure.
    eprintln!("xtask: the lab also needs these packages, install them as root: {}", missing.join(" "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_of_a_linker_is_read_from_its_library() {
        let major = |name| llvm_of_library(Path::new(name));
        assert_eq!(major("/usr/lib/llvm-22/lib/libLLVM.so.22.1"), Some(22));
        assert_eq!(major("/lib/libLLVM-21.so"), Some(21));
        assert_eq!(major("/lib/libLLVM-17.so.1"), Some(17));
        assert_eq!(major("/usr/lib/llvm-22/lib/libffi.so.8"), None);
    }
}
