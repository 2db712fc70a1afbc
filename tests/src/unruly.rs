//! Clients that abort, reset, half-close, scan ports, pipeline, dawdle: what every open port sees, and no fault of anybody.

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::SockRef;

use crate::{Netns, nlb::connect, tls, wait};

const TIMEOUT: Duration = Duration::from_secs(2);

const REQUEST: &[u8] = b"GET /orders HTTP/1.1\r\nHost: api.internal\r\n\r\n";

/// What one of them does with a connection.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Asks, and resets before the answer.
    Abort,
    /// Resets at once.
    Reset,
    /// Asks, closes its side, and reads on.
    HalfClose,
    /// Begins a request and closes.
    Break,
    /// Asks twice in one go.
    Pipeline,
    /// Waits before it asks.
    Dawdle,
    /// Tries a port of the task on which nobody listens.
    Scan,
}

const MANNERS: [Manner; 7] = [
    Manner::Abort,
    Manner::Reset,
    Manner::HalfClose,
    Manner::Break,
    Manner::Pipeline,
    Manner::Dawdle,
    Manner::Scan,
];

/// Misbehaves until dropped.
pub struct Unruly {
    count: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What is said over a connection, in clear or not.
trait Speaker: Read + Write {}

impl<T: Read + Write> Speaker for T {}

/// How a connection is spoken over.
type Speak = fn(TcpStream, IpAddr) -> Box<dyn Speaker>;

impl Unruly {
    /// One of each manner, about `per_second` connections of all of them together, from `address` to `target`; the scan
    /// goes to `task`.
    pub fn start(
        namespace: &Netns,
        address: IpAddr,
        target: SocketAddr,
        task: SocketAddr,
        per_second: u32,
    ) -> Self {
        Self::speaking(|stream, _| Box::new(stream), namespace, address, (target, task), per_second)
    }

    /// The same over TLS, where anything is said at all.
    pub fn start_over_tls(
        namespace: &Netns,
        address: IpAddr,
        target: SocketAddr,
        task: SocketAddr,
        per_second: u32,
    ) -> Self {
        let speak: Speak = |stream, peer| Box::new(tls::over(stream, peer));
        Self::speaking(speak, namespace, address, (target, task), per_second)
    }

    fn speaking(
        speak: Speak,
        namespace: &Netns,
        address: IpAddr,
        (target, task): (SocketAddr, SocketAddr),
        per_second: u32,
    ) -> Self {
        let (count, stopped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let pause = Duration::from_secs(1) * wait::pace() * MANNERS.len() as u32 / per_second;
        let threads = namespace.run(|| {
            let start = |manner| {
                let (count, stopped) = (Arc::clone(&count), Arc::clone(&stopped));
                thread::spawn(move || {
                    while !stopped.load(Ordering::Relaxed) {
                        let began = Instant::now();
                        // Whatever comes of it is as well.
                        let _came_to_nothing = misbehave(manner, speak, address, target, task);
                        count.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(pause.saturating_sub(began.elapsed()));
                    }
                })
            };
            MANNERS.into_iter().map(start).collect()
        });
        Self { count, stopped, threads }
    }

    /// Connections tried so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Unruly {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                eprintln!("an unruly client panicked");
            }
        }
    }
}

fn misbehave(
    manner: Manner,
    speak: Speak,
    address: IpAddr,
    target: SocketAddr,
    task: SocketAddr,
) -> std::io::Result<()> {
    if matches!(manner, Manner::Scan) {
        let port = fastrand::u16(30_001..60_000);
        return connect(address, SocketAddr::new(task.ip(), port), TIMEOUT).map(drop);
    }
    let socket = connect(address, target, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let resets = || SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    let mut stream = speak(socket.try_clone()?, target.ip());
    let mut answer = Vec::new();
    match manner {
        Manner::Abort => {
            stream.write_all(REQUEST)?;
            resets()?;
        }
        Manner::Reset => resets()?,
        Manner::HalfClose => {
            stream.write_all(REQUEST)?;
            socket.shutdown(Shutdown::Write)?;
            stream.read_to_end(&mut answer)?;
        }
        Manner::Break => stream.write_all(&REQUEST[..20])?,
        Manner::Pipeline => {
            stream.write_all(&[REQUEST, REQUEST].concat())?;
            stream.read_to_end(&mut answer)?;
        }
        Manner::Dawdle | Manner::Scan => {
            // One in eight is as quick as anybody.
            if fastrand::u8(..8) > 0 {
                thread::sleep(Duration::from_millis(300));
            }
            stream.write_all(REQUEST)?;
            stream.read_to_end(&mut answer)?;
        }
    }
    Ok(())
}
