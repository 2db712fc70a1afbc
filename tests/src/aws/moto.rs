//! moto: a double of AWS in one process on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use super::http::{Message, exchange};
use crate::{shell::die_with_us, wait};

/// Account of the double.
pub const ACCOUNT: &str = "123456789012";

/// Region of the tests.
pub const REGION: &str = "eu-west-1";

/// Events of one answer at most (CloudWatch Logs API reference, GetLogEvents).
const PAGE: usize = 10_000;

/// Where `cargo xtask` put the programs of Python.
///
/// # Panics
///
/// When `LAB_PYTHON` is not set.
pub fn python() -> PathBuf {
    std::env::var_os("LAB_PYTHON")
        .map(PathBuf::from)
        .expect("LAB_PYTHON is not set: use `cargo xtask cloudwatch`")
}

/// An access key.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// The double. Dropping it ends it.
pub struct Moto {
    child: Child,
    address: SocketAddr,
}

impl Moto {
    /// Starts an empty one.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub fn start() -> Self {
        // Free a moment ago. Somebody else may take it meanwhile; then the double ends, and the test says so.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let mut command = Command::new(python());
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        die_with_us(&mut command);
        let child = command.spawn().expect("starting moto");
        let mut moto = Self { child, address };
        wait::until("moto to answer", Duration::from_secs(60), || {
            if let Some(status) = moto.child.try_wait().expect("its state") {
                panic!("moto ended with {status}");
            }
            std::net::TcpStream::connect(address).is_ok()
        });
        moto
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    fn post(&self, path: &str, service: &str, headers: &[(&str, &str)], body: String) -> Message {
        let scope = format!("Credential=x/20260101/{REGION}/{service}/aws4_request");
        let mut all = vec![
            ("host".to_owned(), self.address.to_string()),
            ("content-length".to_owned(), body.len().to_string()),
            (
                "authorization".to_owned(),
                format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=x"),
            ),
        ];
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let request =
            Message { first: format!("POST {path} HTTP/1.1"), headers: all, body: body.into_bytes() };
        exchange(self.address, &request).expect("an answer of moto")
    }

    /// Calls CloudWatch Logs: the status and the answer.
    pub fn logs(&self, operation: &str, input: &Value) -> (u16, Value) {
        let target = format!("Logs_20140328.{operation}");
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let answer = self.post("/", "logs", &headers, input.to_string());
        (answer.status(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// Makes a log group.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn create_group(&self, group: &str) {
        let (status, answer) = self.logs("CreateLogGroup", &json!({ "logGroupName": group }));
        assert_eq!(status, 200, "{answer}");
    }

    /// Messages of a stream in the order they are kept; none where there is no such stream.
    pub fn messages(&self, group: &str, stream: &str) -> Vec<String> {
        let mut messages = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut input = json!({
                "logGroupName": group, "logStreamName": stream, "startFromHead": true, "limit": PAGE,
            });
            if let Some(token) = &token {
                input["nextToken"] = json!(token);
            }
            let (_, answer) = self.logs("GetLogEvents", &input);
            let events = answer["events"].as_array().cloned().unwrap_or_default();
            if events.is_empty() {
                return messages;
            }
            messages.extend(events.iter().filter_map(|event| Some(event["message"].as_str()?.to_owned())));
            token = answer["nextForwardToken"].as_str().map(str::to_owned);
        }
    }

    /// Days for which a group keeps its events; `None` for forever, or where there is no such group.
    pub fn retention(&self, group: &str) -> Option<u64> {
        let (_, answer) = self.logs("DescribeLogGroups", &json!({ "logGroupNamePrefix": group }));
        answer["logGroups"][0]["retentionInDays"].as_u64()
    }

    /// An access key of a new user who is allowed what this policy says and no more.
    ///
    /// # Panics
    ///
    /// When moto does not make one.
    pub fn user(&self, name: &str, policy: &Value) -> Key {
        let policy = policy.to_string();
        self.iam(&[("Action", "CreateUser"), ("UserName", name)]);
        self.iam(&[
            ("Action", "PutUserPolicy"),
            ("UserName", name),
            ("PolicyName", "tested"),
            ("PolicyDocument", &policy),
        ]);
        let answer = self.iam(&[("Action", "CreateAccessKey"), ("UserName", name)]);
        let part = |tag: &str| {
            let (_, rest) = answer.split_once(&format!("<{tag}>")).expect("an access key");
            rest.split_once('<').expect("the end of it").0.to_owned()
        };
        Key { id: part("AccessKeyId"), secret: part("SecretAccessKey") }
    }

    fn iam(&self, parameters: &[(&str, &str)]) -> String {
        let mut body = "Version=2010-05-08".to_owned();
        for (name, value) in parameters {
            body.push_str(&format!("&{name}={}", percent_encoded(value)));
        }
        let answer = self.post("/", "iam", &[("content-type", "application/x-www-form-urlencoded")], body);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status(), 200, "{parameters:?}: {text}");
        text
    }

    /// Whether policies are enforced from now on.
    ///
    /// # Panics
    ///
    /// When moto does not take it.
    pub fn enforce(&self, does: bool) {
        let calls_let_through = if does { "0" } else { "inf" };
        let headers = [("content-type", "application/json")];
        let answer = self.post("/moto-api/reset-auth", "", &headers, calls_let_through.to_owned());
        assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(&answer.body));
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Fails only when it has ended already, which is what is wanted.
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}
