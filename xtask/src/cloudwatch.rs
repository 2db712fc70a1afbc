//! `cloudwatch`: the tests of shipping to CloudWatch Logs and of the files in `deploy/`, against a double of AWS.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;

use crate::{cmd, python, setup, workspace};

/// As in the agent's Cargo.toml and in the lab's.
const FEATURE: [&str; 2] = ["--features", "cloudwatch"];

/// Arguments of `cloudwatch`.
#[derive(Default, clap::Args)]
pub struct Args {
    /// Outages of 30 s as in production, instead of 3 s
    #[arg(long)]
    long: bool,
    /// Arguments of the tests, such as a name to filter by
    #[arg(last = true)]
    tests: Vec<OsString>,
}

/// Sets up what is needed, and runs the agent's own tests with the SDK built in, then those against the double.
pub fn cloudwatch(args: &Args) -> Result<()> {
    setup::setup()?;
    let python = python::environment()?;
    let mut own = workspace::cargo();
    cmd::run(own.args(["test", "--locked", "-p", "agent", "--lib"]).args(FEATURE))?;
    against_the_double(&python, args)
}

/// The tests against the double.
fn against_the_double(python: &Path, args: &Args) -> Result<()> {
    let agent = workspace::build_agent(&FEATURE)?;
    let mut tests = workspace::cargo();
    tests.args(["test", "--locked", "-p", "lab", "--test", "cloudwatch"]).args(FEATURE);
    tests.arg("--").args(&args.tests);
    tests.env("AGENT_BIN", agent).env("LAB_PYTHON", python);
    if args.long {
        tests.env("LAB_LONG", "1");
    }
    cmd::run(&mut tests)
}
