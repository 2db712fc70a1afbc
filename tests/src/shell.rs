//! Runs the tools of the field inside a namespace.

use std::{
    fs, io,
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{Command, Output, Stdio},
};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::Netns;

/// Makes a program die with the thread that starts it, so that a killed test leaves no process.
pub fn die_with_us(command: &mut Command) {
    let arm = || -> io::Result<()> { Ok(set_parent_process_death_signal(Some(Signal::KILL))?) };
    // SAFETY: between fork and exec the closure makes one system call and touches no memory of the parent.
    unsafe { command.pre_exec(arm) };
}

/// Runs a program with this input and returns its output, whatever its exit code.
///
/// # Panics
///
/// When it cannot be run.
#[track_caller]
pub fn output(namespace: &Netns, program: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = namespace.spawn(&mut command);
    // Nothing the lab writes fills a pipe, so this cannot block on a program that does not read.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("running {program}: {error}"));
    if let Some(Err(error)) = written
        && output.status.success()
    {
        panic!("writing to {program}: {error}");
    }
    output
}

/// Runs a program that has to work, and returns what it wrote.
///
/// # Panics
///
/// When it fails; the message holds all of it.
#[track_caller]
pub fn run(namespace: &Netns, program: &str, arguments: &[&str], input: &str) -> String {
    let output = output(namespace, program, arguments, input);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed with {}: {text}{}\n{input}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Runs commands of iproute2, one a line and without the leading `ip`.
///
/// # Panics
///
/// When one fails.
#[track_caller]
pub fn ip(namespace: &Netns, commands: &str) {
    run(namespace, "ip", &["-batch", "-"], commands);
}

/// Runs commands of nftables, one a line and without the leading `nft`.
///
/// # Panics
///
/// When one fails.
#[track_caller]
pub fn nft(namespace: &Netns, commands: &str) {
    run(namespace, "nft", &["-f", "-"], commands);
}

/// Sets a value below `/proc/sys/net`; one that this kernel does not have is left alone.
///
/// # Panics
///
/// When it cannot be written.
pub fn sysctl(namespace: &Netns, name: &str, value: &str) {
    let path = format!("/proc/sys/net/{name}");
    let written = namespace.run(|| fs::write(&path, value));
    match written {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("writing {path}: {error}"),
        _ => {}
    }
}
