//! A process that ships lines with the agent's own code, as the agent does: its environment is its own, so that each test
//! has credentials and an endpoint to itself.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use lab::{
    aws::moto::{Key, REGION},
    shell::die_with_us,
    wait,
};

/// How to ship.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Log group.
    pub group: String,
    /// Log stream.
    pub stream: String,
    /// Whether the group may be made.
    pub create: bool,
    /// Memory for lines that wait.
    pub buffer_bytes: usize,
    /// How long a call may take.
    pub patience: Duration,
    /// How long the end waits.
    pub last_calls: Duration,
    /// Variables of its environment, beyond those that keep it away from the machine's own AWS settings.
    pub environment: Vec<(&'static str, String)>,
}

impl Plan {
    /// To this group at this endpoint, with a key that the double takes while it does not enforce anything.
    pub fn new(group: &str, endpoint: &str) -> Self {
        let key = Key { id: "testing".to_owned(), secret: "testing".to_owned() };
        let plan = Self {
            group: group.to_owned(),
            stream: "lines".to_owned(),
            create: false,
            buffer_bytes: 4 << 20,
            patience: Duration::from_secs(30),
            last_calls: Duration::from_secs(30),
            environment: vec![("AWS_ENDPOINT_URL", endpoint.to_owned())],
        };
        plan.with_key(&key)
    }

    /// With this access key.
    pub fn with_key(mut self, key: &Key) -> Self {
        self.environment.push(("AWS_ACCESS_KEY_ID", key.id.clone()));
        self.environment.push(("AWS_SECRET_ACCESS_KEY", key.secret.clone()));
        self
    }
}

/// The process.
pub struct Shipping {
    child: Child,
    lines: Option<ChildStdin>,
    errors: Option<JoinHandle<String>>,
}

/// How it ended.
#[derive(Debug)]
pub struct Shipped {
    /// Lines it says are lost.
    pub lost: u64,
    /// Of these, lines that waited for the end in vain.
    pub left: u64,
    /// Its peak of resident memory.
    pub peak_bytes: u64,
    /// Standard error.
    pub errors: String,
}

impl Shipping {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(plan: &Plan) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ship-lines"));
        command.arg(&plan.group).arg(&plan.stream).arg(plan.create.to_string());
        command.arg(plan.buffer_bytes.to_string());
        command.arg(plan.patience.as_millis().to_string()).arg(plan.last_calls.as_millis().to_string());
        command.env_clear().env("AWS_REGION", REGION).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("HOME", "/nonexistent").envs(plan.environment.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        die_with_us(&mut command);
        let mut child = command.spawn().expect("starting ship-lines");
        let lines = child.stdin.take();
        let mut stderr = child.stderr.take().expect("its standard error is a pipe");
        let errors = thread::spawn(move || {
            let mut text = String::new();
            let _what_could_be_read = stderr.read_to_string(&mut text);
            text
        });
        Self { child, lines, errors: Some(errors) }
    }

    /// Gives it lines.
    ///
    /// # Panics
    ///
    /// When it does not take them.
    pub fn write(&mut self, lines: &[String]) {
        let mut text = lines.join("\n");
        text.push('\n');
        let pipe = self.lines.as_mut().expect("it was not told to end");
        pipe.write_all(text.as_bytes()).expect("it reads");
    }

    /// Tells it to end, and waits until it has.
    ///
    /// # Panics
    ///
    /// When it does not end well.
    pub fn finish(mut self) -> Shipped {
        drop(self.lines.take());
        let status = wait::for_some("ship-lines to end", Duration::from_secs(90), || {
            self.child.try_wait().expect("its state")
        });
        let mut text = String::new();
        self.child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("its last words");
        let errors = self.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        assert!(status.success(), "{status}: {errors}");
        let words: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{errors}"));
        let number = |name: &str| words[name].as_u64().expect("a number");
        Shipped { lost: number("lost"), left: number("left"), peak_bytes: number("peak_bytes"), errors }
    }
}

impl Drop for Shipping {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}
