//! Classic tracepoints: an event is a record, whose fields lie where the running kernel describes them (`format` in tracefs).

use agent_common::config::ABSENT;
use aya_ebpf::{EbpfContext as _, programs::TracePointContext};

use crate::read::Kernel;

/// The record of one event.
pub struct Record(Kernel);

impl Record {
    /// The one that a program runs for.
    #[inline(always)]
    pub fn new(context: &TracePointContext) -> Self {
        Self(Kernel(context.as_ptr() as u64))
    }

    /// A pointer in it.
    #[inline(always)]
    pub fn pointer(&self, offset: u32) -> Option<u64> {
        self.field(offset)
    }

    /// A number of 32 bits in it.
    #[inline(always)]
    pub fn number(&self, offset: u32) -> Option<u32> {
        self.field(offset)
    }

    /// Copied by a helper: a load from a context has its offset in the instruction. A field that this kernel does not have must be
    /// dead code, because no pointer may be so far out.
    #[inline(always)]
    fn field<T: Copy>(&self, offset: u32) -> Option<T> {
        if offset == ABSENT { None } else { self.0.load(offset as usize) }
    }
}
