//! The agent itself: it watches a namespace, and its calls to AWS leave from its own. Needs root.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use lab::{
    Netns,
    aws::{
        front::{Front, THROTTLED, UNAVAILABLE},
        moto::REGION,
    },
    shell::die_with_us,
    wait,
    witness::attached,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::aws;

const GROUP: &str = "/test/agent";
const SOON: Duration = Duration::from_secs(60);

/// A running agent, and threads that read what it writes.
struct Running {
    child: Child,
    text: JoinHandle<String>,
    errors: JoinHandle<String>,
}

/// The agent on the loopback interface of this namespace.
fn agent(namespace: &Netns, front: &Front, further: &[&str]) -> Running {
    let mut command = Command::new(lab::agent::binary());
    command.args(["trace", "--interface", "lo", "--port", "80", "--interval", "200ms", "--output", "json"]);
    command.arg("--netns").arg(namespace.path()).args(further);
    command.envs([("AWS_REGION", REGION), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")]);
    command.env("AWS_ENDPOINT_URL", front.url()).env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    die_with_us(&mut command);
    let mut child = command.spawn().expect("starting the agent");
    let text = reader(child.stdout.take().expect("a pipe"));
    let errors = reader(child.stderr.take().expect("a pipe"));
    Running { child, text, errors }
}

fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        let _what_could_be_read = pipe.read_to_string(&mut text);
        text
    })
}

impl Running {
    /// Names of its threads.
    fn threads(&self) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a living process");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = std::fs::read_to_string(entry.ok()?.path().join("comm")).ok()?;
            Some(name.trim().to_owned())
        };
        tasks.filter_map(name).collect()
    }

    /// Whether its threads of this name hold no capability at all.
    fn has_no_powers(&self, thread: &str) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a living process");
        let status = |entry: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(entry.ok()?.path().join("status")).ok()
        };
        let named = format!("Name:\t{thread}\n");
        let found: Vec<String> =
            tasks.filter_map(status).filter(|status| status.starts_with(&named)).collect();
        let is_zero = |status: &String, set: &str| {
            status.lines().any(|line| {
                line.strip_prefix(set).is_some_and(|rest| rest.trim().bytes().all(|digit| digit == b'0'))
            })
        };
        !found.is_empty()
            && found.iter().all(|status| is_zero(status, "CapEff:") && is_zero(status, "CapPrm:"))
    }

    /// Ends it, and returns what it wrote to standard output and standard error.
    fn stop(mut self) -> (String, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("a signal");
        let ended = wait::for_some("the agent to end", SOON, || self.child.try_wait().expect("its state"));
        let text = self.text.join().expect("its output");
        let errors = self.errors.join().expect("its errors");
        assert_eq!(ended.code(), Some(0), "{errors}");
        (text, errors)
    }
}

#[test]
fn every_line_of_the_agent_reaches_aws_once_and_in_order_up_to_its_last_word() {
    let (moto, front) = aws();
    let namespace = Netns::new();
    front.next([THROTTLED, UNAVAILABLE]);
    let agent = agent(
        &namespace,
        &front,
        &["--cloudwatch-log-group", GROUP, "--cloudwatch-log-stream", "node/1", "--cloudwatch-create"],
    );
    wait::until("lines in AWS", SOON, || moto.messages(GROUP, "node/1").len() > 20);
    assert!(agent.has_no_powers("cloudwatch"), "what speaks to AWS needs none");
    // At the end, too, AWS is away for a moment.
    front.next([UNAVAILABLE]);
    let (text, errors) = agent.stop();
    let stored = moto.messages(GROUP, "node/1");
    assert_eq!(stored, text.lines().collect::<Vec<_>>(), "{errors}");
    assert!(stored.first().is_some_and(|line| line.contains(r#""kind":"start""#)));
    assert!(stored.last().is_some_and(|line| line.contains(r#""kind":"stop""#)));
    assert_eq!(moto.retention(GROUP), Some(30));
}

#[test]
fn what_aws_does_not_take_is_in_the_loss_line_and_never_stops_the_agent() {
    let (_moto, front) = aws();
    let namespace = Netns::new();
    front.every(Some(lab::aws::front::Fault::Error("InvalidParameterException", 400)));
    let agent = agent(&namespace, &front, &["--cloudwatch-log-group", GROUP]);
    wait::until("two calls", SOON, || front.seen().len() >= 2);
    thread::sleep(Duration::from_millis(500));
    let (text, errors) = agent.stop();
    let loss = text.lines().rfind(|line| line.contains(r#""kind":"loss""#)).expect("a loss line");
    let loss: serde_json::Value = serde_json::from_str(loss).expect("JSON");
    assert!(loss["shipping_lines"].as_u64().is_some_and(|lost| lost > 0), "{loss}");
    assert!(errors.contains("refuses the call for good"), "{errors}");
}

#[test]
fn a_missing_permission_is_one_sentence_on_standard_error_and_the_agent_goes_on() {
    let (_moto, front) = aws();
    let namespace = Netns::new();
    front.every(Some(lab::aws::front::Fault::Error("AccessDeniedException", 400)));
    let agent = agent(&namespace, &front, &["--cloudwatch-log-group", GROUP]);
    wait::until("a call", SOON, || !front.seen().is_empty());
    let (text, errors) = agent.stop();
    assert!(text.lines().last().is_some_and(|line| line.contains(r#""kind":"stop""#)), "{text}");
    let about: Vec<_> = errors.lines().filter(|line| line.contains("not allowed")).collect();
    assert_eq!(about.len(), 1, "{errors}");
    assert!(about[0].contains("logs:PutLogEvents") && about[0].contains(&format!("log-group:{GROUP}:*")));
    assert!(errors.contains("CloudWatch Logs did not take the last"), "{errors}");
}

#[test]
fn without_a_log_group_nothing_of_it_runs() {
    let (_moto, front) = aws();
    let namespace = Netns::new();
    let agent = agent(&namespace, &front, &[]);
    wait::until("the hooks", SOON, || !attached(&namespace).is_empty());
    assert_eq!(agent.threads().iter().filter(|name| name.contains("cloudwatch")).count(), 0);
    agent.stop();
    assert!(front.seen().is_empty());
}

/// `check` looks for credentials as shipping does.
#[test]
fn check_says_whether_there_are_credentials_and_a_region() {
    let namespace = Netns::new();
    let check = |variables: &[(&str, &str)]| {
        let mut command = Command::new(lab::agent::binary());
        command.args(["check", "--interface", "lo", "--port", "80", "--output", "json"]);
        command.args(["--cloudwatch-log-group", GROUP]).env("HOME", "/nowhere");
        command.env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
        let output = namespace.spawn(command.stdout(Stdio::piped())).wait_with_output().expect("its output");
        let text = String::from_utf8(output.stdout).expect("text");
        let line = text.lines().find(|line| line.contains("\"credentials\"")).expect("it is checked");
        serde_json::from_str::<serde_json::Value>(line).expect("JSON")
    };
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];
    let both = check(&[keys[0], keys[1], ("AWS_REGION", REGION)]);
    assert_eq!(both["state"], "pass", "{both}");
    assert!(both["found"].as_str().is_some_and(|found| found.contains(REGION)), "{both}");
    let no_region = check(&keys);
    assert_eq!(no_region["state"], "warn", "{no_region}");
    assert!(no_region["found"].as_str().is_some_and(|found| found.contains("AWS_REGION")), "{no_region}");
    let nothing = check(&[("AWS_REGION", REGION)]);
    assert_eq!(nothing["state"], "warn", "{nothing}");
    assert!(nothing["fix"].as_str().is_some_and(|fix| fix.contains("AWS_PROFILE")), "{nothing}");
}
