//! Clients: a steady stream of requests from several addresses.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{Netns, nlb::connect, tls, wait};

/// A client gives up after this long.
const TIMEOUT: Duration = Duration::from_millis(400);

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    served: AtomicU64,
}

/// Sends requests until dropped.
pub struct Clients {
    counts: Arc<Counts>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Sends about `per_second` requests to `target`, from these addresses in turn; fewer on a slow machine.
    pub fn start(namespace: &Netns, addresses: &[IpAddr], target: SocketAddr, per_second: u32) -> Self {
        Self::asking(ask, namespace, addresses, target, per_second)
    }

    /// The same over TLS.
    pub fn start_over_tls(
        namespace: &Netns,
        addresses: &[IpAddr],
        target: SocketAddr,
        per_second: u32,
    ) -> Self {
        Self::asking(ask_over_tls, namespace, addresses, target, per_second)
    }

    fn asking(
        ask: Ask,
        namespace: &Netns,
        addresses: &[IpAddr],
        target: SocketAddr,
        per_second: u32,
    ) -> Self {
        let counts = Arc::new(Counts::default());
        let stopped = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_secs(1) * wait::pace() * addresses.len() as u32 / per_second;
        let threads = namespace.run(|| {
            let start = |address: IpAddr| {
                let (counts, stopped) = (Arc::clone(&counts), Arc::clone(&stopped));
                thread::spawn(move || ask_until(&stopped, &counts, || ask(address, target), pause))
            };
            addresses.iter().copied().map(start).collect()
        });
        Self { counts, stopped, threads }
    }

    /// Requests sent and answered so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.sent.load(Ordering::Relaxed), self.counts.served.load(Ordering::Relaxed))
    }

    /// Waits until that many more requests were answered.
    ///
    /// # Panics
    ///
    /// When that takes longer than `limit`.
    #[track_caller]
    pub fn wait_served(&self, more: u64, limit: Duration) {
        let wanted = self.counts().1 + more;
        wait::until("clients to be served", limit, || self.counts().1 >= wanted);
    }

    /// Ends them, once the requests under way are over; requests sent and answered.
    pub fn stop(mut self) -> (u64, u64) {
        self.join();
        self.counts()
    }

    fn join(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                eprintln!("the thread of a client panicked");
            }
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.join();
    }
}

/// How one request is made.
type Ask = fn(IpAddr, SocketAddr) -> std::io::Result<Vec<u8>>;

fn ask_until(
    stopped: &AtomicBool,
    counts: &Counts,
    ask: impl Fn() -> std::io::Result<Vec<u8>>,
    pause: Duration,
) {
    while !stopped.load(Ordering::Relaxed) {
        let began = Instant::now();
        counts.sent.fetch_add(1, Ordering::Relaxed);
        if ask().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200")) {
            counts.served.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(pause.saturating_sub(began.elapsed()));
    }
}

/// One request.
///
/// # Errors
///
/// As the kernel says.
pub fn ask(address: IpAddr, target: SocketAddr) -> std::io::Result<Vec<u8>> {
    let timeout = TIMEOUT * wait::pace();
    ask_over(connect(address, target, timeout)?)
}

fn ask_over_tls(address: IpAddr, target: SocketAddr) -> std::io::Result<Vec<u8>> {
    let stream = connect(address, target, TIMEOUT * wait::pace())?;
    stream.set_read_timeout(Some(TIMEOUT * wait::pace()))?;
    request("/orders", tls::over(stream, target.ip()))
}

/// One request over a connection that is open; the answer ends with it.
///
/// # Errors
///
/// As the kernel says.
pub fn ask_over(stream: TcpStream) -> std::io::Result<Vec<u8>> {
    ask_for("/orders", stream)
}

/// As [`ask_over`], for another path.
///
/// # Errors
///
/// As the kernel says.
pub fn ask_for(path: &str, stream: TcpStream) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(TIMEOUT * wait::pace()))?;
    request(path, stream)
}

fn request(path: &str, mut stream: impl Read + Write) -> std::io::Result<Vec<u8>> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: api.internal\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
