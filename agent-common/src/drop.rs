//! What was thrown away, and how the drop hook files it.

/// Which packet was dropped, and on which side of the agent's own hook. Numbers are never reused.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropKind {
    /// An inbound SYN, after the agent's ingress hook counted it.
    Syn = 1,
    /// An inbound SYN in front of the agent's ingress hook (XDP, CPU backlog): it never counted as arrived.
    SynBeforeHook = 2,
    /// A SYN-ACK of this host.
    SynAck = 3,
    /// A duplicate SYN of a handshake under way. The kernel frees it as `NOT_SPECIFIED`; nothing is lost.
    DuplicateSyn = 4,
}

impl DropKind {
    /// The kind behind a number from the kernel side; `None` for a number this version does not know.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Syn),
            2 => Some(Self::SynBeforeHook),
            3 => Some(Self::SynAck),
            4 => Some(Self::DuplicateSyn),
            _ => None,
        }
    }
}

/// Key of the drop table; the value is a count per CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DropKey {
    /// Source slot (for a SYN-ACK: the slot of the peer it was meant for).
    pub slot: u32,
    /// Watched port index.
    pub port_index: u32,
    /// A [`DropKind`] as its number.
    pub kind: u32,
    /// The running kernel's `enum skb_drop_reason`, or [`REASON_UNKNOWN`].
    pub reason: u32,
}

const _: () = assert!(size_of::<DropKey>() == 16);

/// Reason of a drop on a kernel without drop reasons (before 5.17).
pub const REASON_UNKNOWN: u32 = u32::MAX - 1;

// A reason number that this kernel lacks must not look like a reason that it does not tell.
const _: () = assert!(REASON_UNKNOWN != crate::config::ABSENT);

/// Key of the tables of what a known source did on an unwatched port: connections completed, and SYNs sent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ElsewhereKey {
    /// Source slot.
    pub slot: u32,
    /// Local port, host order.
    pub port: u32,
}

const _: () = assert!(size_of::<ElsewhereKey>() == 8);

/// Connection attempts of a node on an unwatched port.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stray {
    /// SYNs; one that repeats the sequence number of the one before is the same attempt, sent again.
    pub attempts: u64,
    /// Sequence number of the latest.
    pub sequence: u64,
}

const _: () = assert!(size_of::<Stray>() == 16);

crate::pod!(DropKey, ElsewhereKey, Stray);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_its_number() {
        for kind in [DropKind::Syn, DropKind::SynBeforeHook, DropKind::SynAck, DropKind::DuplicateSyn] {
            assert_eq!(DropKind::from_number(kind as u32), Some(kind));
        }
        assert_eq!(DropKind::from_number(0), None);
        assert_eq!(DropKind::from_number(5), None);
    }
}
