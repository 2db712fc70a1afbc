//! CloudWatch Logs, directly: for nodes whose standard output no log driver takes there.
//!
//! What decides is pure and always compiled: [`target`] (where to), [`batch`] (what fits into one call), [`queue`]
//! (bounded memory, exact loss), [`trouble`] (what an answer means), [`backoff`] (when to ask again). What acts needs the
//! feature `cloudwatch`: a thread of its own ([`Shipper`]) that hands batches to the AWS SDK and does what `delivery`
//! says. Nothing of it exists, no thread, no runtime, no TLS, before a log group is named.

pub mod backoff;
pub mod batch;
pub mod queue;
pub mod target;
pub mod trouble;

#[cfg(feature = "cloudwatch")]
mod delivery;
#[cfg(feature = "cloudwatch")]
mod sdk;
#[cfg(feature = "cloudwatch")]
mod shared;
#[cfg(feature = "cloudwatch")]
mod shipper;
#[cfg(not(feature = "cloudwatch"))]
mod without;

#[cfg(feature = "cloudwatch")]
pub use sdk::credentials;
#[cfg(feature = "cloudwatch")]
pub use shipper::Shipper;
pub use target::Target;
#[cfg(not(feature = "cloudwatch"))]
pub use without::{Shipper, credentials};

use std::time::Duration;

/// Whether this build can ship at all.
pub const IS_BUILT_IN: bool = cfg!(feature = "cloudwatch");

/// How to ship.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most bytes of lines that wait, those under way included, as [`batch::Event::bytes`] counts them; beyond that the
    /// oldest goes.
    pub buffer_bytes: usize,
    /// How long a line waits for others to share a call with.
    pub gather: Duration,
    /// When to give a call up that is not answered.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            buffer_bytes: 4 << 20,
            // As the awslogs driver and the CloudWatch agent do.
            gather: Duration::from_secs(5),
            // An answer that comes later than this is not waited for, and the lines are sent once more. Generous,
            // because a call that was only slow has then stored them twice.
            patience: Duration::from_secs(30),
        }
    }
}
