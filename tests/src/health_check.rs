//! One health check of an NLB node, as AWS documents it.
//!
//! A TCP check opens a connection and closes it. An HTTP check carries `Host` with the node's own address and the
//! listener's port, and `User-Agent: ELB-HealthChecker/2.0`; it passes with a status from 200 to 399. An HTTPS check is
//! the same over TLS 1.2. With proxy protocol v2 each begins with a header of the command LOCAL.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::{nlb::Check, proxy_protocol, tls};

/// What is spoken in a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Connect and close.
    Tcp,
    /// `GET` and a status from 200 to 399.
    Http,
    /// The same over TLS 1.2.
    Https,
}

/// Settings that most scenarios leave alone.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// A proxy protocol v2 header in front.
    pub proxy_protocol: bool,
    /// What HTTP and HTTPS checks ask for.
    pub path: &'static str,
    /// Ends a check with RST in place of FIN.
    pub resets: bool,
    /// How far a probe may be off its time, in percent of the interval.
    pub jitter_percent: u32,
}

impl Default for Habits {
    fn default() -> Self {
        Self { proxy_protocol: false, path: "/", resets: false, jitter_percent: 0 }
    }
}

/// One health check from `address`; whether it passed.
pub fn probe(address: IpAddr, target: SocketAddr, check: &Check, habits: &Habits) -> bool {
    attempt(address, target, check, habits).unwrap_or(false)
}

fn attempt(address: IpAddr, target: SocketAddr, check: &Check, habits: &Habits) -> std::io::Result<bool> {
    let mut stream = connect(address, target, check.timeout)?;
    stream.set_read_timeout(Some(check.timeout))?;
    if habits.resets {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    if habits.proxy_protocol {
        stream.write_all(&proxy_protocol::local())?;
    }
    let host = SocketAddr::new(address, target.port());
    let passes = |status: Option<u16>| status.is_some_and(|status| (200..400).contains(&status));
    Ok(match check.speech {
        Speech::Tcp => true,
        Speech::Http => passes(http_status(&mut stream, host, habits.path)?),
        Speech::Https => passes(http_status(&mut tls::over(stream, target.ip()), host, habits.path)?),
    })
}

fn http_status(
    stream: &mut (impl Read + Write),
    host: SocketAddr,
    path: &str,
) -> std::io::Result<Option<u16>> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        head.extend_from_slice(&buffer[..count]);
    }
    let line = String::from_utf8_lossy(&head);
    Ok(line.split_whitespace().nth(1).and_then(|status| status.parse().ok()))
}

/// Connects from one address; the socket does not linger when the attempt takes too long.
///
/// # Errors
///
/// As the kernel says.
pub fn connect(from: IpAddr, target: SocketAddr, timeout: Duration) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
    socket.connect_timeout(&SockAddr::from(target), timeout)?;
    Ok(socket.into())
}

/// Holds that an attempt to connect was in vain for the reason that was meant, not for one of the lab's own.
///
/// # Panics
///
/// When it succeeded, or failed otherwise.
#[track_caller]
pub fn in_vain<T>(attempt: std::io::Result<T>, why: ErrorKind) {
    let error = attempt.err().expect("nothing should come of this attempt");
    assert_eq!(error.kind(), why, "{error}");
}

/// Connects from one address and port, even where another connection has them.
///
/// # Errors
///
/// As the kernel says.
pub fn connect_from(from: SocketAddr, target: SocketAddr, timeout: Duration) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(from))?;
    socket.connect_timeout(&SockAddr::from(target), timeout)?;
    Ok(socket.into())
}
