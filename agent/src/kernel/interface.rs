//! The interface to watch, and its state.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};

use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkLayerType, LinkMessage, LinkXdp},
};
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::kernel::netlink::{Kind, request};

/// An interface of the target's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Index; unique within its namespace only.
    pub index: u32,
    /// Its addresses, link-local ones left out.
    pub addresses: Vec<IpAddr>,
    /// Bytes of link-layer header in front of a packet.
    pub link_header_bytes: u32,
    /// Why this one.
    pub chosen_because: String,
}

/// State of an interface at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Name.
    pub name: String,
    /// Index.
    pub index: u32,
    /// Bytes of link-layer header; `None` for a kind of link whose packets this program cannot read.
    pub link_header_bytes: Option<u32>,
    /// Packets received since the interface exists.
    pub received_packets: Option<u64>,
    /// Id of the XDP program attached to it.
    pub xdp_programs: Vec<u32>,
}

/// Why no interface was found.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// None has this name.
    #[error("no interface {name} in this network namespace; there are: {there}")]
    Unknown {
        /// Wanted.
        name: String,
        /// Names of those that exist.
        there: String,
    },
    /// No default route, hence no default interface.
    #[error("no default route, so no default interface; name one with --interface (there are: {there})")]
    NoDefault {
        /// Names of those that exist.
        there: String,
    },
    /// Its packets have a link header this program does not know.
    #[error("interface {name} has neither Ethernet nor bare IP packets; name another with --interface")]
    UnknownLinkHeader {
        /// Name.
        name: String,
    },
    /// Netlink failed.
    #[error("listing network interfaces: {0}")]
    Netlink(#[from] io::Error),
}

impl Interface {
    /// Finds an interface in the current namespace: the named one, or the one that holds an address of the task, or the
    /// one that holds the source address of the default route. A task's interface is eth0, eth1 or a VLAN branch: never
    /// a fixed name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn find(name: Option<&str>, of_task: &[IpAddr]) -> Result<Self, InterfaceError> {
        let links = links()?;
        let addresses = addresses()?;
        let there = || {
            let names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
            names.join(", ")
        };
        let holds = |wanted: IpAddr| {
            let (index, _) = addresses.iter().find(|(_, held)| *held == wanted)?;
            links.iter().find(|link| link.index == *index)
        };
        let held_by_task = of_task.iter().find_map(|address| Some((*address, holds(*address)?)));
        let (link, chosen_because) = match (name, held_by_task) {
            (Some(name), _) => {
                let link = links.iter().find(|link| link.name == name);
                let unknown = || InterfaceError::Unknown { name: name.to_owned(), there: there() };
                (link.ok_or_else(unknown)?, "named by --interface".to_owned())
            }
            (None, Some((address, link))) => {
                (link, format!("holds {address}, the task's address (ECS task metadata)"))
            }
            (None, None) => {
                let no_default = || InterfaceError::NoDefault { there: there() };
                let source = default_source().ok_or_else(no_default)?;
                let link = holds(source).ok_or_else(no_default)?;
                (link, format!("holds {source}, the source address of the default route"))
            }
        };
        let unknown_header = || InterfaceError::UnknownLinkHeader { name: link.name.clone() };
        Ok(Self {
            name: link.name.clone(),
            index: link.index,
            link_header_bytes: link.link_header_bytes.ok_or_else(unknown_header)?,
            addresses: addresses
                .iter()
                .filter(|(index, address)| *index == link.index && !is_link_local(*address))
                .map(|(_, address)| *address)
                .collect(),
            chosen_because,
        })
    }
}

/// State of the interface with this index in the current namespace; `None` when there is none.
///
/// # Errors
///
/// When netlink fails.
pub fn link_state(index: u32) -> io::Result<Option<LinkState>> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    match request(NETLINK_ROUTE, Kind::Get, RouteNetlinkMessage::GetLink(message)) {
        Ok(answers) => Ok(answers.into_iter().find_map(state)),
        Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// include/uapi/asm-generic/errno-base.h
const ENODEV: i32 = 19;

fn links() -> io::Result<Vec<LinkState>> {
    let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
    Ok(request(NETLINK_ROUTE, Kind::Dump, message)?.into_iter().filter_map(state).collect())
}

fn state(message: RouteNetlinkMessage) -> Option<LinkState> {
    let RouteNetlinkMessage::NewLink(link) = message else { return None };
    let mut state = LinkState {
        name: String::new(),
        index: link.header.index,
        link_header_bytes: match link.header.link_layer_type {
            LinkLayerType::Ether | LinkLayerType::Loopback => Some(14),
            LinkLayerType::None | LinkLayerType::Rawip | LinkLayerType::Tunnel | LinkLayerType::Tunnel6 => {
                Some(0)
            }
            _ => None,
        },
        received_packets: None,
        xdp_programs: Vec::new(),
    };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => state.name = name,
            LinkAttribute::Stats64(stats) => state.received_packets = Some(stats.rx_packets),
            LinkAttribute::Xdp(xdp) => {
                state.xdp_programs = xdp.iter().filter_map(xdp_program).collect();
                state.xdp_programs.dedup();
            }
            _ => {}
        }
    }
    Some(state)
}

fn xdp_program(attribute: &LinkXdp) -> Option<u32> {
    match attribute {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => {
            Some(*id)
        }
        _ => None,
    }
}

fn addresses() -> io::Result<Vec<(u32, IpAddr)>> {
    let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let mut found = Vec::new();
    for answer in request(NETLINK_ROUTE, Kind::Dump, message)? {
        let RouteNetlinkMessage::NewAddress(address) = answer else { continue };
        // On a point-to-point link `Address` is the other end and `Local` is ours.
        let local = address.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(local) => Some(*local),
            _ => None,
        });
        let any = address.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
        found.extend(local.or(any).map(|held| (address.header.index, held)));
    }
    Ok(found)
}

/// The address the kernel would send from to the world at large. Connecting a UDP socket sends nothing; the peers are
/// documentation addresses (RFC 5737, RFC 3849).
fn default_source() -> Option<IpAddr> {
    let source = |own: IpAddr, peer: IpAddr| {
        let socket = UdpSocket::bind((own, 0)).ok()?;
        socket.connect((peer, 9)).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    };
    let v4 = source(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into());
    v4.or_else(|| source(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
