//! The listener of an NLB node with proxy protocol v2: forwards clients under the node's own address, each connection
//! with a header that names the client.
//!
//! An NLB does not end TCP as this does; on the wire to the target it is the same.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{Netns, nlb::connect, proxy_protocol, wait};

/// How long it waits for a connection before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// A connection on which nothing comes for this long is over.
const IDLE: Duration = Duration::from_secs(2);

/// It gives the target up as soon as its clients give up it: what nobody waits for sends no further SYN.
const CONNECT: Duration = Duration::from_millis(400);

/// Forwards until dropped.
pub struct Forwarder {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    /// Begins to forward what comes to the node's address on the target's port.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start(namespace: &Netns, node: IpAddr, target: SocketAddr) -> Self {
        let listener = SocketAddr::new(node, target.port());
        let stopped = Arc::new(AtomicBool::new(false));
        let endpoint = format!("vpce-{:017x}", fastrand::u64(..));
        let thread = namespace.run(|| {
            let socket = listen(listener).unwrap_or_else(|error| panic!("listening on {listener}: {error}"));
            let stopped = Arc::clone(&stopped);
            thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let Ok((client, _)) = socket.accept() else { continue };
                    let endpoint = endpoint.clone();
                    // A peer that goes away is no trouble of the node.
                    thread::spawn(move || forward(client.into(), listener, target, &endpoint));
                }
            })
        });
        Self { stopped, thread: Some(thread) }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("a forwarder panicked");
        }
    }
}

fn listen(on: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(on), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.bind(&SockAddr::from(on))?;
    socket.listen(512)?;
    Ok(socket)
}

fn forward(
    client: TcpStream,
    listener: SocketAddr,
    target: SocketAddr,
    endpoint: &str,
) -> std::io::Result<()> {
    let mut server = connect(listener.ip(), target, CONNECT * wait::pace())?;
    server.write_all(&proxy_protocol::proxied(client.peer_addr()?, listener, endpoint))?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let upstream = thread::spawn(move || {
        let given_up = to_server.try_clone()?;
        copy(from_client, to_server).or_else(|error| {
            // A client that is gone leaves nothing open at the target.
            given_up.shutdown(Shutdown::Both)?;
            Err(error)
        })
    });
    let answered = copy(server, client);
    match upstream.join() {
        Ok(asked) => asked.and(answered),
        Err(_) => Err(std::io::ErrorKind::Other.into()),
    }
}

/// Copies until one side has said all.
fn copy(mut from: TcpStream, mut to: TcpStream) -> std::io::Result<()> {
    from.set_read_timeout(Some(IDLE * wait::pace()))?;
    let mut buffer = [0; 4096];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&buffer[..count])?;
    }
}
