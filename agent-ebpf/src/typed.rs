//! Kernel structures under a BTF tracepoint: the verifier knows the type of each pointer, so that its members are loaded like any
//! memory, and a load from an address that is not mapped gives zero.

use crate::{
    kernel::{Fields, Packet},
    target::fact,
    word::{Typed, Word},
};

/// A `struct sk_buff`.
pub struct TypedPacket(Typed);

impl TypedPacket {
    /// From a tracepoint argument.
    #[inline(always)]
    pub fn new(address: u64) -> Self {
        Self(Typed(address))
    }

    /// Whether it belongs to the target's network namespace. Where no device tells, the route has to, which has no type here.
    #[inline(always)]
    pub fn in_target(&self) -> bool {
        let device = Typed(self.0.load(fact!(skb_dev)));
        if device.0 == 0 {
            return Packet::new(self.0.0).in_target();
        }
        let net = Typed(device.load(fact!(dev_net)));
        net.0 != 0 && net.load::<u32>(fact!(net_inode)) == fact!(netns_inode)
    }
}

impl Fields for TypedPacket {
    #[inline(always)]
    fn field<T: Word>(&self, offset: u32) -> Option<T> {
        Some(self.0.load(offset))
    }
}
