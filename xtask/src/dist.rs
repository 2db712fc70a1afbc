//! `dist`: what is shipped. A binary that carries everything it needs, and a container image that holds nothing else.
//!
//! Everything goes below `target/dist`: `agent-x86_64`, and `oci`, an OCI image layout with one image for each machine.
//! The same sources give the same bytes, so that anybody can check what is shipped; `--check` does.

mod layout;
mod machine;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{cmd, setup, workspace};
use layout::Image;
use machine::Machine;

/// Features of the agent that are in the shipped binary.
const SHIPPED_FEATURES: &[&str] = &["cloudwatch"];

/// Arguments of `dist`.
#[derive(clap::Args)]
pub struct Args {
    /// Machines to build for, each given once
    #[arg(long = "target", value_name = "MACHINE", value_enum, default_value = "x86-64")]
    machines: Vec<Machine>,
    /// Install what building for another machine takes
    #[arg(long)]
    install: bool,
    /// Build a second time, elsewhere, and fail when a byte differs
    #[arg(long)]
    check: bool,
    /// Run what was built: the lab's tests of this machine's image from its own bare root (needs root), another machine's
    /// binary under emulation
    #[arg(long = "try")]
    tries: bool,
}

/// Builds everything, and prints where it is and by which digest it is known.
pub fn dist(args: &Args) -> Result<()> {
    setup::setup()?;
    let directory = workspace::root().join("target/dist");
    let digest = build(args, &directory)?;
    println!("{}: image index sha256:{digest}", directory.join("oci").display());
    if args.tries {
        trial::run(&args.machines, &directory)?;
    }
    if args.check {
        let again = workspace::root().join("target/dist-again");
        let second = build(args, &again)?;
        ensure!(digest == second, "a second build gave another image: sha256:{second}");
        println!("a second build in {} gave the same digest", again.display());
    }
    Ok(())
}

/// Builds the binaries and the image into a directory; the digest of the image's index.
fn build(args: &Args, directory: &Path) -> Result<String> {
    let features = shipped_features()?;
    let mut images = Vec::new();
    for machine in &args.machines {
        machine.prepare(args.install)?;
        let built = machine.build(features, &directory.join("build"))?;
        let agent = directory.join(format!("agent-{}", machine.name()));
        fs::copy(&built, &agent).with_context(|| format!("copying to {}", agent.display()))?;
        ensure!(machine::is_static(&agent)?, "{} needs libraries: it would not start alone", agent.display());
        println!("{}: {:.1} MiB", agent.display(), fs::metadata(&agent)?.len() as f64 / f64::from(1 << 20));
        images.push(Image { machine: *machine, agent });
    }
    layout::write(&directory.join("oci"), &images, &licences())
}

fn licences() -> Vec<PathBuf> {
    ["LICENSE-APACHE", "LICENSE-GPL-2.0", "LICENSE-MIT"].map(|name| workspace::root().join(name)).into()
}

/// The shipped features, once cargo's own description of the package says that it has them.
fn shipped_features() -> Result<&'static [&'static str]> {
    let text = cmd::read(workspace::cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("reading the answer of cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let agent = packages.iter().find(|package| package["name"] == "agent");
    has_all(&agent.context("cargo metadata does not name the agent")?["features"], SHIPPED_FEATURES)?;
    Ok(SHIPPED_FEATURES)
}

/// Whether a package's table of features has these. One that was renamed would be missing in what is shipped.
fn has_all(features: &Value, wanted: &[&str]) -> Result<()> {
    let unknown: Vec<&str> = wanted.iter().copied().filter(|name| features.get(name).is_none()).collect();
    ensure!(
        unknown.is_empty(),
        "the agent has no feature {}, which is to be shipped: see SHIPPED_FEATURES in xtask/src/dist.rs",
        unknown.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipped_feature_that_the_agent_does_not_have_is_an_error() {
        let features = serde_json::json!({"cloudwatch": ["dep:aws-config"]});
        has_all(&features, SHIPPED_FEATURES).expect("it has them");
        let error =
            has_all(&features, &["cloudwatch", "prometheus"]).expect_err("one is unknown").to_string();
        assert!(error.contains("no feature prometheus,"), "{error}");
        shipped_features().expect("the agent has all that is shipped");
    }
}
