//! What is counted for one (source slot, port) pair.

/// Counters of one (source slot, port) pair on one CPU. The eBPF programs add, userspace sums over the CPUs.
///
/// One cache line: a counted SYN touches no second one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// SYNs without ACK seen at tc ingress, retransmitted ones included.
    pub arrived: u64,
    /// SYN-ACKs seen at tc egress, retransmitted ones included.
    pub answered: u64,
    /// Those of `answered` that carried no request socket: SYN cookies.
    pub cookies: u64,
    /// RSTs at tc egress that answer a SYN (sequence number zero).
    pub refused: u64,
    /// SYN-ACKs the kernel sent again (`tcp:tcp_retransmit_synack`).
    pub synack_retransmits: u64,
    /// Handshakes completed (`sock:inet_sock_set_state`, SYN_RECV to ESTABLISHED).
    pub established: u64,
    /// Connections that the application answered, or closed in order when the peer sent nothing.
    pub served: u64,
    /// Connections that ended without either.
    pub unserved: u64,
}

const _: () = assert!(size_of::<Tally>() == 64 && align_of::<Tally>() == 8);

/// How the connections of one (source slot, port) pair behaved, on one CPU.
///
/// Apart from [`Tally`], so that a counted SYN still touches one cache line.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// Of the tally's `served`, those that behaved like a health check.
    pub probes_served: u64,
    /// Of the tally's `unserved`, the same.
    pub probes_unserved: u64,
    /// TLS handshake records at the begin of a segment: what is inside cannot be told.
    pub tls_openings: u64,
    /// Connections that ended and behaved like a client's. Counted, not computed: two structs are not read at one moment.
    pub clients: u64,
}

const _: () = assert!(size_of::<Manners>() == 32);

/// A connection, as the tc hooks and the socket tracepoints can both name it: by its peer and the watched port, which may
/// be another than the socket's own where the host translates it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionKey {
    /// Peer address in host order, most significant word first; IPv4 as `::ffff:a.b.c.d`.
    pub peer: [u32; 4],
    /// Peer port, host order.
    pub peer_port: u32,
    /// Watched port index (see [`crate::config::PortTable`]).
    pub port_index: u32,
}

const _: () = assert!(size_of::<ConnectionKey>() == 24);

/// What the programs themselves failed to record, per CPU. Anything but zero is printed beside the verdict.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Drops not recorded because the drop table was full.
    pub drops: u64,
    /// Established connections on unwatched ports not recorded because their table was full.
    pub elsewhere: u64,
}

const _: () = assert!(size_of::<Loss>() == 16);

/// How many source addresses without a tally of their own a CPU remembers at a time.
pub const RECENT_CELLS: usize = 64;

/// A source that has no tally of its own, as last seen. A sample, not a count: cells are overwritten.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentSource {
    /// IPv6, or IPv4 as `::ffff:a.b.c.d`; all zero when the cell was never written.
    pub address: [u8; 16],
    /// Slot the SYN was counted in.
    pub slot: u32,
    /// Watched port index (see [`crate::config::PortTable`]).
    pub port_index: u32,
}

const _: () = assert!(size_of::<RecentSource>() == 24);

/// The recently seen sources of one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RecentSources {
    /// Cells, chosen by a hash of the address.
    pub cells: [RecentSource; RECENT_CELLS],
}

const _: () = assert!(size_of::<RecentSources>() == 24 * RECENT_CELLS);

crate::pod!(Tally, Manners, ConnectionKey, Loss, RecentSource, RecentSources);
