//! Kernel structures under the tracepoints, by offsets from the running kernel's BTF.

use core::mem::MaybeUninit;

use agent_common::packet::Address;

use crate::{read::Kernel, target::fact, word::Word};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// A `struct sock_common`: a socket, or a request socket of a handshake under way, which begins with the same.
pub struct Socket(Kernel);

impl Socket {
    /// From a tracepoint argument.
    #[inline(always)]
    pub fn new(address: u64) -> Self {
        Self(Kernel(address))
    }

    /// Inode number of its network namespace.
    #[inline(always)]
    pub fn namespace(&self) -> Option<u32> {
        self.0.load(fact!(sock_net) as usize).and_then(namespace_inode)
    }

    /// Whether it belongs to the target's network namespace.
    #[inline(always)]
    pub fn in_target(&self) -> bool {
        self.namespace() == Some(fact!(netns_inode))
    }

    /// Local port of a connection, host order. `skc_num` is 0 by the time a cut connection is said to be closed:
    /// `tcp_set_state` gives the port back before (net/ipv4/tcp.c, v6.1).
    #[inline(always)]
    pub fn own_port(&self) -> Option<u16> {
        self.0.load(fact!(sock_own_port) as usize).map(u16::from_be)
    }

    /// Local port of a request socket, host order.
    #[inline(always)]
    pub fn local_port(&self) -> Option<u16> {
        self.0.load(fact!(sock_local_port) as usize)
    }

    /// Peer port, host order.
    #[inline(always)]
    pub fn peer_port(&self) -> Option<u16> {
        self.0.load(fact!(sock_peer_port) as usize).map(u16::from_be)
    }

    /// The peer; an IPv4 peer of a dual-stack socket as IPv4.
    #[inline(always)]
    pub fn peer(&self) -> Option<Address> {
        match self.0.load::<u16>(fact!(sock_family) as usize)? {
            AF_INET => Some(Address::V4(u32::from_be(self.0.load(fact!(sock_peer4) as usize)?))),
            AF_INET6 => {
                let words: [u32; 4] = self.0.load(fact!(sock_peer6) as usize)?;
                Some(Address::V6(words.map(u32::from_be)).unmapped())
            }
            _ => None,
        }
    }

    /// `sk_err`: ECONNRESET or EPIPE once the peer reset the connection.
    #[inline(always)]
    pub fn error(&self) -> i32 {
        self.0.load(fact!(sock_error) as usize).unwrap_or(0)
    }

    /// Bytes taken from the peer (its FIN counts one) and bytes sent to it.
    #[inline(always)]
    pub fn bytes(&self) -> Option<(u64, u64)> {
        Some((self.0.load(fact!(tcp_bytes_received) as usize)?, self.0.load(fact!(tcp_bytes_sent) as usize)?))
    }
}

/// A `struct sk_buff`.
pub struct Packet(Kernel);

impl Packet {
    /// From a tracepoint argument.
    #[inline(always)]
    pub fn new(address: u64) -> Self {
        Self(Kernel(address))
    }

    /// Inode number of its network namespace. The device is missing on SYN-ACKs dropped in an output chain, the socket on
    /// SYN cookies: take whichever is there, the route last.
    #[inline(always)]
    pub fn namespace(&self) -> Option<u32> {
        device_namespace(self.pointer(fact!(skb_dev)))
            .or_else(|| socket_namespace(self.pointer(fact!(skb_sk))))
            .or_else(|| device_namespace(member(self.route(), fact!(dst_dev))))
    }

    /// Whether it belongs to the target's network namespace.
    #[inline(always)]
    pub fn in_target(&self) -> bool {
        self.namespace() == Some(fact!(netns_inode))
    }

    /// The route's `dst_entry`, or 0. The lowest bit only says whether a reference is held.
    #[inline(always)]
    fn route(&self) -> u64 {
        self.pointer(fact!(skb_refdst)) & !1
    }

    /// A copy of it, in this room.
    #[inline(always)]
    pub fn fields<'a>(&self, room: &'a mut MaybeUninit<CopiedFields>) -> Option<&'a CopiedFields> {
        self.0.copy(room)
    }

    #[inline(always)]
    fn pointer(&self, offset: u32) -> u64 {
        self.0.load(offset as usize).unwrap_or(0)
    }
}

/// Words of a [`Fields`]: longer than a `struct sk_buff` is (232 bytes, v6.1), and shorter than the 256 of the slab it lies in.
const FIELD_WORDS: usize = 30;

/// What is asked of a `struct sk_buff` that is thrown away.
pub trait Fields {
    /// A field.
    fn field<T: Word>(&self, offset: u32) -> Option<T>;

    /// The route's `dst_entry`, or 0. The lowest bit only says whether a reference is held.
    #[inline(always)]
    fn route(&self) -> u64 {
        self.field::<u64>(fact!(skb_refdst)).unwrap_or(0) & !1
    }

    /// Sent by this host rather than received.
    #[inline(always)]
    fn is_own(&self) -> bool {
        self.field::<u32>(fact!(skb_iif)) == Some(0)
    }

    /// Whether a socket owns it.
    #[inline(always)]
    fn has_socket(&self) -> bool {
        self.field::<u64>(fact!(skb_sk)).unwrap_or(0) != 0
    }

    /// Where the network header should be; a packet dropped early has only its data pointer.
    #[inline(always)]
    fn network_header(&self) -> Option<Kernel> {
        let offset: u16 = self.field(fact!(skb_network_header))?;
        let start = if offset == 0 || offset == u16::MAX {
            self.field::<u64>(fact!(skb_data))?
        } else {
            self.field::<u64>(fact!(skb_head))? + offset as u64
        };
        Some(Kernel(start))
    }
}

/// The fields of a `struct sk_buff`, copied with one read: one of each costs as much (20 ns).
pub struct CopiedFields([u64; FIELD_WORDS]);

impl Fields for CopiedFields {
    /// A field, if it is there and lies in the copy.
    #[inline(always)]
    fn field<T: Word>(&self, offset: u32) -> Option<T> {
        if offset as usize > size_of_val(&self.0) - size_of::<T>() {
            return None;
        }
        // SAFETY: the field lies in the copy; the compiler aligned it in the kernel's structure, of which this is the begin.
        Some(unsafe { (&raw const self.0).cast::<u8>().add(offset as usize).cast::<T>().read() })
    }
}

#[inline(always)]
fn member(address: u64, offset: u32) -> u64 {
    if address == 0 { 0 } else { Kernel(address).load(offset as usize).unwrap_or(0) }
}

#[inline(always)]
fn device_namespace(device: u64) -> Option<u32> {
    if device == 0 { None } else { namespace_inode(member(device, fact!(dev_net))) }
}

#[inline(always)]
fn socket_namespace(socket: u64) -> Option<u32> {
    if socket == 0 { None } else { namespace_inode(member(socket, fact!(sock_net))) }
}

#[inline(always)]
fn namespace_inode(net: u64) -> Option<u32> {
    if net == 0 { None } else { Kernel(net).load(fact!(net_inode) as usize) }
}
