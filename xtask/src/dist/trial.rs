//! Whether what was built runs: the image of this machine from its own bare root, in the lab.

use std::path::Path;

use anyhow::Result;

use crate::{cmd, workspace};

/// Runs the lab's tests of the image in this layout.
pub fn run(layout: &Path) -> Result<()> {
    workspace::need_root()?;
    let mut tests = workspace::cargo();
    // Ignored by those who have no image.
    tests.args(["test", "--locked", "-p", "lab", "--test", "image", "--", "--include-ignored"]);
    cmd::run(tests.env("LAB_IMAGE", layout))
}
