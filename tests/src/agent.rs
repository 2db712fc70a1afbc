//! The agent as a process: started in a namespace, read line by line, ended by a signal.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Netns, kernel, schema, wait};

/// How long a start may take: emulated machines are slow.
pub const START: Duration = Duration::from_secs(30);

/// Between two looks at what it wrote: short, because start times are measured with it.
const PAUSE: Duration = Duration::from_millis(2);

/// How long an end may take.
const END: Duration = Duration::from_secs(15);

/// The binary under test; `cargo xtask test` says which.
///
/// # Panics
///
/// When `AGENT_BIN` is not set.
pub fn binary() -> PathBuf {
    std::env::var_os("AGENT_BIN").map(PathBuf::from).expect("AGENT_BIN is not set: use `cargo xtask test`")
}

/// A running agent. Dropping it kills it.
pub struct Agent {
    child: Child,
    lines: Receiver<String>,
    /// Whether every line has to be as the schema says.
    is_for_machines: bool,
    text: String,
    seen: Vec<Value>,
    errors: Option<JoinHandle<String>>,
}

/// How an agent ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status.
    pub status: ExitStatus,
    /// All JSON lines.
    pub lines: Vec<Value>,
    /// Standard output.
    pub text: String,
    /// Standard error.
    pub errors: String,
}

impl Agent {
    /// `agent trace --output json` with these arguments, once it says that it watches.
    ///
    /// # Panics
    ///
    /// When it ends instead, or takes too long.
    #[track_caller]
    pub fn trace(namespace: &Netns, arguments: &[String]) -> Self {
        let mut all = vec!["trace".to_owned(), "--output".to_owned(), "json".to_owned()];
        all.extend_from_slice(arguments);
        let mut agent = Self::start(namespace, &all);
        agent.wait_for("the agent to watch", START, |line| line["kind"] == "start");
        agent
    }

    /// The binary with these arguments, without waiting for anything.
    #[track_caller]
    pub fn start(namespace: &Netns, arguments: &[String]) -> Self {
        let mut command = Command::new(binary());
        command.args(arguments);
        let reads_types = |word: &String| ["trace", "diagnose", "check"].contains(&word.as_str());
        if arguments.first().is_some_and(reads_types) && !arguments.iter().any(|word| word == "--btf") {
            command.args(kernel::arguments());
        }
        Self::spawn(namespace, command)
    }

    /// A prepared command. Lines for machines are held against the schema as they are read.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn spawn(namespace: &Netns, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let is_for_machines = is_for_machines(&command);
        let mut child = namespace.spawn(&mut command);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(stdout.expect("its standard output is a pipe"));
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut text = String::new();
            let mut stderr = stderr.expect("its standard error is a pipe");
            let _what_could_be_read = stderr.read_to_string(&mut text);
            text
        });
        Self { child, lines, is_for_machines, text: String::new(), seen: Vec::new(), errors: Some(errors) }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it allocated itself, as far as it is resident (`RssAnon`).
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn anonymous_kib(&self) -> u64 {
        anonymous_kib(self.id())
    }

    /// All JSON lines so far.
    pub fn lines(&mut self) -> &[Value] {
        while let Ok(line) = self.lines.try_recv() {
            self.take_in(&line);
        }
        &self.seen
    }

    /// Everything it wrote so far.
    pub fn text(&mut self) -> &str {
        self.lines();
        &self.text
    }

    #[track_caller]
    fn take_in(&mut self, line: &str) {
        // Only an agent that was killed leaves half a line.
        let whole = line.strip_suffix('\n');
        if let (true, Some(line)) = (self.is_for_machines, whole) {
            let complaints = schema::complaints(line);
            assert!(complaints.is_empty(), "{line}\nis not as the schema says:\n{complaints}");
        }
        let line = whole.unwrap_or(line);
        self.text.push_str(line);
        self.text.push('\n');
        self.seen.extend(serde_json::from_str(line).ok());
    }

    /// Waits for a line, one already seen included.
    ///
    /// # Panics
    ///
    /// When none comes in time; the message holds what came instead.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, limit: Duration, is_it: impl Fn(&Value) -> bool) -> Value {
        self.wait_until(what, limit, |lines| lines.iter().find(|line| is_it(line)).cloned())
    }

    /// Waits until all lines so far say something.
    ///
    /// # Panics
    ///
    /// When they do not in time.
    #[track_caller]
    pub fn wait_until<T>(&mut self, what: &str, limit: Duration, look: impl Fn(&[Value]) -> Option<T>) -> T {
        self.wait_on(what, limit, |agent| look(agent.lines()))
    }

    /// Waits until its output so far, as text, says something.
    ///
    /// # Panics
    ///
    /// When it does not in time.
    #[track_caller]
    pub fn wait_text<T>(&mut self, what: &str, limit: Duration, look: impl Fn(&str) -> Option<T>) -> T {
        self.wait_on(what, limit, |agent| look(agent.text()))
    }

    #[track_caller]
    fn wait_on<T>(&mut self, what: &str, limit: Duration, look: impl Fn(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + limit * wait::pace();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.child.try_wait().expect("asking for the agent's state").is_some();
            if ended || Instant::now() >= deadline {
                let why = if ended { "it ended" } else { "it took too long" };
                let shown = self.text().to_owned();
                self.signal(Signal::KILL);
                let errors = self.errors();
                let findings = in_short(&self.seen);
                panic!("waited in vain for {what}: {why}\n{shown}{errors}\nin short:\n{findings}");
            }
            thread::sleep(PAUSE);
        }
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        // It may have ended already; it is not reaped before this value is gone, so the id is still its own.
        let _ended_already = kill_process(id, signal);
    }

    /// SIGTERM, and how it ended.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[track_caller]
    pub fn stop(mut self) -> Ended {
        self.signal(Signal::TERM);
        self.wait_end()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[track_caller]
    pub fn wait_end(mut self) -> Ended {
        let status = wait::for_some("the agent to end", END, || {
            self.lines();
            self.child.try_wait().expect("asking for the agent's state")
        });
        let errors = self.errors();
        // The reader ends with the pipe, so this drains what is left.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.take_in(&line);
        }
        Ended { status, lines: std::mem::take(&mut self.seen), text: std::mem::take(&mut self.text), errors }
    }

    fn errors(&mut self) -> String {
        self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// Whether a command writes lines that the schema is about.
fn is_for_machines(command: &Command) -> bool {
    let words: Vec<_> = command.get_args().collect();
    let watches = words.iter().any(|word| *word == "trace" || *word == "diagnose");
    watches && words.windows(2).any(|pair| pair[0] == "--output" && (pair[1] == "json" || pair[1] == "emf"))
}

/// See [`Agent::anonymous_kib`].
///
/// # Panics
///
/// When there is no such process.
pub fn anonymous_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).expect("RssAnon")
}

/// A command line as its words.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `agent` with these arguments until it ends, which it does by itself.
///
/// # Panics
///
/// When it does not.
#[track_caller]
pub fn run(namespace: &Netns, arguments: &[&str]) -> Ended {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    Agent::start(namespace, &arguments).wait_end()
}

/// Changes of findings and of the verdict, a short line each: what came before may be too long to be shown whole.
fn in_short(lines: &[Value]) -> String {
    let told = |line: &Value| {
        let fields: &[&str] = match line["kind"].as_str()? {
            "finding" if line["state"] == "ongoing" => return None,
            "finding" => &["time", "code", "state", "severity", "confidence", "class", "sources"],
            "verdict" => &["time", "state"],
            _ => return None,
        };
        Some(fields.iter().map(|field| line[field].to_string()).collect::<Vec<_>>().join(" "))
    };
    let mut short: Vec<String> = lines.iter().filter_map(told).collect();
    // The same verdict again and again says nothing.
    short.dedup_by_key(|line| line.split_once(' ').map(|(_, rest)| rest.to_owned()));
    short.join("\n")
}
