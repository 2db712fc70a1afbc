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
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
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
    receive(&socket, kind)
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
        let mut rest = &buffer[..length];
        while rest.len() >= 16 {
            let message = NetlinkMessage::<T>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let used = (message.header.length as usize).next_multiple_of(4).clamp(16, rest.len());
            rest = &rest[used..];
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                NetlinkPayload::Error(_) => return Ok(answers),
                NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                _ => {}
            }
        }
        if kind == Kind::Get && !answers.is_empty() {
            return Ok(answers);
        }
    }
}
