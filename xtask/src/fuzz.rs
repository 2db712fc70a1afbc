//! `fuzz`: every parser of foreign bytes against made-up ones.
//!
//! A stable compiler does: the coverage that LLVM's fuzzer follows is a pass of the code generator. Without a sanitizer,
//! because what is fuzzed has no `unsafe`: a panic, a sum that overflows and a loop without end are what there is to find.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::{cmd, host, setup, workspace};

/// Seconds per target when nobody says otherwise: enough to see that a target still works.
const SECONDS: u32 = 20;

/// The same flags as cargo-fuzz gives, apart from the sanitizer.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Arguments of `fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// Seconds for each target
    #[arg(long, value_name = "N", default_value_t = SECONDS)]
    seconds: u32,
    /// Targets, the files in fuzz/src/bin; all of them when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// Builds the targets and runs them one after another; what makes one fail is kept below `target/fuzz-findings`.
pub fn fuzz(args: &Args) -> Result<()> {
    setup::setup()?;
    let missing = host::missing(setup::FUZZ);
    if !missing.is_empty() {
        host::install(&missing)?;
    }
    let all = targets()?;
    for target in &args.targets {
        ensure!(all.contains(target), "there is no fuzz target {target}: there are {}", all.join(", "));
    }
    let wanted = if args.targets.is_empty() { &all } else { &args.targets };
    for target in wanted {
        run(target, args.seconds)?;
    }
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let directory = workspace::root().join("fuzz/src/bin");
    let entries = fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension() == Some(OsStr::new("rs")))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn run(target: &str, seconds: u32) -> Result<()> {
    let root = workspace::root();
    let mut build = workspace::cargo();
    build.args(["build", "--locked", "-p", "fuzz", "--profile", "fuzz", "--bin", target]);
    // With a target named, the flags are for it alone and not for build scripts.
    build.args(["--target", &host_triple()?]);
    build.arg("--target-dir").arg(root.join("target/fuzz"));
    build.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    let program = workspace::build(&mut build, target)?;

    let corpus = root.join("target/fuzz-corpus").join(target);
    let findings = root.join("target/fuzz-findings").join(target);
    for directory in [&corpus, &findings] {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let mut command = std::process::Command::new(program);
    command.arg(format!("-max_total_time={seconds}"));
    command.args([
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        "-verbosity=0",
        "-max_len=16384",
    ]);
    command.arg(format!("-artifact_prefix={}/", findings.display()));
    // What is new goes to the first directory; the seeds are only read.
    command.arg(corpus).arg(seeds(root, target));
    cmd::run(&mut command)
}

fn seeds(root: &Path, target: &str) -> std::path::PathBuf {
    root.join("fuzz/seeds").join(target)
}

fn host_triple() -> Result<String> {
    let text = cmd::read(std::process::Command::new("rustc").arg("-vV"))?;
    let triple = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(triple.context("rustc -vV names no host")?.to_owned())
}
