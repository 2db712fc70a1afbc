//! Who sent it: the table that turns a source address into a slot.
//!
//! Userspace writes the prefixes longest first, so that the first match is the longest. A slot is an index into
//! the tallies; a prefix may stand for one slot, or (an NLB subnet of up to 256 addresses) for one per address.
//! Larger tables go into an LPM trie (see the eBPF side); a scan of 16 entries costs a few nanoseconds, a trie 32.

/// Prefixes per address family that the scanned table holds.
pub const SCANNED_PREFIXES: usize = 32;

/// Slot of every source that no prefix names.
pub const OTHER_SLOT: u32 = 0;

/// [`PrefixTable::count4`] or `count6` when that family is looked up in the trie instead.
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

/// An IPv4 prefix.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix4 {
    /// Network address, host order.
    pub network: u32,
    /// Network mask, host order.
    pub mask: u32,
    /// Where its addresses are counted.
    pub rule: SlotRule,
}

const _: () = assert!(size_of::<Prefix4>() == 20);

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

/// The scanned table: both families, longest prefix first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PrefixTable {
    /// Entries of `v4` in use, or [`IN_TRIE`].
    pub count4: u32,
    /// Entries of `v6` in use, or [`IN_TRIE`].
    pub count6: u32,
    /// IPv4 prefixes.
    pub v4: [Prefix4; SCANNED_PREFIXES],
    /// IPv6 prefixes.
    pub v6: [Prefix6; SCANNED_PREFIXES],
}

const _: () = assert!(size_of::<PrefixTable>() == 8 + 64 * SCANNED_PREFIXES);

impl PrefixTable {
    /// A table that names nobody.
    pub const EMPTY: Self = Self {
        count4: 0,
        count6: 0,
        v4: [Prefix4 { network: 0, mask: 0, rule: SlotRule::OTHER }; SCANNED_PREFIXES],
        v6: [Prefix6 { network: [0; 4], mask: [0; 4], rule: SlotRule::OTHER }; SCANNED_PREFIXES],
    };

    /// The rule for an IPv4 source, or [`SlotRule::OTHER`].
    #[inline(always)]
    pub fn rule4(&self, address: u32) -> SlotRule {
        for (index, prefix) in self.v4.iter().enumerate() {
            if index as u32 >= self.count4 {
                break;
            }
            if address & prefix.mask == prefix.network {
                return prefix.rule;
            }
        }
        SlotRule::OTHER
    }

    /// The rule for an IPv6 source, or [`SlotRule::OTHER`].
    #[inline(always)]
    pub fn rule6(&self, address: &[u32; 4]) -> SlotRule {
        for (index, prefix) in self.v6.iter().enumerate() {
            if index as u32 >= self.count6 {
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

    /// The slot of an address whose lowest 32 bits (host order) are `low`.
    #[inline(always)]
    pub fn slot_of(&self, low: u32) -> u32 {
        self.slot.wrapping_add(low & self.host_mask)
    }
}

crate::pod!(SlotRule, Prefix4, Prefix6, PrefixTable);

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(slot: u32, host_mask: u32) -> SlotRule {
        SlotRule { slot, host_mask, flags: 0 }
    }

    #[test]
    fn the_first_match_wins_and_the_rest_is_other() {
        let mut table = PrefixTable::EMPTY;
        table.v4[0] = Prefix4 { network: 0x0a00_0117, mask: u32::MAX, rule: rule(3, 0) };
        table.v4[1] = Prefix4 { network: 0x0a00_0100, mask: 0xffff_ff00, rule: rule(10, 0xff) };
        table.count4 = 2;
        assert_eq!(table.rule4(0x0a00_0117).slot_of(0x0a00_0117), 3);
        assert_eq!(table.rule4(0x0a00_0118).slot_of(0x0a00_0118), 10 + 0x18);
        assert_eq!(table.rule4(0x0a00_0217), SlotRule::OTHER);
    }

    #[test]
    fn entries_past_the_count_are_not_read() {
        let mut table = PrefixTable::EMPTY;
        table.v4[0] = Prefix4 { network: 0, mask: 0, rule: rule(9, 0) };
        assert_eq!(table.rule4(1), SlotRule::OTHER);
    }

    #[test]
    fn ipv6_compares_all_four_words() {
        let mut table = PrefixTable::EMPTY;
        let network = [0xfd00_0001, 0, 0, 0x17];
        table.v6[0] = Prefix6 { network, mask: [u32::MAX; 4], rule: rule(4, 0) };
        table.count6 = 1;
        assert_eq!(table.rule6(&network).slot, 4);
        assert_eq!(table.rule6(&[0xfd00_0001, 0, 1, 0x17]), SlotRule::OTHER);
    }
}
