//! Runs the emulated machine: shows its console, and reads from it what became of the test.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::record::{AGENT, ROW};
use crate::cmd;

/// The guest prints this and its release once it is ready for the test.
pub const BOOTED: &str = "KERNELS-BOOTED";

/// The guest prints this and the exit code of the test.
pub const EXITED: &str = "KERNELS-EXIT";

/// The guest prints this and the names of the rows that it runs once more.
pub const AGAIN: &str = "KERNELS-AGAIN";

/// What libtest prints over the output of a test that failed.
const FAILED: &str = "---- ";

/// Lines of each failed test that are repeated, and characters of each.
const REPEATED: (usize, usize) = (12, 300);

/// How a machine ended.
#[derive(Debug)]
pub struct Report {
    boot: Duration,
    code: i32,
    lines: Vec<String>,
    failures: Vec<String>,
}

impl Report {
    /// What failed and how it begins to say why: to be repeated at the end, where a reader of a long log looks.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// What the agent of the guest said when it was asked by itself.
    pub fn agent(&self) -> impl Iterator<Item = &str> {
        self.behind(AGENT)
    }

    /// What each row showed that held.
    pub fn rows(&self) -> impl Iterator<Item = &str> {
        self.behind(ROW)
    }

    fn behind(&self, mark: &str) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(move |line| line.split_once(mark).map(|(_, rest)| rest.trim()))
    }

    /// The failure of the test in that kernel, if it failed.
    pub fn failure(&self, version: &str) -> Option<anyhow::Error> {
        let what = || format!("the test in kernel {version}");
        (self.code != 0).then(|| cmd::Failed::new(what(), Some(self.code)).into())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = if self.code == 0 { "passed" } else { "failed" };
        write!(f, "{outcome} with exit code {}, booted in {:.1} s", self.code, self.boot.as_secs_f64())
    }
}

/// Runs the machine until it switches itself off, or kills it after `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<Report> {
    eprintln!("+ {}", cmd::show(command));
    let began = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", cmd::show(command)))?;
    let mut machine = Machine(child);
    let console = machine.0.stdout.take().context("the machine has no console")?;
    watch(&lines(console), began, limit)
}

/// The machine does not outlive the interest in it.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines of the console, read on a thread so that the reader can stop waiting.
fn lines(console: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut console = BufReader::new(console);
        let mut line = Vec::new();
        while console.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            line.clear();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    receiver
}

fn watch(lines: &Receiver<String>, began: Instant, limit: Duration) -> Result<Report> {
    let mut boot = None;
    let mut code = None;
    let mut kept = Vec::new();
    let mut failures = Vec::new();
    let mut to_repeat = 0;
    loop {
        // Once it has said all there is to say, switching itself off takes a moment or does not matter.
        let patience = limit.saturating_sub(began.elapsed());
        let patience = if code.is_some() { patience.min(Duration::from_secs(10)) } else { patience };
        match lines.recv_timeout(patience) {
            Ok(line) => {
                if line.contains(AGENT) || line.contains(ROW) {
                    kept.push(line);
                    continue;
                }
                println!("{line}");
                if line.contains(AGAIN) {
                    failures.push(line.clone());
                }
                if line.starts_with(FAILED) {
                    to_repeat = REPEATED.0;
                }
                if to_repeat > 0 && !line.is_empty() {
                    failures.push(line.chars().take(REPEATED.1).collect());
                    to_repeat -= 1;
                }
                if line.contains(BOOTED) {
                    boot = Some(began.elapsed());
                }
                code = code.or_else(|| exit_code(&line));
            }
            Err(_) if code.is_some() => break,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                bail!("killed: it took longer than {} minutes", limit.as_secs() / 60)
            }
        }
    }
    let Some(boot) = boot else { bail!("the kernel did not reach its first process, see its console above") };
    let Some(code) = code else { bail!("the kernel stopped before the test ended, see its console above") };
    Ok(Report { boot, code, lines: kept, failures })
}

/// The code on the guest's last line. A message of the kernel may stand before it on the same line.
fn exit_code(line: &str) -> Option<i32> {
    let (_, rest) = line.rsplit_once(EXITED)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &'static str) -> Result<Report> {
        watch(&lines(text.as_bytes()), Instant::now(), Duration::from_secs(10))
    }

    #[test]
    fn the_exit_code_is_read_from_the_console() {
        let report =
            console("[1.0] hello\r\nKERNELS-BOOTED 6.1\r\ntest result\r\nKERNELS-ROW | fault |\r\n[9.1] x KERNELS-EXIT 101\r\n")
                .unwrap();
        assert_eq!(report.code, 101);
        assert_eq!(report.rows().collect::<Vec<_>>(), ["| fault |"]);
        assert_eq!(report.agent().count(), 0);
        assert!(report.failure("6.1").is_some());
    }

    #[test]
    fn what_failed_is_kept_to_be_said_last() {
        let report = console(
            "KERNELS-BOOTED 6.1\r\ntest a ... FAILED\r\nfailures:\r\n\r\n---- a stdout ----\r\nwaited in vain\r\n\
             KERNELS-EXIT 101\r\n",
        )
        .unwrap();
        assert_eq!(report.failures()[..2], ["---- a stdout ----", "waited in vain"]);
        assert!(console("KERNELS-BOOTED 6.1\r\nKERNELS-EXIT 0\r\n").unwrap().failures().is_empty());
    }

    #[test]
    fn a_kernel_that_dies_is_a_failure() {
        assert!(console("[1.0] hello\r\n").unwrap_err().to_string().contains("did not reach"));
        assert!(
            console("KERNELS-BOOTED 6.1\r\nKernel panic\r\n")
                .unwrap_err()
                .to_string()
                .contains("stopped before")
        );
    }

    #[test]
    fn a_kernel_that_hangs_is_given_up() {
        let (sender, lines) = mpsc::channel();
        let error = watch(&lines, Instant::now(), Duration::from_millis(50)).unwrap_err();
        drop(sender);
        assert!(error.to_string().contains("killed"));
    }
}
