//! Runs programs, and names the whole command when one fails.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A command that ran and ended badly; anyhow carries it up to `main`, which exits with its code.
#[derive(Debug)]
pub struct Failed {
    what: String,
    code: Option<i32>,
}

impl Failed {
    /// The failure of `what`, which ended with `code` (None: killed by a signal).
    pub fn new(what: impl Into<String>, code: Option<i32>) -> Self {
        Self { what: what.into(), code }
    }

    /// The exit code to pass on: the command's own, or 1 where it has none.
    pub fn exit_code(&self) -> ExitCode {
        match self.code.and_then(|code| u8::try_from(code).ok()) {
            None | Some(0) => ExitCode::FAILURE,
            Some(code) => ExitCode::from(code),
        }
    }

    fn check(command: &Command, status: ExitStatus) -> Result<()> {
        if status.success() { Ok(()) } else { Err(Self::new(show(command), status.code()).into()) }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{} failed with exit code {code}", self.what),
            None => write!(f, "{} was ended by a signal", self.what),
        }
    }
}

impl std::error::Error for Failed {}

/// Says what is run, runs it with the terminal's streams, and fails when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    eprintln!("+ {}", show(command));
    let status = command.status().with_context(|| cannot_start(command))?;
    Failed::check(command, status)
}

/// As [`run`], but returns what the command wrote to its standard output.
pub fn read(command: &mut Command) -> Result<String> {
    eprintln!("+ {}", show(command));
    let output = command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(command))?;
    Failed::check(command, output.status)?;
    String::from_utf8(output.stdout).with_context(|| format!("reading the output of {}", show(command)))
}

/// As [`run`], but shows each line of standard output to `see` as well, and says how the command ended in place of failing.
pub fn watch(command: &mut Command, mut see: impl FnMut(&str)) -> Result<Result<(), Failed>> {
    eprintln!("+ {}", show(command));
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| cannot_start(command))?;
    let output = child.stdout.take().context("standard output is a pipe")?;
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).context("reading what the command prints")? > 0 {
        io::stdout().write_all(&line).context("printing what the command prints")?;
        see(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    let status = child.wait().with_context(|| format!("waiting for {}", show(command)))?;
    Ok(if status.success() { Ok(()) } else { Err(Failed::new(show(command), status.code())) })
}

/// As [`run`], but kills a command that takes longer than `limit`.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    eprintln!("+ {}", show(command));
    let mut child = command.stdin(Stdio::null()).spawn().with_context(|| cannot_start(command))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().with_context(|| format!("waiting for {}", show(command)))? {
            return Failed::check(command, status);
        }
        if Instant::now() >= deadline {
            child.kill().and_then(|()| child.wait()).with_context(|| format!("killing {}", show(command)))?;
            bail!("{} did not end within {} s", show(command), limit.as_secs());
        }
        sleep(Duration::from_millis(50));
    }
}

/// Asks a question nobody needs to see: the output of a command that worked, None of one that did not.
pub fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Replaces this process by the command; returns only when that did not work.
pub fn exec(command: &mut Command) -> Result<()> {
    use std::os::unix::process::CommandExt as _;

    eprintln!("+ {}", show(command));
    let error: io::Error = command.exec();
    Err(error).with_context(|| cannot_start(command))
}

/// The command as one would type it: the variables set for it, the program, the arguments.
pub fn show(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={}", name.to_string_lossy(), quote(value)))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quote);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell takes it back unchanged.
pub fn quote(word: impl AsRef<OsStr>) -> String {
    // The separator of CARGO_ENCODED_RUSTFLAGS is the one control character that occurs; show it readably.
    let word = word.as_ref().to_string_lossy().replace('\x1f', " ");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", show(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("cargo");
        command.env("AGENT_BIN", "/a b").args(["test", "it's", ""]);
        assert_eq!(show(&command), r"AGENT_BIN='/a b' cargo test 'it'\''s' ''");
    }

    #[test]
    fn a_failure_names_the_whole_command_and_keeps_its_code() {
        let error = run(Command::new("sh").args(["-c", "exit 7"])).unwrap_err();
        assert_eq!(error.to_string(), "sh -c 'exit 7' failed with exit code 7");
        assert_eq!(error.downcast_ref::<Failed>().unwrap().exit_code(), ExitCode::from(7));
    }

    #[test]
    fn a_command_that_is_watched_shows_every_line_and_how_it_ended() {
        let mut seen = Vec::new();
        let ended = watch(Command::new("sh").args(["-c", "echo one; printf two; exit 3"]), |line| {
            seen.push(line.to_owned())
        });
        assert_eq!(ended.unwrap().unwrap_err().code, Some(3));
        assert_eq!(seen, ["one", "two"]);
        watch(&mut Command::new("true"), |_| {}).unwrap().unwrap();
    }

    #[test]
    fn a_command_over_its_limit_is_killed() {
        let error = run_within(Command::new("sleep").arg("60"), Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.to_string(), "sleep 60 did not end within 0 s");
    }
}
