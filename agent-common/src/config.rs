//! What userspace hands to the programs.

use crate::strides::Root;

/// Most ports one target can watch.
pub const MAX_PORTS: usize = 64;

/// [`PortTable`] mark of a port that is watched on sockets only: traffic to the watched port with this index is
/// translated to it inside the host, so it never appears on the wire.
pub const PORT_TRANSLATED: u8 = 0x80;

/// Port number to port index. 0: not watched; 1 to [`MAX_PORTS`]: the index plus one, possibly with
/// [`PORT_TRANSLATED`] set.
///
/// 64 KiB, of which a host touches a few cache lines; a look-up is one load, where a hash costs 24 ns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PortTable {
    /// One entry per port number as two bytes of the wire make it on this host ([`Self::place`]): the programs take them as they
    /// come, and swap none.
    pub entries: [u8; 65536],
}

impl PortTable {
    /// Where the entry of a port is.
    #[inline(always)]
    pub const fn place(port: u16) -> usize {
        port.to_be() as usize
    }
}

const _: () = assert!(size_of::<PortTable>() == 65536);

/// What may change while the programs run.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// Which of the two tables of sources is in force (0 or 1). The other is written, then this is switched.
    pub active_table: u32,
    /// Not zero while the agent looks for the local port that a watched port is translated to.
    pub hunt_translation: u32,
    /// Not zero while health checks are missing: SYNs of NLB nodes for unwatched ports are counted.
    pub hunt_strays: u32,
    /// Not zero while nobody said who the NLB's nodes are, and they are learned by what senders do.
    pub learns: u32,
    /// Where the search for an IPv4 source begins, in each of the tables.
    pub roots: [Root; 2],
}

const _: () = assert!(size_of::<Control>() == 16 + 2 * size_of::<Root>());

impl Control {
    /// Nobody is named, and nothing is looked for.
    pub const EMPTY: Self =
        Self { active_table: 0, hunt_translation: 0, hunt_strays: 0, learns: 0, roots: [Root::EMPTY; 2] };
}

/// Facts of the running kernel and the target, fixed at load: read-only data that the verifier treats as
/// constants. Offsets are bytes; [`ABSENT`] marks what this kernel does not have.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Inode number of the target's network namespace (`stat /proc/self/ns/net`).
    pub netns_inode: u32,
    /// Bytes of link-layer header in front of a packet: 14 on Ethernet, 0 on a layer 3 interface.
    pub link_header_bytes: u32,
    /// Number of watched ports.
    pub port_count: u32,
    /// Entries of the table of health checks under way.
    pub probe_entries: u32,
    /// Position of the `enum skb_drop_reason` argument of `kfree_skb`, not counting the hidden first one.
    pub reason_argument: u32,
    /// The number of `SKB_DROP_REASON_NOT_SPECIFIED`.
    pub reason_not_specified: u32,
    /// The numbers of reasons that are only given in front of tc ingress (`XDP`, `CPU_BACKLOG`).
    pub reasons_before_hook: [u32; 4],
    /// `sk_buff.dev`
    pub skb_dev: u32,
    /// `sk_buff.sk`
    pub skb_sk: u32,
    /// `sk_buff.head`
    pub skb_head: u32,
    /// `sk_buff.data`
    pub skb_data: u32,
    /// `sk_buff.network_header`
    pub skb_network_header: u32,
    /// `sk_buff._skb_refdst`
    pub skb_refdst: u32,
    /// `sk_buff.skb_iif`: interface a packet came in by; 0 on what this host sends itself
    pub skb_iif: u32,
    /// `net_device.nd_net.net`
    pub dev_net: u32,
    /// `net.ns.inum`
    pub net_inode: u32,
    /// `dst_entry.dev`
    pub dst_dev: u32,
    /// `sock_common.skc_net.net`
    pub sock_net: u32,
    /// `sock_common.skc_family`
    pub sock_family: u32,
    /// `sock_common.skc_num`: local port, host order
    pub sock_local_port: u32,
    /// `inet_sock.inet_sport`: local port of a connection, network order
    pub sock_own_port: u32,
    /// `sock_common.skc_dport`: peer port, network order
    pub sock_peer_port: u32,
    /// `sock_common.skc_daddr`
    pub sock_peer4: u32,
    /// `sock_common.skc_v6_daddr`
    pub sock_peer6: u32,
    /// `sock.sk_err`
    pub sock_error: u32,
    /// `sock.sk_ack_backlog`: connections of a listener that wait to be accepted
    pub sock_ack_backlog: u32,
    /// `sock.sk_max_ack_backlog`: how many may wait; the queue is full beyond that
    pub sock_max_ack_backlog: u32,
    /// `tcp_sock.bytes_received`
    pub tcp_bytes_received: u32,
    /// `tcp_sock.bytes_sent`
    pub tcp_bytes_sent: u32,
    /// `skbaddr` in the record of `kfree_skb`
    pub record_packet: u32,
    /// `reason` in the same
    pub record_reason: u32,
    /// `skaddr` in the record of `inet_sock_set_state`
    pub record_socket: u32,
    /// `oldstate` in the same
    pub record_old_state: u32,
    /// `newstate` in the same
    pub record_new_state: u32,
    /// `req` in the record of `tcp_retransmit_synack`
    pub record_request: u32,
}

const _: () = assert!(size_of::<Target>() == 4 * 38);

/// How many targets share one program per tracepoint; more have their own.
pub const SEATS: usize = 1024;

/// An offset or argument that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

impl Target {
    /// A target about whose kernel nothing is known: only the tc programs can run.
    pub const UNKNOWN_KERNEL: Self = Self {
        netns_inode: 0,
        link_header_bytes: 14,
        port_count: 1,
        probe_entries: 0,
        reason_argument: ABSENT,
        reason_not_specified: ABSENT,
        reasons_before_hook: [ABSENT; 4],
        skb_dev: ABSENT,
        skb_sk: ABSENT,
        skb_head: ABSENT,
        skb_data: ABSENT,
        skb_network_header: ABSENT,
        skb_refdst: ABSENT,
        skb_iif: ABSENT,
        dev_net: ABSENT,
        net_inode: ABSENT,
        dst_dev: ABSENT,
        sock_net: ABSENT,
        sock_family: ABSENT,
        sock_local_port: ABSENT,
        sock_own_port: ABSENT,
        sock_peer_port: ABSENT,
        sock_peer4: ABSENT,
        sock_peer6: ABSENT,
        sock_error: ABSENT,
        sock_ack_backlog: ABSENT,
        sock_max_ack_backlog: ABSENT,
        tcp_bytes_received: ABSENT,
        tcp_bytes_sent: ABSENT,
        record_packet: ABSENT,
        record_reason: ABSENT,
        record_socket: ABSENT,
        record_old_state: ABSENT,
        record_new_state: ABSENT,
        record_request: ABSENT,
    };
}

crate::pod!(PortTable, Control, Target);
