//! A server in front of the double that answers as AWS does on a bad day.

use std::{
    collections::VecDeque,
    io::{self, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::http::{Message, exchange};

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error of the service, with its code; the status is the one AWS uses with it.
    Error(&'static str, u16),
    /// A page of something in between that is no answer of AWS.
    Page(u16),
    /// The request is done and its answer comes late.
    Slow(Duration),
    /// Nothing is done, and no answer comes before that time.
    Stall(Duration),
    /// The connection is reset before anything is done.
    Reset,
    /// The events are stored, and some are said to be rejected: first too new, end of too old.
    Rejects(usize, usize),
}

/// AWS throttles with this.
pub const THROTTLED: Fault = Fault::Error("ThrottlingException", 400);
/// AWS says this of a session that is over.
pub const EXPIRED: Fault = Fault::Error("ExpiredTokenException", 400);
/// AWS is not there.
pub const UNAVAILABLE: Fault = Fault::Error("ServiceUnavailableException", 503);

/// What a request was, as the front saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Operation, such as `PutLogEvents`.
    pub operation: String,
    /// Bytes of the body.
    pub bytes: usize,
    /// Session token, if the request had one.
    pub token: Option<String>,
    /// What it was answered with instead of the truth.
    pub fault: Option<Fault>,
}

#[derive(Default)]
struct State {
    /// For the next requests, one each.
    next: VecDeque<Fault>,
    /// For every request without one of its own.
    every: Option<Fault>,
    /// Tokens that are over.
    expired: Vec<String>,
    seen: Vec<Seen>,
}

/// The server. Dropping it ends it.
pub struct Front {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// In front of this server.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listening on loopback");
        let address = listener.local_addr().expect("its address");
        let (state, is_over) = (Arc::new(Mutex::new(State::default())), Arc::new(AtomicBool::new(false)));
        let (theirs, over) = (Arc::clone(&state), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let state = Arc::clone(&theirs);
                // Ends with its connection, which the shipping process closes at its end.
                thread::spawn(move || serve(stream, server, &state));
            }
        });
        Self { address, state, is_over, thread: Some(thread) }
    }

    /// As `AWS_ENDPOINT_URL` takes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the front panics")
    }

    /// The next requests go wrong, each in its way.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().next.extend(faults);
    }

    /// Every request goes wrong in this way, until told otherwise.
    pub fn every(&self, fault: Option<Fault>) {
        self.lock().every = fault;
    }

    /// Requests with this session token are refused from now on.
    pub fn expire(&self, token: &str) {
        self.lock().expired.push(token.to_owned());
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes it from its wait for connections.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn serve(stream: TcpStream, server: SocketAddr, state: &Mutex<State>) {
    let Ok(mut answers) = stream.try_clone() else { return };
    let mut requests = BufReader::new(stream);
    while let Ok(Some(request)) = Message::read(&mut requests) {
        let fault = note(&request, state);
        let answer = match fault {
            None => forward(server, &request),
            Some(Fault::Slow(time)) => {
                let answer = forward(server, &request);
                thread::sleep(time);
                answer
            }
            Some(Fault::Stall(time)) => {
                thread::sleep(time);
                return;
            }
            Some(Fault::Reset) => {
                // With a linger time of zero closing sends a reset.
                let socket = socket2::SockRef::from(&answers);
                let _reset_anyway = socket.set_linger(Some(Duration::ZERO));
                return;
            }
            Some(Fault::Error(code, status)) => {
                let body = format!(r#"{{"__type":"{code}","message":"injected"}}"#);
                Ok(answer(status, "application/x-amz-json-1.1", body))
            }
            Some(Fault::Page(status)) => Ok(answer(status, "text/html", "<html>no</html>".to_owned())),
            Some(Fault::Rejects(new, old)) => forward(server, &request).map(|_| {
                let body = format!(
                    r#"{{"rejectedLogEventsInfo":{{"tooNewLogEventStartIndex":{new},"tooOldLogEventEndIndex":{old}}}}}"#
                );
                self::answer(200, "application/x-amz-json-1.1", body)
            }),
        };
        let written = answer.and_then(|answer| answer.write(&mut answers));
        if written.is_err() {
            return;
        }
    }
}

/// Remembers a request and says what goes wrong with it.
fn note(request: &Message, state: &Mutex<State>) -> Option<Fault> {
    let mut state = state.lock().expect("no thread of the front panics");
    let target = request.header("x-amz-target").unwrap_or_default();
    let token = request.header("x-amz-security-token").map(str::to_owned);
    let is_expired = token.as_ref().is_some_and(|token| state.expired.contains(token));
    let fault =
        if is_expired { Some(EXPIRED) } else { state.next.pop_front().or_else(|| state.every.clone()) };
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    state.seen.push(Seen { operation, bytes: request.body.len(), token, fault: fault.clone() });
    fault
}

fn forward(server: SocketAddr, request: &Message) -> io::Result<Message> {
    let mut answer = exchange(server, request)?;
    answer.headers.retain(|(name, _)| name != "connection");
    Ok(answer)
}

fn answer(status: u16, content: &str, body: String) -> Message {
    let headers = [("content-type", content.to_owned()), ("content-length", body.len().to_string())];
    Message {
        first: format!("HTTP/1.1 {status} Injected"),
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        body: body.into_bytes(),
    }
}
