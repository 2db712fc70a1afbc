//! The repository, and what cargo builds from it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{cmd, host};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// `cargo` in the root of the repository, with the toolchain that runs xtask.
pub fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root());
    command
}

/// Builds the agent, with further arguments for cargo, and returns the path of its binary.
pub fn build_agent(args: &[&str]) -> Result<PathBuf> {
    build(cargo().args(["build", "--locked", "-p", "agent"]).args(args), "agent")
}

/// Runs a binary of the lab's package, with further words, against the agent, both built for speed.
pub fn run_in_lab(name: &str, words: &[String]) -> Result<()> {
    need_root()?;
    let agent = build_agent(&["--release"])?;
    let args = ["run", "--locked", "--release", "-p", "lab", "--bin", name, "--"];
    cmd::run(cargo().args(args).args(words).env("AGENT_BIN", agent))
}

/// Fails early, in one sentence, where the lab would fail late and in many.
pub fn need_root() -> Result<()> {
    if host::is_root() {
        return Ok(());
    }
    bail!(
        "the lab makes network namespaces and needs root: run the same again with `sudo -E env \"PATH=$PATH\"`"
    )
}

/// Runs a cargo command that builds, and returns the path of the executable of one target.
pub fn build(command: &mut Command, target: &str) -> Result<PathBuf> {
    // Asking cargo is the only way that holds for every target directory, profile and hash.
    command.arg("--message-format=json-render-diagnostics");
    let messages = cmd::read(command)?;
    executable(&messages, target)
        .with_context(|| format!("{} built no executable of the name {target}", cmd::show(command)))
}

/// Finds an executable in cargo's messages, one JSON object a line. Looking for two fields in them does not
/// justify a JSON parser among the dependencies of xtask.
fn executable(messages: &str, target: &str) -> Option<PathBuf> {
    let name = format!(r#""name":"{target}""#);
    messages.lines().filter(|line| line.contains(&name)).find_map(|line| {
        let (_, rest) = line.split_once(r#""executable":""#)?;
        rest.split_once('"').map(|(path, _)| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_the_one_of_the_named_target() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"agent"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/other"}
{"reason":"compiler-artifact","target":{"name":"agent"},"executable":"/t/release/agent","fresh":true}"#;
        assert_eq!(executable(messages, "agent"), Some(PathBuf::from("/t/release/agent")));
        assert_eq!(executable(messages, "absent"), None);
    }
}
