//! One HTTP/1.1 exchange with a metadata server: bounded in time and size, no redirects, no proxies, no names.
//!
//! A whole HTTP client would be more than everything else the agent loads; the two metadata servers need one plain
//! request per connection. The head is parsed by `httparse`.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Longest head of an answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Headers of an answer; more are an error.
const MAX_HEADERS: usize = 64;

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address of the server makes no sense.
    #[error("{text} is no address of a metadata server: expected http://ADDRESS[:PORT]/PATH")]
    Url {
        /// What was given.
        text: String,
    },
    /// No answer, or not all of it, in time.
    #[error("{server} did not answer within {limit:?}")]
    Timeout {
        /// Server.
        server: SocketAddr,
        /// Time it had.
        limit: Duration,
    },
    /// The connection failed.
    #[error("{server}: {source}")]
    Connection {
        /// Server.
        server: SocketAddr,
        /// Cause.
        source: io::Error,
    },
    /// The answer is longer than allowed.
    #[error("{server} answers with more than {limit} bytes")]
    TooLong {
        /// Server.
        server: SocketAddr,
        /// Most that is read.
        limit: usize,
    },
    /// The answer is no HTTP.
    #[error("{server} does not answer in HTTP/1: {what}")]
    Malformed {
        /// Server.
        server: SocketAddr,
        /// What is wrong.
        what: String,
    },
    /// The server says no.
    #[error("{server} answers {path} with status {status}")]
    Status {
        /// Server.
        server: SocketAddr,
        /// What was asked for.
        path: String,
        /// Its answer.
        status: u16,
    },
}

/// Where to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    server: SocketAddr,
    path: String,
}

impl Url {
    /// Reads `http://ADDRESS[:PORT][/PATH]`. Names are refused: both servers have fixed addresses, and looking a name up
    /// has no time limit.
    ///
    /// # Errors
    ///
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let wrong = || HttpError::Url { text: text.chars().take(200).filter(|c| !c.is_control()).collect() };
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let bare = authority.trim_start_matches('[').trim_end_matches(']');
        let server = authority
            .parse::<SocketAddr>()
            .or_else(|_| bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, 80)))
            .map_err(|_| wrong())?;
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        Ok(Self { server, path: path.trim_end_matches('/').to_owned() })
    }

    /// A path below it.
    pub fn below(&self, path: &str) -> Self {
        Self { server: self.server, path: format!("{}/{path}", self.path) }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET` or `PUT`.
    pub method: &'static str,
    /// Where.
    pub url: &'a Url,
    /// Headers besides `Host` and `Connection`.
    pub headers: &'a [(&'a str, &'a str)],
    /// Time for all of it.
    pub timeout: Duration,
    /// Longest body.
    pub max_bytes: usize,
}

impl Request<'_> {
    /// Asks and gives the body of an answer with status 200.
    ///
    /// # Errors
    ///
    /// When there is no such answer within the limits.
    pub fn perform(&self) -> Result<Vec<u8>, HttpError> {
        let server = self.url.server;
        let deadline = Instant::now() + self.timeout;
        let mut stream =
            TcpStream::connect_timeout(&server, self.timeout).map_err(|source| self.failed(source))?;
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {server}\r\n", self.method, self.path());
        text.push_str("Connection: close\r\nAccept: */*\r\nUser-Agent: agent\r\n");
        if self.method == "PUT" {
            text.push_str("Content-Length: 0\r\n");
        }
        for (name, value) in self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        stream.set_write_timeout(Some(self.left(deadline)?)).map_err(|source| self.failed(source))?;
        stream.write_all(text.as_bytes()).map_err(|source| self.failed(source))?;
        let mut received = Vec::new();
        loop {
            let is_at_end = self.read(&mut stream, deadline, &mut received)?;
            if let Some(body) = self.answer(&received, is_at_end)? {
                return Ok(body);
            }
        }
    }

    fn path(&self) -> &str {
        if self.url.path.is_empty() { "/" } else { &self.url.path }
    }

    /// Reads what is there; whether it was the last.
    fn read(
        &self,
        stream: &mut TcpStream,
        deadline: Instant,
        received: &mut Vec<u8>,
    ) -> Result<bool, HttpError> {
        let mut part = [0; 8192];
        stream.set_read_timeout(Some(self.left(deadline)?)).map_err(|source| self.failed(source))?;
        match stream.read(&mut part) {
            Ok(length) => {
                received.extend_from_slice(&part[..length]);
                Ok(length == 0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The body, once all of it is there; `None` while more of it is to come.
    ///
    /// # Errors
    ///
    /// When what came is no answer with status 200 within the limits, or ends early.
    pub fn answer(&self, received: &[u8], is_at_end: bool) -> Result<Option<Vec<u8>>, HttpError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(received).map_err(|error| self.malformed(&error.to_string()))?;
        let httparse::Status::Complete(head_bytes) = parsed else {
            if received.len() > MAX_HEAD_BYTES {
                return Err(HttpError::TooLong { server: self.url.server, limit: MAX_HEAD_BYTES });
            }
            return if is_at_end { Err(self.malformed("the answer ends early")) } else { Ok(None) };
        };
        let status = head.code.unwrap_or_default();
        if status != 200 {
            return Err(HttpError::Status { server: self.url.server, path: self.path().to_owned(), status });
        }
        let header = |name: &str| {
            let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
        };
        let body = &received[head_bytes..];
        let too_long = || HttpError::TooLong { server: self.url.server, limit: self.max_bytes };
        if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            // Chunk sizes take room, too; a server that sends single bytes is not humoured.
            return match unchunk(body).map_err(|what| self.malformed(what))? {
                Some(body) if body.len() > self.max_bytes => Err(too_long()),
                None if body.len() > 2 * self.max_bytes => Err(too_long()),
                None if is_at_end => Err(self.malformed("the answer ends early")),
                body => Ok(body),
            };
        }
        let length = match header("content-length") {
            Some(text) => {
                Some(text.parse::<usize>().map_err(|_| self.malformed("Content-Length is no number"))?)
            }
            None => None,
        };
        if length.unwrap_or(body.len()) > self.max_bytes {
            return Err(too_long());
        }
        match length {
            Some(length) if body.len() >= length => Ok(Some(body[..length].to_vec())),
            Some(_) if is_at_end => Err(self.malformed("the answer ends early")),
            None if is_at_end => Ok(Some(body.to_vec())),
            _ => Ok(None),
        }
    }

    fn left(&self, deadline: Instant) -> Result<Duration, HttpError> {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would mean to wait for ever.
        if left.is_zero() { Err(self.timed_out()) } else { Ok(left) }
    }

    fn failed(&self, source: io::Error) -> HttpError {
        match source.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => self.timed_out(),
            _ => HttpError::Connection { server: self.url.server, source },
        }
    }

    fn timed_out(&self) -> HttpError {
        HttpError::Timeout { server: self.url.server, limit: self.timeout }
    }

    /// The answer is not what it should be.
    pub fn malformed(&self, what: &str) -> HttpError {
        HttpError::Malformed { server: self.url.server, what: what.to_owned() }
    }
}

/// The body of a chunked answer, once its last chunk is there (RFC 9112, section 7.1). Trailers are ignored.
fn unchunk(mut rest: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(rest).map_err(|_| "a chunk has no size")?;
        let httparse::Status::Complete((start, size)) = size else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        let size = usize::try_from(size).map_err(|_| "a chunk is too long")?;
        let end = start.checked_add(size).ok_or("a chunk is too long")?;
        let (Some(chunk), Some(after)) = (rest.get(start..end), rest.get(end..)) else { return Ok(None) };
        body.extend_from_slice(chunk);
        match after {
            [b'\r', b'\n', more @ ..] => rest = more,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("a chunk is longer than its size"),
        }
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
