//! The platform's metadata servers, as the agent sees them: pages behind paths, IMDSv2 tokens, and every way in which they
//! fail.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use serde_json::json;
use socket2::Socket;

use crate::Netns;

/// Path of the ECS endpoint.
const TASK: &str = "/v4/0123/task";

/// How long the server waits before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(50);

const TOKEN: &str = "AQAEAExampleToken==";

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As documented.
    Answers,
    /// 404 to everything.
    NotFound,
    /// Bytes that are no HTTP.
    Garbage,
    /// Well-formed HTTP, and a body that is not what it should be.
    Nonsense,
    /// Ten mebibytes for every page.
    Huge,
    /// Takes the request and says nothing: also what a hop limit of one looks like from behind a bridge.
    Stalls,
}

/// A server in a namespace, until dropped.
pub struct Metadata {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Metadata {
    /// Serves these pages on loopback. Those below `/latest/` need a token.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start(namespace: &Netns, pages: BTreeMap<String, String>, manner: Manner) -> Self {
        Self::start_at(namespace, SocketAddr::from(([127, 0, 0, 1], 0)), pages, manner)
    }

    /// Serves them at this address.
    ///
    /// # Panics
    ///
    /// When it cannot listen.
    pub fn start_at(
        namespace: &Netns,
        address: SocketAddr,
        pages: BTreeMap<String, String>,
        manner: Manner,
    ) -> Self {
        let listener = namespace.run(|| TcpListener::bind(address)).expect("a port for metadata");
        let address = listener.local_addr().expect("its address");
        let listener = Socket::from(listener);
        listener.set_read_timeout(Some(PATIENCE)).expect("a time limit for accept");
        let (stopped, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (is_stopped, log) = (Arc::clone(&stopped), Arc::clone(&requests));
        let thread = thread::spawn(move || {
            while !is_stopped.load(Ordering::Relaxed) {
                if let Ok((connection, _)) = listener.accept() {
                    // Whoever asks may go away at any time.
                    let _ = serve(connection.into(), &pages, manner, &log);
                }
            }
        });
        Self { address, stopped, requests, thread: Some(thread) }
    }

    /// The value of `ECS_CONTAINER_METADATA_URI_V4`.
    pub fn ecs_uri(&self) -> String {
        format!("http://{}{}", self.address, TASK.trim_end_matches("/task"))
    }

    /// The value of `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub fn imds_uri(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Method and path of every request so far.
    ///
    /// # Panics
    ///
    /// When the server panicked.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("the server does not panic").clone()
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the metadata server panicked");
        }
    }
}

fn serve(
    mut stream: TcpStream,
    pages: &BTreeMap<String, String>,
    manner: Manner,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut head, mut part) = (Vec::new(), [0; 2048]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&part[..count]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    log.lock().expect("nobody panics with it").push(format!("{method} {path}"));
    match manner {
        Manner::Answers => {
            let (status, headers, body) = answer(method, path, &head, pages);
            reply(&mut stream, status, &headers, body.as_bytes())
        }
        Manner::NotFound => reply(&mut stream, "404 Not Found", "", b"404 page not found"),
        Manner::Garbage => stream.write_all(b"\x00\xff\x16\x03\x01 not http at all\r\n\r\n"),
        Manner::Nonsense => reply(&mut stream, "200 OK", "", b"<html>[not what was asked for\x1b[31m"),
        Manner::Huge => reply(&mut stream, "200 OK", "", &vec![b'x'; 10 * 1024 * 1024]),
        // Until the other side gives up.
        Manner::Stalls => stream.read(&mut part).map(drop),
    }
}

/// Status, further headers and body. IMDSv2: a token for a PUT that says how long it shall live, pages for the token
/// (EC2 user guide, "Use the Instance Metadata Service").
fn answer(
    method: &str,
    path: &str,
    head: &str,
    pages: &BTreeMap<String, String>,
) -> (&'static str, String, String) {
    let head = head.to_ascii_lowercase();
    let refused = |status| (status, String::new(), String::new());
    if (method, path) == ("PUT", "/latest/api/token") {
        let ttl = head.split_once("x-aws-ec2-metadata-token-ttl-seconds: ").map(|(_, rest)| rest);
        let seconds = ttl.and_then(|rest| rest.lines().next()?.trim().parse::<u32>().ok());
        return match seconds.filter(|seconds| (1..=21_600).contains(seconds)) {
            Some(seconds) => {
                let header = format!("X-aws-ec2-metadata-token-ttl-seconds: {seconds}\r\n");
                ("200 OK", header, TOKEN.to_owned())
            }
            None => refused("400 Bad Request"),
        };
    }
    if method != "GET" {
        return refused("405 Method Not Allowed");
    }
    let has_token = head.contains(&format!("x-aws-ec2-metadata-token: {}\r\n", TOKEN.to_ascii_lowercase()));
    if path.starts_with("/latest/") && !has_token {
        return refused("401 Unauthorized");
    }
    match pages.get(path) {
        Some(page) => ("200 OK", String::new(), page.clone()),
        None => refused("404 Not Found"),
    }
}

fn reply(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

/// The page of a task with this address and subnet that started this long ago, as ECS on EC2 gives it in awsvpc mode.
pub fn task_page(address: IpAddr, subnet: &str, age: Duration) -> BTreeMap<String, String> {
    let started = humantime::format_rfc3339_nanos(SystemTime::now() - age).to_string();
    let network = if address.is_ipv4() {
        json!({"NetworkMode": "awsvpc", "IPv4Addresses": [address], "IPv4SubnetCIDRBlock": subnet})
    } else {
        json!({"NetworkMode": "awsvpc", "IPv6Addresses": [address], "IPv6SubnetCIDRBlock": subnet})
    };
    let page = json!({
        "Cluster": "prod",
        "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/prod/158d1c8083dd49d6b527399fd6414f5c",
        "Family": "orders", "ServiceName": "orders-api", "Revision": "26",
        "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
        "AvailabilityZone": "us-west-2d", "VPCID": "vpc-1234567890abcdef0", "LaunchType": "EC2",
        "Containers": [
            {"Name": "~internal~ecs~pause", "Type": "CNI_PAUSE", "Networks": [network]},
            {"Name": "app", "Type": "NORMAL", "StartedAt": started, "Limits": {"CPU": 10, "Memory": 128},
             "Networks": [network]},
        ],
    });
    BTreeMap::from([(TASK.to_owned(), page.to_string())])
}

/// Where the container agent of ECS answers on a host.
pub const CONTAINER_AGENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 51678);

/// Its page of a host with one task, `orders` in cluster `main`, whose container `web` has this id.
pub fn host_page(task: &str, container: &str) -> BTreeMap<String, String> {
    let page = json!({"Tasks": [{
        "Arn": format!("arn:aws:ecs:us-west-2:111122223333:task/main/{task}"),
        "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "Family": "orders", "Version": "7",
        "Containers": [{"DockerId": container, "DockerName": "ecs-orders-7-web-80", "Name": "web"}],
    }]});
    BTreeMap::from([("/v1/tasks".to_owned(), page.to_string())])
}

/// The pages of an instance in this VPC with two interfaces, the second of which has this address.
pub fn instance_pages(address: IpAddr, vpc_networks: &str) -> BTreeMap<String, String> {
    let macs = "/latest/meta-data/network/interfaces/macs/";
    let [first, second] = ["0e:10:e2:01:bd:90", "0e:10:e2:01:bd:91"];
    let (addresses, prefixes) = if address.is_ipv4() {
        ("local-ipv4s", "vpc-ipv4-cidr-blocks")
    } else {
        ("ipv6s", "vpc-ipv6-cidr-blocks")
    };
    let document = json!({
        "accountId": "111122223333", "region": "us-west-2", "availabilityZone": "us-west-2d",
        "instanceId": "i-0123456789abcdef0", "privateIp": "10.255.0.1",
    });
    let page = |path: String, text: &str| (path, text.to_owned());
    BTreeMap::from([
        page("/latest/dynamic/instance-identity/document".to_owned(), &document.to_string()),
        page("/latest/meta-data/mac".to_owned(), first),
        page(macs.to_owned(), &format!("{first}/\n{second}/\n")),
        page(format!("{macs}{first}/local-ipv4s"), "10.255.0.1"),
        page(format!("{macs}{first}/vpc-id"), "vpc-0f0f0f0f"),
        page(format!("{macs}{second}/{addresses}"), &format!("192.0.2.1\n{address}")),
        page(format!("{macs}{second}/vpc-id"), "vpc-1234567890abcdef0"),
        page(format!("{macs}{second}/{prefixes}"), vpc_networks),
    ])
}
