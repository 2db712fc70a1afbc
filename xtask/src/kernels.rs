//! `kernels`: runs the lab inside Debian's kernels, booted under software emulation.
//!
//! Nothing of this machine's kernel takes part, and kernels and qemu are not installed: their packages are unpacked
//! under `target/kernels`.

mod archive;
mod fetch;
mod guest;
mod machine;
mod modules;
mod page;
mod record;

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::host::{self, Tool};
use crate::{cmd, matrix, setup, workspace};
use fetch::Source;
use machine::Report;
use page::Column;
use record::Record;

/// A kernel that is known here.
struct Known {
    /// The name the command line gives it.
    name: &'static str,
    /// The image for Amazon ECS it stands in for.
    stands_in_for: &'static str,
    source: Source,
    /// Ids of the blind spots that the agent may have on it. Any other is a failure.
    blind_spots: &'static [&'static str],
    /// Whether it lets functions be traced; that it does not any more is a failure, too.
    traces_functions: bool,
}

const KERNELS: &[Known] = &[
    Known {
        name: "5.10",
        stands_in_for: "Amazon Linux 2",
        // Debian 11 lives on in its security suite only.
        source: Source { archive: "debian-security", suites: &["bullseye-security"] },
        blind_spots: &["drop_reasons"],
        traces_functions: true,
    },
    Known {
        name: "6.1",
        stands_in_for: "Amazon Linux 2023, Bottlerocket",
        source: Source { archive: "debian-security", suites: &["bookworm-security"] },
        blind_spots: &[],
        traces_functions: true,
    },
    Known {
        name: "6.12",
        stands_in_for: "Amazon Linux 2023, Bottlerocket",
        source: Source { archive: "debian", suites: &["trixie"] },
        blind_spots: &[],
        traces_functions: true,
    },
    Known {
        name: "newest",
        stands_in_for: "-",
        source: Source { archive: "debian", suites: &["sid"] },
        blind_spots: &[],
        traces_functions: true,
    },
];

/// The kernel of this machine, where `cargo xtask test` runs, and what it may be blind for: it may be an old one.
const RUNNING: &str = "running";
const BLIND_SPOTS_OF_RUNNING: &[&str] = &["drop_reasons"];

/// The rows that run in a kernel unless others are asked for: all that need no program, module or table that a small guest
/// lacks (nginx, promtool, ctnetlink).
const ROWS: &[&str] = &[
    "--test-threads=4",
    "faults::",
    "absence::",
    "application::",
    "near_misses::",
    "counts::",
    "loss::",
    "input::",
    "endings::",
    "neighbours::",
    "packets::",
    "targets::",
    "diagnose::",
    "rare::",
    "partial::",
    "starting::",
    "fallbacks::",
    "tracepoints::",
    "openings::",
    "probe_table::",
    "privileges::",
    "node::a_fault_in_one",
    "joining::all_targets",
    // An emulated machine sends a quarter of the requests: these clients come every 12 s, longer than the window of 8 s, and
    // are rightly missed.
    "--skip",
    "more_near_misses::clients_come_seldom",
    // What they come near to is told apart in userspace, and some need nginx.
    "--skip",
    "shared_near_misses::",
    "--skip",
    "connection_tracking_table",
    "--skip",
    "syn_cookies",
];

/// The rows of `--core`: one of each kind of thing that a kernel may do otherwise.
const CORE: &[&str] = &[
    "--test-threads=4",
    "faults::host_firewall_drops_one_node",
    "faults::nobody_listens",
    "faults::somebody_listens_on_loopback_only",
    "faults::the_accept_queue_is_full",
    "faults::there_is_no_route",
    "faults::replies_are",
    "faults::a_tc_program_drops_behind",
    "faults::an_xdp_program",
    "absence::the_security_group",
    "application::",
    "counts::",
    "endings::",
    "fallbacks::",
    "tracepoints::",
    "neighbours::",
    "packets::",
    "openings::",
    "probe_table::",
    "privileges::",
    "joining::all_targets",
];

/// The test target that the tables are of.
const SCENARIOS: &str = "scenarios";

/// The emulator and the package that brings it.
const QEMU: Tool = ("qemu-system-x86_64", "qemu-system-x86");
const TOOLS: &[Tool] = &[("xz", "xz-utils")];
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Arguments of `kernels`.
#[derive(clap::Args)]
pub struct Args {
    /// Kernels to boot, one after the other
    #[arg(value_name = "VERSION", default_values = ["5.10", "6.1", "6.12", "newest"])]
    versions: Vec<String>,
    /// The test target of the lab to run in them
    #[arg(long, value_name = "NAME", default_value = SCENARIOS)]
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
    /// Run the few rows that tell most
    #[arg(long)]
    core: bool,
    /// Words to add to the kernel's command line, such as `ipv6.disable=1`
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,
    /// Write docs/kernel-support.md from what this and earlier runs showed
    #[arg(long)]
    write: bool,
    /// Arguments of the test executable, such as a name to filter by
    #[arg(last = true)]
    guest: Vec<OsString>,
}

/// Boots every kernel asked for, even after a failure, and fails with the exit code of the first that failed.
pub fn kernels(args: &Args) -> Result<()> {
    ensure!(ARCH == "x86_64", "the kernels are for x86_64, this machine is {ARCH}: use an x86_64 machine");
    let kernels = args.versions.iter().map(|version| known(version)).collect::<Result<Vec<_>>>()?;
    let rows: Vec<OsString> = match (args.guest.is_empty(), args.core) {
        (false, _) => args.guest.clone(),
        (true, true) => CORE.iter().map(Into::into).collect(),
        (true, false) => ROWS.iter().map(Into::into).collect(),
    };
    if args.write {
        // Rather than after all of them were booted.
        matrix::rows().context("the page holds what this machine's own kernel showed, too")?;
    }
    // What others showed, or some of them, is not what the page tells of a kernel.
    let keeps = args.guest.is_empty() && args.append.is_empty() && args.test == SCENARIOS;
    ensure!(
        keeps || !args.write,
        "the page is of whole runs, or --core: leave out --append, --test and the names of rows"
    );
    need_tools()?;
    setup::setup()?;

    let files =
        guest::Files { agent: static_agent()?, test: static_test(&args.test)?, busybox: fetch::busybox()? };
    let mut summary = Vec::new();
    let mut first_failure = None;
    for known in kernels {
        let version = known.name;
        let kernel = fetch::kernel(version, &known.source, args.refresh)?;
        let initramfs = kernel.directory.with_extension("initramfs");
        let image = guest::initramfs(&files, &kernel, &rows)?;
        fs::write(&initramfs, image).with_context(|| format!("writing {}", initramfs.display()))?;

        let began = Instant::now();
        let mut machine = qemu(&kernel.image, &initramfs, args)?;
        let outcome = machine::run(&mut machine, Duration::from_secs(args.timeout * 60));
        let took = began.elapsed().as_secs();
        let line = match &outcome {
            Ok(report) => format!("{report}, {took} s in all"),
            Err(error) => format!("{error:#}, after {took} s"),
        };
        summary.push(format!("kernel {version} ({}): {line}", kernel.release));
        summary.extend(outcome.iter().flat_map(|report| report.failures().iter().cloned()));
        let failure = match outcome {
            Ok(report) => match report.failure(version) {
                None => judge(known, &report, keeps).err(),
                failure => failure,
            },
            Err(error) => Some(error),
        };
        first_failure = first_failure.or(failure);
    }
    for line in summary {
        println!("{line}");
    }
    match first_failure {
        Some(failure) => Err(failure),
        None if args.write => write_page(&files.agent),
        None => Ok(()),
    }
}

/// Keeps what a kernel showed, if it is to be kept; fails where the agent saw less than it has to there.
fn judge(known: &Known, report: &Report, keeps: bool) -> Result<()> {
    let record = Record::read(report.agent(), report.rows())?;
    permit(known.name, &record, known.blind_spots)?;
    let traces = record.hooks.iter().any(|hook| hook == page::FUNCTION);
    ensure!(traces || !known.traces_functions, "{} is not traced in kernel {}", page::FUNCTION, known.name);
    if keeps { record.keep(known.name) } else { Ok(()) }
}

/// Fails where a kernel has other blind spots than these.
fn permit(name: &str, record: &Record, permitted: &[&str]) -> Result<()> {
    let others: Vec<_> = record.blind_spots.iter().filter(|id| !permitted.contains(&id.as_str())).collect();
    ensure!(others.is_empty(), "blind spots in kernel {name} that it should not have: {others:?}");
    Ok(())
}

/// Writes the tables from every kernel that was kept, and from this machine's own.
fn write_page(agent: &Path) -> Result<()> {
    let mut columns = Vec::new();
    for Known { name, stands_in_for, blind_spots, .. } in KERNELS {
        if let Some(record) = Record::kept(name)? {
            columns.push(Column { name, stands_in_for, permitted: blind_spots, record });
        }
    }
    let rows = matrix::rows()?;
    let mut lines = Vec::new();
    for verb in guest::AGENT {
        // In a namespace of its own: nothing of this machine's network is touched.
        let script = format!("ip link set lo up; exec {} {verb}", agent.display());
        lines.push(cmd::read(Command::new("unshare").args(["--net", "sh", "-c", &script]))?);
    }
    let record =
        Record::read(lines.iter().flat_map(|text| text.lines()), rows.iter().flat_map(|row| row.lines()))?;
    permit(RUNNING, &record, BLIND_SPOTS_OF_RUNNING)?;
    columns.push(Column { name: RUNNING, stands_in_for: "-", permitted: BLIND_SPOTS_OF_RUNNING, record });
    page::write(&columns)
}

fn known(version: &str) -> Result<&'static Known> {
    let names = || KERNELS.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
    let found = KERNELS.iter().find(|known| known.name == version);
    found.with_context(|| format!("no kernel {version} is known: choose from {}", names()))
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
    // What the emulator adds to each instruction is far more than what these would take away, and they take minutes.
    command.args(["--config", "profile.release.lto=false", "--config", "profile.release.codegen-units=16"]);
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

fn qemu(kernel: &Path, initramfs: &Path, args: &Args) -> Result<Command> {
    let mut command = fetch::emulator(QEMU.0, QEMU.1)?;
    // Emulation only: hardware acceleration is missing on many machines, and hangs on some that offer it.
    command.args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", &args.memory.to_string()]);
    command.args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-no-reboot"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    // A panic ends the machine rather than wait for a person; mitigations would only slow the emulation.
    let line = format!("console=ttyS0 loglevel=4 panic=-1 mitigations=off {}", args.append);
    command.args(["-append", line.trim_end()]);
    Ok(command)
}
