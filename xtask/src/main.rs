//! `cargo xtask VERB`: every chore of this repository, from a bare machine to a booted kernel.
//!
//! Each verb lives in its own file. The rest is what they share: [`cmd`] runs programs, [`host`] knows the
//! machine, [`toolchain`] the compiler for eBPF, [`workspace`] the repository and what cargo builds from it.

mod bench;
mod cloudwatch;
mod cmd;
mod demo;
mod dist;
mod fuzz;
mod host;
mod kernels;
mod layers;
mod lint;
mod matrix;
mod nginx;
mod promtool;
mod python;
mod run;
mod setup;
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Give this machine what it lacks to build the eBPF programs and to run the lab
    Setup,
    /// Build the agent and run it with the arguments after `--`
    Run(run::Args),
    /// Watch the lab tell the story of blocked health checks (needs root)
    Demo,
    /// Run the host tests, then the lab (needs root)
    Test(test::Args),
    /// Test shipping to CloudWatch Logs and the files in deploy/, against a double of AWS
    Cloudwatch(cloudwatch::Args),
    /// Check format, clippy, the layers of the agent, and licences
    Lint,
    /// Write docs/scenarios.md from what the rows of the lab showed
    Matrix,
    /// Throw made-up bytes at every parser of foreign ones
    Fuzz(fuzz::Args),
    /// Measure the agent in the lab (needs root)
    Bench(bench::Args),
    /// Build the binary and the container image that are shipped
    Dist(dist::Args),
    /// Run the lab inside other kernels, booted under emulation
    Kernels(kernels::Args),
}

fn main() -> ExitCode {
    match perform(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            // A step that failed keeps its own exit code, so that scripts see what they would see without xtask.
            error.downcast_ref::<cmd::Failed>().map_or(ExitCode::FAILURE, cmd::Failed::exit_code)
        }
    }
}

fn perform(verb: Verb) -> Result<()> {
    match verb {
        Verb::Setup => setup::setup().map(drop),
        Verb::Run(args) => run::run(&args),
        Verb::Demo => demo::demo(),
        Verb::Test(args) => test::test(&args),
        Verb::Cloudwatch(args) => cloudwatch::cloudwatch(&args),
        Verb::Lint => lint::lint(),
        Verb::Matrix => matrix::matrix(),
        Verb::Fuzz(args) => fuzz::fuzz(&args),
        Verb::Bench(args) => bench::bench(&args),
        Verb::Dist(args) => dist::dist(&args),
        Verb::Kernels(args) => kernels::kernels(&args),
    }
}
