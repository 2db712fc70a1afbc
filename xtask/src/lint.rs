//! `lint`: everything that judges the sources without running them.

use std::env::consts::ARCH;

use anyhow::{Result, bail};

use crate::toolchain::{self, Toolchain};
use crate::{cmd, host, layers, setup, workspace};

/// Runs every check, cheapest first, and stops at the first that fails.
pub fn lint() -> Result<()> {
    // The agent's build script compiles the eBPF programs, so even clippy needs their toolchain.
    let toolchain = setup::setup()?;
    cmd::run(workspace::cargo().args(["fmt", "--all", "--check"]))?;
    layers()?;
    clippy(&[])?;
    clippy(&["-p", "lab"])?;
    // What everyday builds leave out: the AWS SDK behind the agent's feature, and its tests.
    clippy(&["-p", "agent", "-p", "lab", "--features", "agent/cloudwatch,lab/cloudwatch"])?;
    ebpf(&toolchain, "agent-ebpf")?;
    ebpf(&toolchain, "lab-programs")?;
    licences()
}

fn layers() -> Result<()> {
    eprintln!("+ layers of agent/src");
    let violations = layers::check(workspace::root())?;
    for violation in &violations {
        eprintln!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        count => {
            bail!("{count} imports run against the layers (the rule: LAYERS in xtask/src/layers.rs)")
        }
    }
}

fn clippy(packages: &[&str]) -> Result<()> {
    let mut command = workspace::cargo();
    command.args(["clippy", "--locked", "--all-targets"]).args(packages).args(["--", "-D", "warnings"]);
    cmd::run(&mut command)
}

/// Judges a crate of eBPF programs on its own target: on the host most of it would not even be compiled.
fn ebpf(toolchain: &Toolchain, package: &str) -> Result<()> {
    let clippy = cmd::ask(toolchain.command("cargo").args(["clippy", "--version"])).is_some();
    if !clippy {
        eprintln!("xtask: toolchain {} has no clippy: building with warnings denied instead", toolchain.name);
    }
    let mut command = toolchain.command("cargo");
    command.current_dir(workspace::root());
    command.arg(if clippy { "clippy" } else { "build" });
    command.args(["--locked", "-p", package, "--bins", "--release", "--target", toolchain::TARGET]);
    // The same settings as in agent/build/programs.rs; the directory is another, because that one belongs to cargo.
    command.arg("--target-dir").arg(workspace::root().join("target/ebpf-lint"));
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags());
    if toolchain.build_std {
        command.args(["-Z", "build-std=core"]);
    } else {
        command.env("RUSTC_BOOTSTRAP", toolchain::UNSTABLE_CRATES);
    }
    if clippy {
        command.args(["--", "-D", "warnings"]);
    }
    cmd::run(&mut command)
}

fn rustflags() -> String {
    let architecture = format!(r#"--cfg=bpf_target_arch="{ARCH}""#);
    [&*architecture, "-Cdebuginfo=2", "-Clink-arg=--btf", "-Dwarnings"].join("\x1f")
}

/// Only where cargo-deny is installed: building it takes longer than all other checks together.
fn licences() -> Result<()> {
    if host::find("cargo-deny").is_none() {
        eprintln!("xtask: licences are not checked: `cargo install cargo-deny --locked` brings the check");
        return Ok(());
    }
    cmd::run(workspace::cargo().args(["deny", "check"]))
}
