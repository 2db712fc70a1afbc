//! Whether what was built runs: the image of this machine from its own bare root, in the lab; the binary of another one
//! under emulation, as far as that goes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::dist::machine::{EMULATOR, Machine};
use crate::{cmd, host, workspace};

/// Tries what was built for each of the machines.
pub fn run(machines: &[Machine], directory: &Path) -> Result<()> {
    for machine in machines {
        if machine.is_here() {
            in_the_lab(&directory.join("oci"))?;
        } else {
            emulated(&directory.join(format!("agent-{}", machine.name())))?;
        }
    }
    Ok(())
}

/// The lab's tests of the image in this layout.
fn in_the_lab(layout: &Path) -> Result<()> {
    workspace::need_root()?;
    let mut tests = workspace::cargo();
    // Ignored by those who have no image.
    tests.args(["test", "--locked", "-p", "lab", "--test", "image", "--", "--include-ignored"]);
    cmd::run(tests.env("LAB_IMAGE", layout))
}

/// Starts a binary for aarch64. The emulator has no `bpf`, so the agent has to say that nothing can be loaded, hook by hook,
/// after it has read the kernel's types and listeners as on any machine.
fn emulated(agent: &Path) -> Result<()> {
    if host::find(EMULATOR.0).is_none() {
        ensure!(host::can_install(), "running {} needs {}", agent.display(), EMULATOR.1);
        host::install(&[EMULATOR.1])?;
    }
    let start = |arguments: &[&str]| {
        let mut command = Command::new(EMULATOR.0);
        command.arg(agent).args(arguments);
        eprintln!("+ {}", cmd::show(&command));
        let output = command.output().with_context(|| format!("starting {}", agent.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::Ok((output.status.code(), text))
    };
    let (code, version) = start(&["--version"])?;
    let expected = concat!("agent ", env!("CARGO_PKG_VERSION"));
    ensure!(code == Some(0) && version.trim() == expected, "it says {version:?}, exit code {code:?}");
    let (code, page) = start(&["explain", "host_firewall"])?;
    ensure!(code == Some(0) && page.len() > 200, "it explains {page:?}, exit code {code:?}");
    let (code, _) = start(&["trace", "--port", "8080", "--interface", "lo"])?;
    ensure!(code == Some(3), "it cannot observe, and ended with {code:?}");
    let (code, text) = start(&["check", "--port", "8080", "--interface", "lo", "--output", "json"])?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let state = |id: &str| lines.iter().find(|line| line["id"] == id).map(|line| line["state"].clone());
    ensure!(code == Some(3), "a check without bpf ended with {code:?}: {text}");
    for (id, wanted) in [("hooks", "fail"), ("btf", "pass")] {
        ensure!(state(id) == Some(wanted.into()), "{id} should {wanted}: {text}");
    }
    println!("{} starts under {}", agent.display(), EMULATOR.0);
    Ok(())
}
