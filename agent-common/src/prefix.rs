//! Who sent it: what turns a source address into a slot.
//!
//! A slot is an index into the tallies; a prefix may stand for one slot, or (an NLB subnet of up to 256 addresses) for one
//! per address. IPv4 is looked up byte by byte ([`crate::strides`]). IPv6 prefixes share most of their sixteen bytes or hardly
//! any, so they are compared one by one, longest first, so that the first match is the longest; what does not fit into either
//! goes into an LPM trie (see the eBPF side), which costs 32 ns and more.

/// IPv6 prefixes that the scanned table holds.
pub const SCANNED_PREFIXES: usize = 32;

/// Slot of every source that no prefix names.
pub const OTHER_SLOT: u32 = 0;

/// [`PrefixTable::count`] when the trie is asked instead.
pub const IN_TRIE: u32 = u32::MAX;

/// [`SlotRule::flags`]: remember the sender among the recent sources, because the slot is shared.
pub const REMEMBER: u32 = 1;

/// [`SlotRule::flags`]: look at what connections from there begin with, because probes and clients may share the address.
pub const LOOK_AT_OPENINGS: u32 = 2;

/// [`SlotRule::flags`]: an NLB node, whose SYNs for unwatched ports are counted while its health checks are missing.
pub const HUNT_STRAYS: u32 = 4;

/// Value of a prefix: where its addresses are counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotRule {
    /// First slot.
    pub slot: u32,
    /// Low bits of the address (host order) that are added to `slot`; 0 for one slot for all.
    pub host_mask: u32,
    /// [`REMEMBER`], [`LOOK_AT_OPENINGS`], [`HUNT_STRAYS`].
    pub flags: u32,
}

const _: () = assert!(size_of::<SlotRule>() == 12);

/// What is found for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is counted.
    pub slot: u32,
    /// As in [`SlotRule::flags`].
    pub flags: u32,
}

/// An IPv6 prefix, as four words in host order, most significant first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix6 {
    /// Network address.
    pub network: [u32; 4],
    /// Network mask.
    pub mask: [u32; 4],
    /// Where its addresses are counted.
    pub rule: SlotRule,
}

const _: () = assert!(size_of::<Prefix6>() == 44);

/// The scanned table, longest prefix first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PrefixTable {
    /// Entries in use, or [`IN_TRIE`].
    pub count: u32,
    /// Prefixes.
    pub entries: [Prefix6; SCANNED_PREFIXES],
}

const _: () = assert!(size_of::<PrefixTable>() == 4 + 44 * SCANNED_PREFIXES);

impl PrefixTable {
    /// A table that names nobody.
    pub const EMPTY: Self = Self {
        count: 0,
        entries: [Prefix6 { network: [0; 4], mask: [0; 4], rule: SlotRule::OTHER }; SCANNED_PREFIXES],
    };

    /// The rule for an IPv6 source, or [`SlotRule::OTHER`].
    #[inline(always)]
    pub fn rule(&self, address: &[u32; 4]) -> SlotRule {
        for (index, prefix) in self.entries.iter().enumerate() {
            if index as u32 >= self.count {
                break;
            }
            let difference = ((address[0] & prefix.mask[0]) ^ prefix.network[0])
                | ((address[1] & prefix.mask[1]) ^ prefix.network[1])
                | ((address[2] & prefix.mask[2]) ^ prefix.network[2])
                | ((address[3] & prefix.mask[3]) ^ prefix.network[3]);
            if difference == 0 {
                return prefix.rule;
            }
        }
        SlotRule::OTHER
    }
}

impl SlotRule {
    /// The rule of a source that nothing names.
    pub const OTHER: Self = Self { slot: OTHER_SLOT, host_mask: 0, flags: REMEMBER };

    /// What it says of an address whose lowest 32 bits (host order) are `low`.
    #[inline(always)]
    pub fn of(&self, low: u32) -> Found {
        Found { slot: self.slot.wrapping_add(low & self.host_mask), flags: self.flags }
    }
}

crate::pod!(SlotRule, Prefix6, PrefixTable);

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(slot: u32, host_mask: u32) -> SlotRule {
        SlotRule { slot, host_mask, flags: 0 }
    }

    const NETWORK: [u32; 4] = [0xfd00_0001, 0, 0, 0x17];

    #[test]
    fn the_first_match_wins_and_the_rest_is_other() {
        let mut table = PrefixTable::EMPTY;
        table.entries[0] = Prefix6 { network: NETWORK, mask: [u32::MAX; 4], rule: rule(3, 0) };
        let wide = [u32::MAX, u32::MAX, u32::MAX, 0xffff_ff00];
        table.entries[1] = Prefix6 { network: [0xfd00_0001, 0, 0, 0], mask: wide, rule: rule(10, 0xff) };
        table.count = 2;
        assert_eq!(table.rule(&NETWORK).of(0x17).slot, 3);
        assert_eq!(table.rule(&[0xfd00_0001, 0, 0, 0x18]).of(0x18).slot, 10 + 0x18);
        assert_eq!(table.rule(&[0xfd00_0001, 0, 1, 0x17]), SlotRule::OTHER);
    }

    #[test]
    fn entries_past_the_count_are_not_read() {
        let mut table = PrefixTable::EMPTY;
        table.entries[0] = Prefix6 { network: [0; 4], mask: [0; 4], rule: rule(9, 0) };
        assert_eq!(table.rule(&NETWORK), SlotRule::OTHER);
    }
}
