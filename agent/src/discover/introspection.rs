//! Names of tasks and containers from the ECS container agent on the same host, where there is one.
//!
//! `GET /v1/tasks` of its introspection API (AWS, "Amazon ECS container agent introspection"): plain HTTP, no rights, reached
//! from the host's own network namespace only.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::domain::workload::Workload;

/// Where the container agent listens.
pub const CONTAINER_AGENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 51678);

/// It is on this host: whoever needs longer does not answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A hundred tasks take about 100 KiB.
const MOST_BYTES: u64 = 4 << 20;

/// Workloads by the id of their container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Containers(BTreeMap<String, Workload>);

impl Containers {
    /// What is known of this workload, by its container's id; what it knew already where nothing is.
    pub fn name(&self, workload: &Workload) -> Workload {
        let known = workload.container.as_ref().and_then(|id| self.0.get(id));
        known.cloned().unwrap_or_else(|| workload.clone())
    }

    /// Reads the answer; what does not look as expected is left out.
    pub fn from_json(answer: &Value) -> Self {
        // It goes onto terminals and into labels.
        let is_printable = |text: &&str| !text.chars().any(char::is_control);
        let text = |value: &Value| value.as_str().filter(is_printable).map(str::to_owned);
        let mut containers = BTreeMap::new();
        for task in answer["Tasks"].as_array().into_iter().flatten() {
            for container in task["Containers"].as_array().into_iter().flatten() {
                let Some(id) = text(&container["DockerId"]) else { continue };
                let workload = Workload {
                    task: text(&task["Arn"]),
                    family: text(&task["Family"]),
                    pod: None,
                    container: text(&container["Name"]),
                };
                containers.insert(id, workload);
            }
        }
        Self(containers)
    }
}

/// Asks it. Blocks for about a second at most.
///
/// # Errors
///
/// When nobody answers in time, or not as documented.
pub fn containers(at: SocketAddr) -> io::Result<Containers> {
    let body = get(at, "/v1/tasks")?;
    let answer: Value = serde_json::from_slice(&body)?;
    Ok(Containers::from_json(&answer))
}

fn get(at: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + TIMEOUT;
    let mut stream = TcpStream::connect_timeout(&at, TIMEOUT)?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // With HTTP/1.0 the answer ends with the connection, and is sent in one piece.
    // One write: a server that answers and closes before it has read all of it would take its answer back.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(rest))?;
        match stream.read(&mut buffer)? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
        if answer.len() as u64 > MOST_BYTES {
            return Err(io::Error::other("the answer is too long"));
        }
    }
    body(answer)
}

/// The body of an answer that says success.
///
/// # Errors
///
/// When it is none, or no HTTP.
pub fn body(mut answer: Vec<u8>) -> io::Result<Vec<u8>> {
    let head_end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let head_end = head_end.ok_or_else(|| io::Error::other("the answer is no HTTP"))?;
    let status = answer[..head_end].split(|byte| *byte == b' ').nth(1);
    if status != Some(b"200") {
        return Err(io::Error::other("the answer is no success"));
    }
    Ok(answer.split_off(head_end + 4))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// A server that answers once with these bytes, and then stalls or closes.
    fn answering(bytes: Vec<u8>, stalls: bool) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 1024];
            let _asked = stream.read(&mut request);
            let _read_or_not = stream.write_all(&bytes);
            if stalls {
                thread::sleep(TIMEOUT * 3);
            }
        });
        address
    }

    fn http(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}").into_bytes()
    }

    const ANSWER: &str = r#"{"Tasks":[{"Arn":"arn:aws:ecs:eu-west-1:111122223333:task/main/0123","Family":"orders",
        "Version":"7","KnownStatus":"RUNNING","Containers":[{"DockerId":"abab","DockerName":"ecs-orders-7-web-1","Name":"web"},
        {"DockerName":"without an id"}]},{"Arn":"no containers"}]}"#;

    #[test]
    fn containers_are_named_by_their_id() {
        let known = containers(answering(http(ANSWER), false)).expect("an answer");
        let by_id = |id: &str| Workload { container: Some(id.to_owned()), ..Workload::default() };
        let named = known.name(&by_id("abab"));
        assert_eq!(named.phrase().as_deref(), Some("task 0123 (orders), container web"));
        assert_eq!(known.name(&by_id("cdcd")), by_id("cdcd"), "what is not known keeps what it has");
    }

    #[test]
    fn what_would_move_a_cursor_is_no_name() {
        let answer = serde_json::json!({"Tasks": [{"Arn": "arn\n", "Family": "\u{1b}[31morders", "Containers": [
            {"DockerId": "ab", "Name": "\u{7f}web"}, {"DockerId": "c\r", "Name": "late"}]}]});
        let known = Containers::from_json(&answer);
        assert_eq!(known, Containers([("ab".to_owned(), Workload::default())].into()));
    }

    #[test]
    fn whoever_answers_badly_or_not_at_all_is_no_matter() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|bound| bound.local_addr());
        assert!(containers(free.expect("a port nobody listens on")).is_err());
        for answer in [
            b"".to_vec(),
            b"garbage".to_vec(),
            http("garbage"),
            b"HTTP/1.1 404 Not Found\r\n\r\n{}".to_vec(),
            http(&"x".repeat(MOST_BYTES as usize + 1)),
        ] {
            assert!(containers(answering(answer, false)).is_err());
        }
        assert_eq!(
            containers(answering(http(r#"{"Tasks":7}"#), false)).expect("JSON"),
            Containers::default()
        );
    }

    #[test]
    fn one_that_stalls_is_given_up_in_about_a_second() {
        let began = Instant::now();
        assert!(containers(answering(http("{"), true)).is_err());
        assert!(began.elapsed() < TIMEOUT * 2, "{:?}", began.elapsed());
    }
}
