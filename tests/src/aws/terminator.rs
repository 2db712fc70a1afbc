//! TLS in front of the double, with a certificate that only who is told trusts.

use std::{
    fs,
    io::BufReader,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::http::{Message, exchange};

/// What distinguishes directories of one process.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Ends TLS and hands on what it holds. Dropping it ends it and removes its certificates.
pub struct Terminator {
    address: SocketAddr,
    directory: PathBuf,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Terminator {
    /// Before this server.
    ///
    /// # Panics
    ///
    /// When openssl makes no certificates.
    pub fn before(server: SocketAddr) -> Self {
        let name = format!("hct-tls-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a directory of its own");
        let config = Arc::new(certificates(&directory));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let config = Arc::clone(&config);
                // Ends with its connection, which the shipping process closes at its end.
                thread::spawn(move || serve(stream, config, server));
            }
        });
        Self { address, directory, is_over, thread: Some(thread) }
    }

    /// As `AWS_ENDPOINT_URL` takes it.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The certificate of who vouches for it, as `SSL_CERT_FILE` takes it.
    pub fn authority(&self) -> String {
        self.directory.join("authority.pem").display().to_string()
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes it from its wait for connections.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            eprintln!("removing {}: {error}", self.directory.display());
        }
    }
}

/// Answers until the connection ends, or is refused by who made it.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, server: SocketAddr) {
    let Ok(session) = ServerConnection::new(config) else { return };
    let mut requests = BufReader::new(StreamOwned::new(session, stream));
    while let Ok(Some(request)) = Message::read(&mut requests) {
        let Ok(mut answer) = exchange(server, &request) else { return };
        answer.headers.retain(|(name, _)| name != "connection");
        if answer.write(requests.get_mut()).is_err() {
            return;
        }
    }
}

/// Makes an authority, and a certificate for the loopback address that it signed.
fn certificates(directory: &Path) -> ServerConfig {
    let file = |name: &str| directory.join(name).display().to_string();
    let key = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1";
    openssl(&format!(
        "{key} -subj /CN=authority -keyout {} -out {}",
        file("authority.key"),
        file("authority.pem")
    ));
    openssl(&format!(
        "{key} -subj /CN=server -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
         -CA {} -CAkey {} -keyout {} -out {}",
        file("authority.pem"),
        file("authority.key"),
        file("server.key"),
        file("server.pem")
    ));
    let certificate = CertificateDer::from_pem_file(file("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions that are built in")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a key for its certificate")
}

fn openssl(arguments: &str) {
    let mut command = Command::new("openssl");
    let output = command.args(arguments.split_whitespace()).stdin(Stdio::null()).output();
    let output = output.expect("openssl, which `cargo xtask setup` brings");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
