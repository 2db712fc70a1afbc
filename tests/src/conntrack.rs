//! A connection tracking table without room, filled by ctnetlink.

use std::{fs, net::Ipv4Addr};

use socket2::{Domain, Protocol, Socket, Type};

use crate::Netns;

// include/uapi/linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h, v6.1.
const NETLINK_NETFILTER: i32 = 12;
const NEW_CONNECTION: u16 = 1 << 8;
const REQUEST_CREATE: u16 = 0x1 | 0x400;
const NESTED: u16 = 0x8000;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const TIMEOUT: u16 = 7;
/// IPS_SEEN_REPLY, IPS_ASSURED (never given up for a newer one), IPS_CONFIRMED.
const ASSURED: u32 = 0x2 | 0x4 | 0x8;
const TIMEOUT_SECONDS: u32 = 600;
const UDP: u8 = 17;
/// Below the default of `net.core.wmem_default`.
const BATCH_BYTES: usize = 64 * 1024;

/// Connections that the namespace's table holds, and most that it may.
///
/// # Panics
///
/// When the kernel does not say.
pub fn fill_state(namespace: &Netns) -> (u64, u64) {
    let read = |name: &str| -> u64 {
        let path = format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
        text.trim().parse().unwrap_or_else(|error| panic!("{path} says {text:?}: {error}"))
    };
    namespace.run(|| (read("count"), read("max")))
}

/// Fills the table of this namespace, and of no other, with connections that nobody has. It is gone with the namespace.
///
/// # Panics
///
/// When it is not full in the end.
pub fn fill(namespace: &Netns) {
    let limit = fill_but(namespace, 0);
    let (entries, _) = fill_state(namespace);
    assert!(entries >= limit, "the table holds {entries} of {limit} connections");
}

/// As [`fill`], but for so many places that stay free; the most that the table takes.
///
/// # Panics
///
/// When the table is so small or so large that a test cannot.
pub fn fill_but(namespace: &Netns, free: u32) -> u64 {
    let (_, limit) = fill_state(namespace);
    assert!(limit > u64::from(free) && limit < 4_000_000, "a limit of {limit} cannot be reached in a test");
    namespace.run(|| {
        let socket =
            Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(NETLINK_NETFILTER)))
                .expect("a netlink socket");
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        let count = limit as u32 - free;
        for number in 0..count {
            batch.extend(new_connection(number));
            if batch.len() > BATCH_BYTES - 512 || number + 1 == count {
                // An entry that finds no room is answered with an error that nobody reads.
                socket.send(&batch).expect("ctnetlink takes new connections");
                batch.clear();
            }
        }
    });
    limit
}

fn new_connection(number: u32) -> Vec<u8> {
    let port = (number & 0x7fff) as u16 + 1024;
    // TEST-NET-1 and TEST-NET-2 (RFC 5737).
    let (here, there) = (
        Ipv4Addr::new(192, 0, 2, 1),
        Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 51, 100, 0)) + (number >> 15)),
    );
    let mut body = vec![libc::AF_INET as u8, 0, 0, 0];
    body.extend(tuple(ORIGINAL, here, there, port, 9));
    body.extend(tuple(REPLY, there, here, 9, port));
    body.extend(attribute(STATUS, &ASSURED.to_be_bytes()));
    body.extend(attribute(TIMEOUT, &TIMEOUT_SECONDS.to_be_bytes()));
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(NEW_CONNECTION.to_ne_bytes());
    message.extend(REQUEST_CREATE.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

fn tuple(kind: u16, from: Ipv4Addr, to: Ipv4Addr, from_port: u16, to_port: u16) -> Vec<u8> {
    let addresses = [attribute(1, &from.octets()), attribute(2, &to.octets())].concat();
    let protocol =
        [attribute(1, &[UDP]), attribute(2, &from_port.to_be_bytes()), attribute(3, &to_port.to_be_bytes())]
            .concat();
    attribute(kind | NESTED, &[attribute(1 | NESTED, &addresses), attribute(2 | NESTED, &protocol)].concat())
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
