//! nginx for the lab: the one that is installed, else Debian's package unpacked below `target`, where it starts no
//! service.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{cmd, host, workspace};

/// Makes sure that there is one that runs.
pub fn provide() -> Result<()> {
    let root = workspace::root().join("target/nginx");
    if host::find("nginx").is_some() || runs(&root) {
        return Ok(());
    }
    if host::find("apt-get").is_none() || host::find("dpkg").is_none() {
        eprintln!("xtask: the lab also needs nginx: install it");
        return Ok(());
    }
    unpack(&root)?;
    if !runs(&root) {
        ensure!(
            host::can_install(),
            "nginx in {} needs libpcre2-8-0, zlib1g and libssl: install them",
            root.display()
        );
        // What it is linked with, by its own word.
        host::install(&["libpcre2-8-0", "zlib1g", "openssl"])?;
    }
    ensure!(runs(&root), "nginx was unpacked in {} and does not run: install nginx", root.display());
    Ok(())
}

fn program(root: &Path) -> PathBuf {
    root.join("usr/sbin/nginx")
}

fn runs(root: &Path) -> bool {
    Command::new(program(root)).arg("-v").output().is_ok_and(|output| output.status.success())
}

fn unpack(root: &Path) -> Result<()> {
    host::refresh();
    let fresh = root.with_extension("fresh");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("removing {}", fresh.display()))?;
    }
    fs::create_dir_all(&fresh).with_context(|| format!("making {}", fresh.display()))?;
    // As root apt downloads as another user, who may not write here.
    let words = ["-qq", "-o", "APT::Sandbox::User=root", "download", "nginx"];
    cmd::run(Command::new("apt-get").args(words).current_dir(&fresh))?;
    for entry in fs::read_dir(&fresh).with_context(|| format!("listing {}", fresh.display()))? {
        cmd::run(Command::new("dpkg").arg("-x").arg(entry?.path()).arg(&fresh))?;
    }
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("removing {}", root.display()))?;
    }
    fs::rename(&fresh, root).with_context(|| format!("renaming {}", fresh.display()))
}
