//! TCP segments made by hand, with valid checksums, by a packet builder that the agent has no part in.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, Ethernet2Header, IpHeaders, IpNumber, Ipv4Header, Ipv6Header, SingleVlanHeader, TcpHeader,
    VlanId,
};

/// Which segment of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    syn: bool,
    ack: bool,
    rst: bool,
}

impl Flags {
    /// A connection attempt.
    pub const SYN: Self = Self { syn: true, ack: false, rst: false };
    /// The answer to one.
    pub const SYN_ACK: Self = Self { syn: true, ack: true, rst: false };
    /// Neither.
    pub const ACK: Self = Self { syn: false, ack: true, rst: false };
    /// A refusal.
    pub const RST_ACK: Self = Self { syn: false, ack: true, rst: true };
}

/// A segment without payload.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Sender.
    pub source: (IpAddr, u16),
    /// Receiver.
    pub destination: (IpAddr, u16),
    /// Which segment.
    pub flags: Flags,
}

/// Addresses and tags of the link layer.
#[derive(Clone, Debug)]
pub struct Link {
    /// Sender.
    pub source: [u8; 6],
    /// Receiver.
    pub destination: [u8; 6],
    /// EtherType and VLAN of each tag in the frame, the outer one first.
    pub tags: Vec<(EtherType, u16)>,
}

impl Default for Link {
    fn default() -> Self {
        Self { source: [2, 0, 0, 0, 0, 1], destination: [2, 0, 0, 0, 0, 2], tags: Vec::new() }
    }
}

impl Frame {
    /// A SYN from an address and port.
    pub fn syn(source: IpAddr, source_port: u16, destination: SocketAddr) -> Self {
        Self {
            source: (source, source_port),
            destination: (destination.ip(), destination.port()),
            flags: Flags::SYN,
        }
    }

    /// The frame on an Ethernet link without tags.
    pub fn bytes(&self) -> Vec<u8> {
        self.on(&Link::default())
    }

    /// The frame on this link.
    ///
    /// # Panics
    ///
    /// When its two addresses are of different families.
    pub fn on(&self, link: &Link) -> Vec<u8> {
        let mut tcp = TcpHeader::new(self.source.1, self.destination.1, 1, 64_240);
        (tcp.syn, tcp.ack, tcp.rst) = (self.flags.syn, self.flags.ack, self.flags.rst);
        let length = tcp.header_len();
        let ip = match (self.source.0, self.destination.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut ip = Ipv4Header::new(length as u16, 64, IpNumber::TCP, from.octets(), to.octets())
                    .expect("a short payload");
                ip.header_checksum = ip.calc_header_checksum();
                tcp.checksum = tcp.calc_checksum_ipv4(&ip, &[]).expect("a short payload");
                IpHeaders::Ipv4(ip, Default::default())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let ip = Ipv6Header {
                    payload_length: length as u16,
                    next_header: IpNumber::TCP,
                    hop_limit: 64,
                    source: from.octets(),
                    destination: to.octets(),
                    ..Ipv6Header::default()
                };
                tcp.checksum = tcp.calc_checksum_ipv6(&ip, &[]).expect("a short payload");
                IpHeaders::Ipv6(ip, Default::default())
            }
            (from, to) => panic!("{from} and {to} are of different families"),
        };
        let ip_type = if self.source.0.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let mut bytes = Vec::new();
        let mut types = link.tags.iter().map(|(kind, _)| *kind).chain([ip_type]);
        let ethernet = Ethernet2Header {
            source: link.source,
            destination: link.destination,
            ether_type: types.next().expect("the type of IP at least"),
        };
        ethernet.write(&mut bytes).expect("writing to memory");
        for (tag, inner) in link.tags.iter().zip(types) {
            let header = SingleVlanHeader {
                vlan_id: VlanId::try_new(tag.1).expect("a VLAN number"),
                ether_type: inner,
                ..SingleVlanHeader::default()
            };
            header.write(&mut bytes).expect("writing to memory");
        }
        ip.write(&mut bytes).expect("writing to memory");
        tcp.write(&mut bytes).expect("writing to memory");
        bytes
    }
}
