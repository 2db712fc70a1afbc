//! The application: a small HTTP server whose listener and manners a scenario chooses.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{Netns, proxy_protocol, wait};

/// What a health check of the NLB calls itself.
const USER_AGENT: &[u8] = b"ELB-HealthChecker";

/// Threads that accept, so that one idle connection holds nobody up.
const WORKERS: usize = 4;

/// How long a worker waits before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// The path that [`Answer::CutsSome`] is about.
pub const CUT: &str = "/cut";

/// How it listens.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// Address and port.
    pub on: SocketAddr,
    /// Limit of the accept queue.
    pub backlog: i32,
    /// Whether anybody accepts.
    pub accepts: bool,
    /// `TCP_DEFER_ACCEPT`: only connections with data are handed to the application.
    pub defer_accept: bool,
    /// How it answers requests.
    pub answer: Answer,
    /// Every connection has to begin with a proxy protocol v2 header.
    pub proxy_protocol: bool,
}

/// How an application answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With this HTTP status.
    Status(u16),
    /// Not at all; it keeps the connection until the peer goes.
    Never,
    /// It closes the connection.
    Close,
    /// Health checks, known by their user agent, with this HTTP status; everybody else with 200.
    HealthStatus(u16),
    /// Health checks, known by their user agent, not at all; everybody else with 200.
    HealthNever,
    /// With 200, health checks only after this time.
    HealthLate(Duration),
    /// With 200; it closes the connection of whoever asks for [`CUT`].
    CutsSome,
    /// Health checks, known by their user agent, with 200; everybody else's connection is closed.
    ClientsCut,
    /// Health checks from this address, known by their user agent, are closed; everybody else with 200.
    ChecksCut(IpAddr),
}

impl Listen {
    /// On all addresses of the family of `like`, in the usual way.
    pub fn on_all(like: IpAddr, port: u16) -> Self {
        let any: IpAddr = if like.is_ipv4() { [0, 0, 0, 0].into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Self {
            on: SocketAddr::new(any, port),
            backlog: 512,
            accepts: true,
            defer_accept: false,
            answer: Answer::Status(200),
            proxy_protocol: false,
        }
    }
}

/// Listens until dropped.
pub struct App {
    stopped: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    listener: Socket,
    listen: Listen,
}

impl App {
    /// Begins to listen. A listener on the unspecified IPv6 address serves IPv4, too.
    ///
    /// # Panics
    ///
    /// When it cannot.
    pub fn start(namespace: &Netns, listen: Listen) -> Self {
        namespace.run(|| {
            let listener = bind(&listen).unwrap_or_else(|error| panic!("listening as {listen:?}: {error}"));
            let mut app = Self { stopped: Arc::default(), workers: Vec::new(), listener, listen };
            app.employ();
            app
        })
    }

    /// Puts new workers in the place of the old ones, which finish what they began; the listener stays, as with nginx
    /// when it is told to reload.
    pub fn restart(&mut self) {
        self.dismiss();
        self.stopped = Arc::default();
        self.employ();
    }

    /// The same, and the new ones answer so.
    pub fn answer(&mut self, answer: Answer) {
        self.listen.answer = answer;
        self.restart();
    }

    /// Nobody accepts any more; the listener stays.
    pub fn freeze(&mut self) {
        self.dismiss();
    }

    fn employ(&mut self) {
        let count = if self.listen.accepts { WORKERS } else { 0 };
        self.workers = (0..count)
            .map(|_| {
                let listener = self.listener.try_clone().expect("a second descriptor of the listener");
                let stopped = Arc::clone(&self.stopped);
                let listen = self.listen;
                thread::spawn(move || accept_until(&stopped, &listener, listen))
            })
            .collect();
    }

    fn dismiss(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                eprintln!("a worker of the application panicked");
            }
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.dismiss();
        // Closing alone is not enough: a child between fork and exec, of whatever test, holds the descriptor, too.
        let _it_listens_no_more = self.listener.shutdown(Shutdown::Both);
    }
}

fn bind(listen: &Listen) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(listen.on), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if listen.on.is_ipv6() {
        socket.set_only_v6(!listen.on.ip().is_unspecified())?;
    }
    if listen.defer_accept {
        defer_accept(&socket)?;
    }
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.bind(&SockAddr::from(listen.on))?;
    socket.listen(listen.backlog)?;
    Ok(socket)
}

fn defer_accept(socket: &Socket) -> std::io::Result<()> {
    let seconds: libc::c_int = 5;
    // SAFETY: the option takes an int, whose address and size are passed.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn accept_until(stopped: &AtomicBool, listener: &Socket, listen: Listen) {
    while !stopped.load(Ordering::Relaxed) {
        if let Ok((connection, _)) = listener.accept() {
            // A peer that goes away is no trouble of the application.
            let _ = serve(connection.into(), listen);
        }
    }
}

/// Answers one request; a peer that sends nothing and closes gets nothing.
fn serve(mut stream: TcpStream, listen: Listen) -> std::io::Result<()> {
    let mut proxy_protocol = listen.proxy_protocol;
    // Longer than any health check waits.
    stream.set_read_timeout(Some(Duration::from_secs(2) * wait::pace()))?;
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while proxy_protocol || !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..count]);
        if proxy_protocol && let Some(length) = proxy_protocol::length(&head)? {
            head.drain(..length);
            proxy_protocol = false;
        }
    }
    let is_check = head.windows(USER_AGENT.len()).any(|part| part == USER_AGENT);
    let status = match listen.answer {
        Answer::Status(status) => status,
        Answer::HealthStatus(status) if is_check => status,
        Answer::HealthStatus(_) => 200,
        Answer::HealthNever | Answer::HealthLate(_) if !is_check => 200,
        Answer::HealthLate(time) => {
            thread::sleep(time);
            200
        }
        Answer::CutsSome if head.starts_with(format!("GET {CUT} ").as_bytes()) => return Ok(()),
        Answer::CutsSome => 200,
        Answer::Never | Answer::HealthNever => {
            // Until the peer has had enough.
            let _ = stream.read(&mut buffer)?;
            return Ok(());
        }
        Answer::ClientsCut if is_check => 200,
        Answer::ChecksCut(address) if !is_check || stream.peer_addr()?.ip() != address => 200,
        Answer::Close | Answer::ClientsCut | Answer::ChecksCut(_) => return Ok(()),
    };
    let text = format!("HTTP/1.1 {status} Lab\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
    stream.write_all(text.as_bytes())
}
