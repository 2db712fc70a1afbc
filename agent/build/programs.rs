//! Builds a package of eBPF programs from a build script; the object ends up in `OUT_DIR`.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};
use aya_build::{Package, Toolchain};

/// The crates that use unstable features. Naming them, rather than allowing such features everywhere, is also what
/// keeps aya-build from asking for `-Z build-std`.
const UNSTABLE_CRATES: &str =
    "aya_ebpf,aya_ebpf_bindings,aya_ebpf_cty,agent_ebpf,agent_programs,agent_dispatch,lab_programs";

/// Builds the package `name` in the directory `below` the directory of the package whose build script this is.
///
/// # Errors
///
/// When the machine lacks what it takes; the message says what to do.
pub fn build(name: &str, below: &str) -> Result<()> {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?;
    let programs = Path::new(&manifest).join(below);
    let programs = programs.to_str().ok_or_else(|| anyhow!("the path of {name} is not UTF-8"))?;
    if !succeeds("bpf-linker", &["--version"]) {
        bail!("bpf-linker is missing: run `cargo xtask setup` once, then build again");
    }
    let toolchain = toolchain()?;
    // aya-build turns the inner cargo's progress into warnings of this package.
    // SAFETY: a build script is single-threaded here; nothing reads the environment meanwhile.
    unsafe { std::env::set_var("CARGO_TERM_QUIET", "true") };
    if toolchain == "bpf" {
        // SAFETY: as above.
        unsafe { std::env::set_var("RUSTC_BOOTSTRAP", UNSTABLE_CRATES) };
    }
    let package = Package { name, root_dir: programs, ..Default::default() };
    aya_build::build_ebpf([package], Toolchain::Custom(toolchain))?;
    strip_built()
}

/// Takes out of every object in `OUT_DIR` what only debuggers read: nine tenths of its bytes, which the agent would carry
/// and map. The loader reads `.BTF`. Of `.BTF.ext`, the kernel shows which line of source an instruction is of, in `bpftool prog dump`
/// and in what its verifier says: that is for who builds for debugging, not for half of what is left.
fn strip_built() -> Result<()> {
    let directory = std::env::var("OUT_DIR").context("cargo sets OUT_DIR")?;
    let with_lines = std::env::var("DEBUG").is_ok_and(|debug| debug != "false" && debug != "0");
    for entry in fs::read_dir(&directory).with_context(|| format!("reading {directory}"))? {
        let path = entry?.path();
        if path.is_file() {
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            if bytes.starts_with(b"\x7fELF") {
                let stripped =
                    strip(&bytes, with_lines).with_context(|| format!("stripping {}", path.display()))?;
                fs::write(&path, stripped).with_context(|| format!("writing {}", path.display()))?;
            }
        }
    }
    Ok(())
}

fn strip(object: &[u8], with_lines: bool) -> Result<Vec<u8>> {
    let mut builder = object::build::elf::Builder::read(object)?;
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        section.delete |= name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
        section.delete |= !with_lines && matches!(name, b".BTF.ext" | b".rel.BTF.ext");
    }
    // LLVM keeps the names of sections among those of symbols; the writer here does not.
    let names = builder.sections.add();
    names.name = ".shstrtab".into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = object::build::elf::SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped)?;
    Ok(stripped)
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
