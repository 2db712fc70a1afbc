//! The machines that are shipped for, and how their binaries are built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::host::{self, Tool};
use crate::{cmd, toolchain, workspace};

/// A kind of machine, by the name its vendors use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Machine {
    /// Intel and AMD
    #[value(name = "x86-64", alias = "x86_64")]
    X86_64,
    /// Graviton
    Aarch64,
}

/// The linker for aarch64 and the C library it links in.
const CROSS: &[Tool] = &[("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")];
const CROSS_LIBRARY: &str = "libc6-dev-arm64-cross";
const CROSS_LIBRARY_FILE: &str = "/usr/aarch64-linux-gnu/lib/libc.a";

/// What runs a program for aarch64 here. It emulates the system calls, too, and has no `bpf` among them.
pub const EMULATOR: Tool = ("qemu-aarch64-static", "qemu-user-static");

/// The standard library for aarch64, of the compiler that Debian packages.
const DEBIAN_LIBRARY: &str = "libstd-rust-web-dev:arm64";

impl Machine {
    /// As `uname -m` says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As an OCI image says it (GOARCH).
    pub const fn oci(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// As rustc says it. glibc rather than musl: linked in it resolves names in an empty root, too, and Debian packages
    /// it for other machines.
    const fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Whether this machine is of that kind.
    pub const fn is_here(self) -> bool {
        match self {
            Self::X86_64 => cfg!(target_arch = "x86_64"),
            Self::Aarch64 => cfg!(target_arch = "aarch64"),
        }
    }

    /// Makes sure that binaries for it can be built here, or says what is missing.
    pub fn prepare(self, install: bool) -> Result<()> {
        if self.is_here() {
            return Ok(());
        }
        ensure!(self == Self::Aarch64, "building for {} works on {} only", self.name(), self.name());
        let mut missing = host::missing(CROSS);
        if !Path::new(CROSS_LIBRARY_FILE).is_file() {
            missing.push(CROSS_LIBRARY);
        }
        let has_library = self.toolchain().is_some();
        if missing.is_empty() && has_library {
            return Ok(());
        }
        if !install {
            let what =
                if has_library { "" } else { " and a standard library for aarch64 from rustup or Debian" };
            bail!(
                "building for aarch64 needs the packages {}{what}: `cargo xtask dist --target aarch64 --install` \
                 brings them",
                [CROSS[0].1, CROSS_LIBRARY].join(" ")
            );
        }
        ensure!(host::can_install(), "installing {} needs apt and root", missing.join(" "));
        if !missing.is_empty() {
            host::install(&missing)?;
        }
        if has_library { Ok(()) } else { self.bring_library() }
    }

    /// From rustup where it can download; else Debian's, for which dpkg has to know the other machine.
    fn bring_library(self) -> Result<()> {
        let mut rustup = Command::new("rustup");
        let from_rustup = rustup.current_dir(workspace::root()).args(["target", "add", self.triple()]);
        match cmd::run_within(from_rustup, Duration::from_secs(120)) {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("xtask: {error:#}; trying Debian's packages"),
        }
        host::add_architecture("arm64")?;
        host::install(&[DEBIAN_LIBRARY])?;
        ensure!(self.toolchain().is_some(), "{DEBIAN_LIBRARY} is installed, but no toolchain finds it");
        Ok(())
    }

    /// Words in front of `cargo` that choose a toolchain with a standard library for this machine: none for the one
    /// that runs xtask.
    fn toolchain(self) -> Option<Vec<&'static str>> {
        let choices = [vec![], vec!["rustup", "run", toolchain::LINKED]];
        choices.into_iter().find(|words| {
            let mut command = command(words, "rustc");
            let directory = cmd::ask(command.args(["--target", self.triple(), "--print", "target-libdir"]));
            directory.is_some_and(|directory| Path::new(&directory).is_dir())
        })
    }

    /// Builds the agent with these features in a target directory of its own; the path of the binary.
    pub fn build(self, features: &[&str], target_directory: &Path) -> Result<PathBuf> {
        let words = self.toolchain().with_context(|| format!("no standard library for {}", self.name()))?;
        let mut cargo = command(&words, "cargo");
        cargo.current_dir(workspace::root());
        cargo.args(["build", "--locked", "--release", "-p", "agent", "--target", self.triple()]);
        cargo.args(["--features", &features.join(",")]).arg("--target-dir").arg(target_directory);
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(target_directory)?);
        if !self.is_here() {
            cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", CROSS[0].0);
            // For dependencies with C or assembly of their own.
            cargo.env("CC_aarch64_unknown_linux_gnu", CROSS[0].0);
        }
        workspace::build(&mut cargo, "agent")
    }
}

fn command(words: &[&str], program: &str) -> Command {
    let all: Vec<&str> = words.iter().copied().chain([program]).collect();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]);
    command
}

/// Everything linked in, and nothing that tells where it was built: panics name their source file.
fn flags(target_directory: &Path) -> Result<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let away = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    // The last prefix that fits wins.
    let flags = [
        "-Ctarget-feature=+crt-static".to_owned(),
        away(&home, "/cargo"),
        away(workspace::root(), "/agent"),
        away(target_directory, "/build"),
    ];
    Ok(flags.join("\x1f"))
}

/// Whether a program asks for no interpreter, and thus for no library (`PT_INTERP`, System V ABI).
pub fn is_static(program: &Path) -> Result<bool> {
    let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
    has_interpreter(&bytes).map(|has| !has).with_context(|| format!("{} is no ELF file", program.display()))
}

fn has_interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let field = |at: usize, bytes: usize| {
        let bytes = elf.get(at..at + bytes)?;
        Some(bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    // Both machines are 64-bit and little-endian: e_phoff, e_phentsize and e_phnum of `Elf64_Ehdr`.
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (start, size, count) = (field(32, 8)? as usize, field(54, 2)? as usize, field(56, 2)? as usize);
    let mut kinds = (0..count).map(|index| field(start + index * size, 4));
    Some(kinds.any(|kind| kind == Some(u64::from(PT_INTERP))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        let own = std::env::current_exe().and_then(fs::read).expect("this test is a program");
        assert_eq!(has_interpreter(&own), Some(true));
        assert_eq!(has_interpreter(b"#!/bin/sh\n"), None);
        // The smallest header: no segments at all.
        let mut bare = [0u8; 64];
        bare[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(has_interpreter(&bare), Some(false));
    }
}
