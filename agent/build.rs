//! Builds the eBPF programs and embeds them: the agent is one self-contained binary.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};
use aya_build::{Package, Toolchain};

fn main() -> Result<()> {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?;
    let programs = Path::new(&manifest).join("../agent-ebpf");
    let programs = programs.to_str().ok_or_else(|| anyhow!("the path of agent-ebpf is not UTF-8"))?;
    println!("cargo:rerun-if-changed={manifest}/../agent-common/src");
    if !succeeds("bpf-linker", &["--version"]) {
        bail!("bpf-linker is missing: run `cargo xtask setup` once, then build again");
    }
    let toolchain = toolchain()?;
    // aya-build turns the inner cargo's progress into warnings of this package.
    // SAFETY: a build script is single-threaded here; nothing reads the environment meanwhile.
    unsafe { std::env::set_var("CARGO_TERM_QUIET", "true") };
    if toolchain == "bpf" {
        // A stable compiler with a precompiled `core` for BPF. Naming the crates that use unstable features, rather
        // than allowing them everywhere, is also what keeps aya-build from asking for `-Z build-std`.
        // SAFETY: as above.
        unsafe {
            std::env::set_var(
                "RUSTC_BOOTSTRAP",
                "aya_ebpf,aya_ebpf_bindings,aya_ebpf_cty,agent_ebpf,agent_programs",
            );
        }
    }
    let package = Package { name: "agent-ebpf", root_dir: programs, ..Default::default() };
    aya_build::build_ebpf([package], Toolchain::Custom(toolchain))
}

/// The toolchain that can compile for BPF: `bpf` (linked by the set-up, precompiled `core`), or nightly with rust-src.
fn toolchain() -> Result<&'static str> {
    if has_file("bpf", "lib/rustlib/bpfel-unknown-none") {
        return Ok("bpf");
    }
    if has_file("nightly", "lib/rustlib/src/rust/library/core") {
        return Ok("nightly");
    }
    bail!("no Rust toolchain here can build eBPF programs: run `cargo xtask setup` once, then build again")
}

fn has_file(toolchain: &str, below_sysroot: &str) -> bool {
    let output = Command::new("rustup").args(["run", toolchain, "rustc", "--print", "sysroot"]).output();
    output.is_ok_and(|output| {
        output.status.success()
            && Path::new(String::from_utf8_lossy(&output.stdout).trim()).join(below_sysroot).exists()
    })
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
