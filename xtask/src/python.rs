//! Programs of Python that tests need, in an environment of their own below `target/`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{cmd, host, workspace};

/// What to install.
const REQUIREMENTS: &str = "tests/cloudwatch/requirements.txt";

/// Debian has the module that makes environments in a package of its own.
const DEBIAN_PYTHON: &[&str] = &["python3", "python3-venv"];

/// Makes sure that everything is there, and returns the interpreter that finds it.
pub fn environment() -> Result<PathBuf> {
    let root = workspace::root();
    let requirements = root.join(REQUIREMENTS);
    let wanted = fs::read_to_string(&requirements).with_context(|| format!("reading {REQUIREMENTS}"))?;
    let directory = root.join("target/python");
    let (python, installed) = (directory.join("bin/python3"), directory.join("installed.txt"));
    if python.exists() && fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let make = || cmd::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory));
    if let Err(error) = make() {
        ensure!(
            host::can_install(),
            "{error:#}; install {} as root, then run this again",
            DEBIAN_PYTHON.join(" and ")
        );
        host::install(DEBIAN_PYTHON)?;
        make()?;
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    cmd::run(pip.arg(&requirements))?;
    // Written last: an installation that broke off is not taken for one that is complete.
    fs::write(&installed, wanted).with_context(|| format!("writing {}", installed.display()))?;
    Ok(python)
}
