//! Flag, environment, configuration file, default: which goes first. With the binary, because the environment belongs to
//! the process.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output},
};

/// A configuration file, removed at the end.
struct Config(PathBuf);

impl Config {
    fn new(name: &str, text: &str) -> Self {
        let path = env::temp_dir().join(format!("agent-precedence-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).expect("a file");
        Self(path)
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("removing the file");
    }
}

/// `check --live` says which ready file it looks for, and attaches nothing.
fn live(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("AGENT_")) {
        command.env_remove(name);
    }
    command.args(["check", "--live"]).args(arguments).envs(variables.iter().copied());
    command.output().expect("the agent runs")
}

#[track_caller]
fn looks_for(output: &Output, file: &str) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains(&format!("{file} cannot be read")),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_flag_goes_first_then_the_environment_then_the_file() {
    let config = Config::new("all", "ready_file = \"/nonexistent/of-file\"\n");
    let path = config.0.to_str().expect("text");
    let variable = ("AGENT_READY_FILE", "/nonexistent/of-environment");
    looks_for(
        &live(&["--config", path, "--ready-file", "/nonexistent/of-flag"], &[variable]),
        "/nonexistent/of-flag",
    );
    looks_for(&live(&["--config", path], &[variable]), "/nonexistent/of-environment");
    looks_for(&live(&["--config", path], &[]), "/nonexistent/of-file");
    // The file itself may be named by the environment.
    looks_for(&live(&[], &[("AGENT_CONFIG", path)]), "/nonexistent/of-file");
    // And without any of them there is none to look for.
    let output = live(&[], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("AGENT_READY_FILE"));
}

#[test]
fn a_wrong_file_is_one_line_and_exit_code_two() {
    let config = Config::new("wrong", "port = 80\nprot = 81\n");
    let output = live(&["--config", config.0.to_str().expect("text")], &[]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
    assert!(text.contains("line 2: prot is no key"), "{text}");
}

#[test]
fn completions_and_the_man_page_are_printed() {
    for (arguments, part) in [(vec!["completions", "bash"], "_agent()"), (vec!["man"], ".TH agent 1")] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_agent")).args(&arguments).output().expect("the agent runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(part), "{arguments:?}: {text}");
    }
}
