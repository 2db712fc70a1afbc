//! One request over netlink, and all of its answers.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// What kind of answer a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every object.
    Dump,
    /// One object.
    Get,
    /// Success or failure.
    Change,
}

/// Large enough for any part of a dump (the kernel's parts are at most 32 KiB, NLMSG_GOODSIZE).
const BUFFER_BYTES: usize = 64 * 1024;

/// Sends a request in the current network namespace and collects the answers.
///
/// # Errors
///
/// When the socket fails, the kernel refuses (its errno), or an answer cannot be parsed.
pub fn request<T>(protocol: isize, kind: Kind, message: T) -> io::Result<Vec<T>>
where
    T: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<T>>,
    <T as NetlinkDeserializable>::Error: std::error::Error,
{
    request_over(&open(protocol)?, kind, message)
}

/// A socket of the current network namespace that speaks with the kernel.
///
/// # Errors
///
/// When the kernel has no such protocol, or the limit of descriptors is reached.
pub fn open(protocol: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// As [`request`], over this socket, in whose namespace the answer is found.
///
/// # Errors
///
/// The same.
pub fn request_over<T>(socket: &Socket, kind: Kind, message: T) -> io::Result<Vec<T>>
where
    T: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<T>>,
    <T as NetlinkDeserializable>::Error: std::error::Error,
{
    let mut header = NetlinkHeader::default();
    header.flags = match kind {
        Kind::Dump => NLM_F_REQUEST | NLM_F_DUMP,
        Kind::Get => NLM_F_REQUEST,
        Kind::Change => NLM_F_REQUEST | NLM_F_ACK,
    };
    let mut packet = NetlinkMessage::new(header, message.into());
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    receive(socket, kind)
}

fn receive<T>(socket: &Socket, kind: Kind) -> io::Result<Vec<T>>
where
    T: NetlinkDeserializable,
    <T as NetlinkDeserializable>::Error: std::error::Error,
{
    let mut answers = Vec::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = socket.recv(&mut &mut buffer[..], 0)?;
        let is_over = take_in(&buffer[..length], &mut answers)?;
        if is_over || (kind == Kind::Get && !answers.is_empty()) {
            return Ok(answers);
        }
    }
}

/// Takes in one part of an answer; whether it was the last.
///
/// # Errors
///
/// When the kernel refuses (its errno), or the part cannot be parsed.
pub fn take_in<T>(part: &[u8], answers: &mut Vec<T>) -> io::Result<bool>
where
    T: NetlinkDeserializable,
    <T as NetlinkDeserializable>::Error: std::error::Error,
{
    let mut rest = part;
    while rest.len() >= 16 {
        let message = NetlinkMessage::<T>::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let used = (message.header.length as usize).next_multiple_of(4).clamp(16, rest.len());
        rest = &rest[used..];
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => match error.code {
                Some(code) => return Err(io::Error::from_raw_os_error(code.get().saturating_abs())),
                None => return Ok(true),
            },
            NetlinkPayload::InnerMessage(inner) => answers.push(inner),
            _ => {}
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::RouteNetlinkMessage;

    use super::*;

    /// A message of the kind `Error` with this code.
    fn refusal(code: i32) -> Vec<u8> {
        const ERROR: u16 = 2;
        let mut bytes = 36_u32.to_ne_bytes().to_vec();
        bytes.extend(ERROR.to_ne_bytes());
        bytes.resize(16, 0);
        bytes.extend(code.to_ne_bytes());
        bytes.resize(36, 0);
        bytes
    }

    #[test]
    fn a_refusal_is_its_errno_and_zero_is_none() {
        let read = |code| take_in::<RouteNetlinkMessage>(&refusal(code), &mut Vec::new());
        assert_eq!(read(-1).expect_err("refused").raw_os_error(), Some(1));
        assert!(read(0).expect("an acknowledgment"));
        // Found by the fuzz target.
        assert_eq!(read(i32::MIN).expect_err("refused").raw_os_error(), Some(i32::MAX));
    }

    #[test]
    fn a_part_that_is_cut_short_is_an_error_and_a_crumb_is_nothing() {
        let whole = refusal(-1);
        assert!(take_in::<RouteNetlinkMessage>(&whole[..20], &mut Vec::new()).is_err());
        assert!(!take_in::<RouteNetlinkMessage>(&whole[..15], &mut Vec::new()).expect("nothing"));
    }
}
