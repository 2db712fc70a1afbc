//! A client for the agent's own pages.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::Netns;

/// Longer than the agent takes for any connection.
const LIMIT: Duration = Duration::from_secs(10);

/// What a page answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Everything behind the head.
    pub body: String,
}

/// Asks for a path.
///
/// # Errors
///
/// When nobody listens there, or the answer is no HTTP.
pub fn get(namespace: &Netns, address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut client = namespace.run(|| TcpStream::connect_timeout(&address, LIMIT))?;
    client.set_read_timeout(Some(LIMIT))?;
    client.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    client.read_to_string(&mut text)?;
    let parsed = text.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        Some(Answer { status, body: body.to_owned() })
    });
    parsed.ok_or_else(|| io::Error::other(format!("no answer: {text:?}")))
}

/// The value of a sample of a page, by its name and labels as they are written there.
pub fn sample(page: &str, name_and_labels: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name_and_labels)?.strip_prefix(' ')?.parse().ok())
}
