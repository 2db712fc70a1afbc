//! promtool, which knows what a page for Prometheus has to look like.

use std::path::{Path, PathBuf};

use crate::{Netns, shell};

/// What `promtool check metrics` says about a page; empty when nothing.
///
/// # Panics
///
/// When there is no promtool: `cargo xtask setup` brings it.
#[track_caller]
pub fn complaints(namespace: &Netns, page: &str) -> String {
    let program = program();
    let output = shell::output(namespace, &program.display().to_string(), &["check", "metrics"], page);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    if output.status.success() { said } else { format!("{}\n{said}", output.status) }
}

fn program() -> PathBuf {
    let own =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(|root| root.join("target/promtool/promtool"));
    own.filter(|own| own.is_file()).unwrap_or_else(|| PathBuf::from("promtool"))
}
