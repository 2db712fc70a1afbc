//! promtool for the lab: the one that is installed, else the one of Debian's package `prometheus`, taken out of it below
//! `target`. Installing that package would start a Prometheus.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{cmd, host, workspace};

const PACKAGE: &str = "prometheus";

/// Makes sure that there is one that runs, as far as we may.
pub fn provide() -> Result<()> {
    let program = workspace::root().join("target/promtool/promtool");
    if host::find("promtool").is_some() || runs(&program) {
        return Ok(());
    }
    let has_tools = host::find("apt-get").is_some() && host::find("dpkg").is_some();
    if !has_tools || !host::offers(PACKAGE) {
        // Building and the host tests work without, so this is no failure.
        eprintln!("xtask: the lab also needs promtool, which is part of Prometheus: install it");
        return Ok(());
    }
    take_out(&program)?;
    ensure!(
        runs(&program),
        "{} of Debian's package {PACKAGE} does not run: install promtool",
        program.display()
    );
    Ok(())
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn take_out(program: &Path) -> Result<()> {
    let folder = program.parent().unwrap_or(program);
    let fresh = folder.with_extension("fresh");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("removing {}", fresh.display()))?;
    }
    fs::create_dir_all(&fresh).with_context(|| format!("making {}", fresh.display()))?;
    // As root apt downloads as another user, who may not write here.
    let words = ["-qq", "-o", "APT::Sandbox::User=root", "download", PACKAGE];
    cmd::run(Command::new("apt-get").args(words).current_dir(&fresh))?;
    let listed = fs::read_dir(&fresh).with_context(|| format!("listing {}", fresh.display()))?;
    let packages: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    for package in &packages {
        cmd::run(Command::new("dpkg").arg("-x").arg(package).arg(&fresh))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let unpacked = fresh.join("usr/bin/promtool");
    fs::rename(&unpacked, program).with_context(|| format!("moving {}", unpacked.display()))?;
    fs::remove_dir_all(&fresh).with_context(|| format!("removing {}", fresh.display()))
}
