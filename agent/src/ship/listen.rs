//! `--listen`: metrics and health over HTTP, for whoever asks.
//!
//! The pages are made by the thread that watches, at most once a second, because only it has the figures; so an answer
//! also proves that it still does its work. Asking, waiting and writing happen on threads of their own, a few at most: a
//! client that is slow, or does not read, costs one of them a few seconds, and the agent nothing.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{
    kernel::privileges,
    output::prometheus,
    ship::http::{self, MAX_REQUEST_BYTES, Read, Request, Status},
};

/// Connections that are answered at the same time; others are turned away.
pub const MAX_CONNECTIONS: usize = 8;

/// How long one connection may take in all.
pub const CONNECTION_LIMIT: Duration = Duration::from_secs(5);

/// A page is good for so long: however many ask, it is made once in this time.
const FRESH: Duration = Duration::from_secs(1);

/// How long the watching thread may take to answer before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// Pause after a connection that could not be taken, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What is read of what a client still sends after it was answered, so that the answer is not lost to a reset.
const DRAIN: (usize, Duration) = (64 * 1024, Duration::from_millis(200));

const STACK_BYTES: usize = 128 * 1024;

const PLAIN: &str = "text/plain; charset=utf-8";

/// What the watching thread says of itself.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The text of `/metrics`.
    pub metrics: String,
    /// What keeps the agent from being ready; empty when it is.
    pub not_ready: Vec<String>,
}

/// Somebody waits for a page.
#[derive(Debug)]
pub struct Question(SyncSender<Page>);

impl Question {
    /// Answers it.
    pub fn answer(self, page: Page) {
        // Nobody waits any more when it took too long.
        let _gave_up = self.0.send(page);
    }
}

/// Reads `--listen`: an address with a port, or a port alone, which means loopback.
///
/// # Errors
///
/// One line that says what would be right.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let address = if host.is_empty() || host == "localhost" {
        port.parse().ok().map(|port: u16| (Ipv4Addr::LOCALHOST, port).into())
    } else {
        text.parse::<SocketAddr>().ok()
    };
    address.filter(|address| address.port() > 0).ok_or_else(|| {
        format!("{text} is no address to listen on: write a port, 127.0.0.1:9400, or [::1]:9400")
    })
}

/// Opens the port in the network namespace of the calling thread and answers from then on.
///
/// # Errors
///
/// When the port cannot be opened, or there is no thread for it.
pub fn open(address: SocketAddr) -> io::Result<Receiver<Question>> {
    serve(TcpListener::bind(address)?)
}

fn serve(listener: TcpListener) -> io::Result<Receiver<Question>> {
    let (questions, asked) = channel(1);
    let desk = Arc::new(Desk { questions, latest: Mutex::new(None), busy: AtomicUsize::new(0) });
    thread::Builder::new().name("listen".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        // Those that answer begin with what their maker has, which is nothing.
        privileges::none();
        loop {
            match listener.accept() {
                Ok((client, _)) => Desk::take(&desk, client),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    log::debug!("taking a connection of --listen: {error}");
                    thread::sleep(PAUSE);
                }
            }
        }
    })?;
    Ok(asked)
}

/// Where clients are answered.
struct Desk {
    questions: Sender<Question>,
    /// The latest answer and when it came; `None` in it: the watching thread did not answer.
    latest: Mutex<Option<(Instant, Option<Arc<Page>>)>>,
    busy: AtomicUsize,
}

/// One of the few places at the desk.
struct Place(Arc<Desk>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Desk {
    fn take(desk: &Arc<Self>, client: TcpStream) {
        let before = desk.busy.fetch_add(1, Ordering::AcqRel);
        let place = Place(Arc::clone(desk));
        if before >= MAX_CONNECTIONS {
            turn_away(client);
            return;
        }
        let thread = thread::Builder::new().name("answer".to_owned()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || {
            if let Err(error) = place.0.attend(&client) {
                log::debug!("answering a client of --listen: {error}");
            }
        });
        if let Err(error) = spawned {
            log::debug!("no thread for a client of --listen: {error}");
        }
    }

    fn attend(&self, client: &TcpStream) -> io::Result<()> {
        let deadline = Instant::now() + CONNECTION_LIMIT;
        let (bytes, is_drained) = match receive(client, deadline)? {
            Read::Complete(request) => (self.answer(&request), true),
            Read::Refused(status) => (http::answer(status, PLAIN, "", false), false),
            // It went away.
            Read::Partial => return Ok(()),
        };
        send(client, &bytes, deadline)?;
        client.shutdown(Shutdown::Write)?;
        if !is_drained {
            drain(client, deadline.min(Instant::now() + DRAIN.1));
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> Vec<u8> {
        let answer = |status, body: &str| http::answer(status, PLAIN, body, request.is_head);
        if !["/metrics", "/healthz", "/readyz"].contains(&request.path.as_str()) {
            return answer(Status::NotFound, "there are /metrics, /healthz and /readyz\n");
        }
        let Some(page) = self.page() else {
            return answer(Status::Unavailable, "the agent did not answer in time: it is stuck, or ending\n");
        };
        match request.path.as_str() {
            "/metrics" => http::answer(Status::Ok, prometheus::CONTENT_TYPE, &page.metrics, request.is_head),
            "/readyz" if !page.not_ready.is_empty() => {
                answer(Status::Unavailable, &format!("{}\n", page.not_ready.join("\n")))
            }
            _ => answer(Status::Ok, "ok\n"),
        }
    }

    /// A fresh page, where the watching thread makes one in time.
    fn page(&self) -> Option<Arc<Page>> {
        // One asks, the others wait for what it gets.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, page)) = &*latest
            && at.elapsed() < FRESH
        {
            return page.clone();
        }
        let (reply, replied) = sync_channel(1);
        let asked = self.questions.try_send(Question(reply));
        // A full channel holds a question that was given up; it is answered first, if at all.
        let page = asked.ok().and_then(|()| replied.recv_timeout(PATIENCE).ok()).map(Arc::new);
        *latest = Some((Instant::now(), page.clone()));
        page
    }
}

fn receive(mut client: &TcpStream, deadline: Instant) -> io::Result<Read> {
    let mut bytes = [0; MAX_REQUEST_BYTES];
    let mut length = 0;
    loop {
        client.set_read_timeout(Some(left(deadline)?))?;
        match client.read(&mut bytes[length..]) {
            Ok(0) => return Ok(Read::Partial),
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        match http::read(&bytes[..length]) {
            Read::Partial => {}
            done => return Ok(done),
        }
    }
}

fn send(mut client: &TcpStream, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        client.set_write_timeout(Some(left(deadline)?))?;
        match client.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn drain(mut client: &TcpStream, deadline: Instant) {
    let mut rest = DRAIN.0;
    let mut bytes = [0; 1024];
    while rest > 0 {
        let is_in_time = left(deadline).and_then(|left| client.set_read_timeout(Some(left)));
        match is_in_time.and_then(|()| client.read(&mut bytes)) {
            Ok(read) if read > 0 => rest = rest.saturating_sub(read),
            _ => return,
        }
    }
}

fn turn_away(client: TcpStream) {
    // At most what fits into the socket's buffer at once: nobody is waited for.
    let answer = http::answer(Status::Unavailable, PLAIN, "too many connections\n", false);
    let said = client.set_nonblocking(true).and_then(|()| (&client).write(&answer));
    log::debug!("turned a client of --listen away: {said:?}");
}

/// Time left, never zero: a socket would take that for no limit.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left < Duration::from_millis(1) { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
