//! `kernels`: runs the lab inside Debian's kernels, booted under software emulation.
//!
//! Nothing of this machine's kernel takes part, and kernels and qemu are not installed: their packages are unpacked
//! under `target/kernels`.

mod archive;
mod fetch;
mod guest;
mod machine;
mod modules;

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::host::{self, Tool};
use crate::{setup, workspace};
use fetch::Source;

/// Kernels by the name the command line gives them, with the images for Amazon ECS they stand in for.
const KERNELS: &[(&str, Source)] = &[
    // Amazon Linux 2; Debian 11 lives on in its security suite only.
    ("5.10", Source { archive: "debian-security", suites: &["bullseye-security"] }),
    // Amazon Linux 2023, Bottlerocket.
    ("6.1", Source { archive: "debian-security", suites: &["bookworm-security"] }),
    ("6.12", Source { archive: "debian", suites: &["trixie"] }),
    ("newest", Source { archive: "debian", suites: &["sid"] }),
];

/// The emulator and the package that brings it.
const QEMU: Tool = ("qemu-system-x86_64", "qemu-system-x86");
const TOOLS: &[Tool] = &[("xz", "xz-utils")];
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Arguments of `kernels`.
#[derive(clap::Args)]
pub struct Args {
    /// Kernels to boot, one after the other: 5.10, 6.1, 6.12, newest
    #[arg(value_name = "VERSION", default_value = "6.1")]
    versions: Vec<String>,
    /// The test target of the lab to run in them
    #[arg(long, value_name = "NAME", default_value = "scenarios")]
    test: String,
    /// Give up on a kernel after so many minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 40)]
    timeout: u64,
    /// Memory of the emulated machine in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    memory: u32,
    /// Fetch the kernels again, for a newer patch level
    #[arg(long)]
    refresh: bool,
    /// Arguments of the test executable, such as a name to filter by
    #[arg(last = true, default_value = "--test-threads=4")]
    guest: Vec<OsString>,
}

/// Boots every kernel asked for, even after a failure, and fails with the exit code of the first that failed.
pub fn kernels(args: &Args) -> Result<()> {
    ensure!(ARCH == "x86_64", "the kernels are for x86_64, this machine is {ARCH}: use an x86_64 machine");
    let kernels = args.versions.iter().map(|version| known(version)).collect::<Result<Vec<_>>>()?;
    need_tools()?;
    setup::setup()?;

    let files =
        guest::Files { agent: static_agent()?, test: static_test(&args.test)?, busybox: fetch::busybox()? };
    let mut summary = Vec::new();
    let mut first_failure = None;
    for (version, source) in kernels {
        let kernel = fetch::kernel(version, source, args.refresh)?;
        let initramfs = kernel.directory.with_extension("initramfs");
        let image = guest::initramfs(&files, &kernel, &args.guest)?;
        fs::write(&initramfs, image).with_context(|| format!("writing {}", initramfs.display()))?;

        let began = Instant::now();
        let mut machine = qemu(&kernel.image, &initramfs, args.memory)?;
        let outcome = machine::run(&mut machine, Duration::from_secs(args.timeout * 60));
        let took = began.elapsed().as_secs();
        let line = match &outcome {
            Ok(report) => format!("{report}, {took} s in all"),
            Err(error) => format!("{error:#}, after {took} s"),
        };
        summary.push(format!("kernel {version} ({}): {line}", kernel.release));
        let failure = outcome.map_or_else(Some, |report| report.failure(version));
        first_failure = first_failure.or(failure);
    }
    for line in summary {
        println!("{line}");
    }
    first_failure.map_or(Ok(()), Err)
}

fn known(version: &str) -> Result<(&'static str, &'static Source)> {
    let names = || KERNELS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    KERNELS
        .iter()
        .find(|(name, _)| *name == version)
        .map(|(name, source)| (*name, source))
        .with_context(|| format!("no kernel {version} is known: choose from {}", names()))
}

fn need_tools() -> Result<()> {
    ensure!(
        host::find("apt-get").is_some() && host::find("dpkg").is_some(),
        "Debian's kernels are fetched with apt-get and unpacked with dpkg: use a Debian or Ubuntu machine"
    );
    let mut missing = host::missing(TOOLS);
    if !fetch::has_keyring() {
        missing.push(fetch::KEYRING_PACKAGE);
    }
    if missing.is_empty() {
        return Ok(());
    }
    if !host::can_install() {
        bail!("booting other kernels needs these packages, install them as root: {}", missing.join(" "));
    }
    host::install(&missing)
}

/// `cargo` for executables that carry their libraries along, in a directory of their own so that the other
/// flags do not rebuild everything each time.
fn static_cargo(args: &[&str]) -> Command {
    let mut command = workspace::cargo();
    command.args(args).args(["--locked", "--release", "--target", TARGET]);
    command.arg("--target-dir").arg(workspace::root().join("target/static"));
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    command
}

fn static_agent() -> Result<PathBuf> {
    // With what tests alone can ask for, such as a panic at a given time.
    let args = ["build", "-p", "agent", "--config", "profile.release.debug-assertions=true"];
    workspace::build(&mut static_cargo(&args), "agent")
}

fn static_test(name: &str) -> Result<PathBuf> {
    workspace::build(&mut static_cargo(&["test", "--no-run", "-p", "lab", "--test", name]), name)
}

fn qemu(kernel: &Path, initramfs: &Path, memory: u32) -> Result<Command> {
    let mut command = fetch::emulator(QEMU.0, QEMU.1)?;
    // Emulation only: hardware acceleration is missing on many machines, and hangs on some that offer it.
    command.args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", &memory.to_string()]);
    command.args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-no-reboot"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    // A panic ends the machine rather than wait for a person; mitigations would only slow the emulation.
    command.args(["-append", "console=ttyS0 loglevel=4 panic=-1 mitigations=off"]);
    Ok(command)
}
