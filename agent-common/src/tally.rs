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
    /// RSTs (sequence number zero) and ICMP messages at tc egress that refuse a SYN.
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

impl Tally {
    /// Adds what another CPU counted.
    pub const fn add(&mut self, other: &Self) {
        self.arrived += other.arrived;
        self.answered += other.answered;
        self.cookies += other.cookies;
        self.refused += other.refused;
        self.synack_retransmits += other.synack_retransmits;
        self.established += other.established;
        self.served += other.served;
        self.unserved += other.unserved;
    }
}

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
    /// Proxy protocol v2 headers at the begin of a connection.
    pub proxy_openings: u64,
    /// Answers that began as plain HTTP.
    pub http_answers: u64,
    /// Of `http_answers`, those with status 400: what came was no request, as far as the application understood it.
    pub bad_requests: u64,
    /// Answers that go on with a TLS handshake.
    pub tls_answers: u64,
    /// TLS alerts sent in the clear: handshakes that this side refused.
    pub tls_alerts: u64,
    /// Of `probes_unserved`, those answered with an HTTP status other than 200 to 399.
    pub probes_bad_status: u64,
    /// Of `probes_unserved`, those whose peer gave up before a single byte of an answer.
    pub probes_given_up: u64,
    /// Of `probes_unserved`, those that this side ended without an answer.
    pub probes_cut: u64,
    /// Of `clients`, those that sent something and that this side ended without an answer.
    pub clients_cut: u64,
    /// The latest status counted in `probes_bad_status`; a level, not a count.
    pub bad_status: u64,
    /// The latest description counted in `tls_alerts` (RFC 8446 section 6); a level, not a count.
    pub tls_alert: u64,
    /// How long the latest one counted in `probes_given_up` had waited, in microseconds; a level, not a count.
    pub wait_microseconds: u64,
    /// Connections that began like a health check and were not followed, because this source's share of the table was used up.
    pub probes_lost: u64,
    /// SYNs that met a full accept queue (`tcp_conn_request`), where the kernel lets that be seen.
    pub queue_full: u64,
}

const _: () = assert!(size_of::<Manners>() == 144);

impl Manners {
    /// Takes in those of another CPU: counts add up, of levels the higher one stands.
    pub fn add(&mut self, other: &Self) {
        self.probes_served += other.probes_served;
        self.probes_unserved += other.probes_unserved;
        self.tls_openings += other.tls_openings;
        self.clients += other.clients;
        self.proxy_openings += other.proxy_openings;
        self.http_answers += other.http_answers;
        self.bad_requests += other.bad_requests;
        self.tls_answers += other.tls_answers;
        self.tls_alerts += other.tls_alerts;
        self.probes_bad_status += other.probes_bad_status;
        self.probes_given_up += other.probes_given_up;
        self.probes_cut += other.probes_cut;
        self.clients_cut += other.clients_cut;
        self.probes_lost += other.probes_lost;
        self.queue_full += other.queue_full;
        self.bad_status = self.bad_status.max(other.bad_status);
        self.tls_alert = self.tls_alert.max(other.tls_alert);
        self.wait_microseconds = self.wait_microseconds.max(other.wait_microseconds);
    }
}

/// A health check under way that said it is one.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeState {
    /// When it said so, in nanoseconds of the monotonic clock.
    pub began_nanoseconds: u64,
    /// The slot whose share of the table it is of. Its source may have got another slot since.
    pub slot: u32,
    /// HTTP status of its answer; 0 before.
    pub status: u16,
    /// [`PROBE_ASKED`] and [`PROBE_IS_OVER`].
    pub marks: u16,
}

/// A mark of [`ProbeState`]: it sent a request, and waits for an answer. One that only sent a proxy protocol header did not.
pub const PROBE_ASKED: u16 = 1;

/// A mark of [`ProbeState`]: it was counted as ended, because its peer gave up; the socket may stay open.
pub const PROBE_IS_OVER: u16 = 2;

const _: () = assert!(size_of::<ProbeState>() == 16);

/// How many entries of the table of health checks under way were taken and given back so far, by one source or by all.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeShare {
    /// Entries made.
    pub taken: u64,
    /// Entries that the programs took out. What userspace takes out is counted elsewhere: a map value has one writer.
    pub given_back: u64,
}

const _: () = assert!(size_of::<ProbeShare>() == 16);

/// Index of what all sources together hold; a slot's own is [`share_of`] it.
pub const ALL_SHARES: u32 = 0;

/// Index of a slot's share.
pub const fn share_of(slot: u32) -> u32 {
    slot.wrapping_add(1)
}

impl ProbeShare {
    /// Entries held, where userspace took out so many. Read while others write, so it may be off by a few, below zero too.
    #[inline(always)]
    pub const fn held(&self, swept: u64) -> i64 {
        self.taken.wrapping_sub(self.given_back).wrapping_sub(swept) as i64
    }
}

/// Whether a source that holds `own` entries may take another one of `entries`, of which `all` are held: only while it
/// holds fewer than are free. However many it wants, as many stay free for the others; of several greedy ones each gets
/// an equal part, and one part stays free.
#[inline(always)]
pub const fn may_take(entries: u32, all: i64, own: i64) -> bool {
    own < entries as i64 - all
}

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
    /// SYNs of NLB nodes for unwatched ports not recorded because their table was full.
    pub strays: u64,
    /// Connections that began like a health check and were not recorded because their source's share of the table was used up.
    pub probes: u64,
}

const _: () = assert!(size_of::<Loss>() == 32);

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

/// Index of the table of senders that called themselves a health check. Their `slot` is not set.
pub const SAID: u32 = 0;

/// Index of the table of senders that were served without having sent anything. Their `slot` is not set.
pub const MUTE: u32 = 1;

/// The recently seen sources of one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RecentSources {
    /// Cells, chosen by a hash of the address.
    pub cells: [RecentSource; RECENT_CELLS],
}

const _: () = assert!(size_of::<RecentSources>() == 24 * RECENT_CELLS);

crate::pod!(Tally, Manners, ProbeState, ProbeShare, ConnectionKey, Loss, RecentSource, RecentSources);

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries that each of so many greedy sources gets, when they take turns, and what stays free.
    fn shared_out(entries: u32, sources: usize) -> (Vec<i64>, i64) {
        let mut held = vec![0_i64; sources];
        for _ in 0..entries {
            for source in 0..sources {
                if may_take(entries, held.iter().sum(), held[source]) {
                    held[source] += 1;
                }
            }
        }
        let free = entries as i64 - held.iter().sum::<i64>();
        (held, free)
    }

    #[test]
    fn whoever_wants_everything_leaves_as_much_for_the_others() {
        assert_eq!(shared_out(4096, 1), (vec![2048], 2048));
        assert_eq!(shared_out(4096, 3), (vec![1024; 3], 1024));
        // The smallest table follows one.
        assert_eq!(shared_out(1, 1), (vec![1], 0));
        let (held, free) = shared_out(4096, 48);
        assert!(held.iter().all(|own| *own > 80) && free > 80, "{held:?}, {free}");
    }

    #[test]
    fn what_is_held_counts_what_either_side_took_out() {
        let share = ProbeShare { taken: 10, given_back: 3 };
        assert_eq!(share.held(2), 5);
        // Taken out between two reads.
        assert_eq!(ProbeShare { taken: 10, given_back: 11 }.held(0), -1);
        assert!(may_take(1, -1, 0));
    }
}
