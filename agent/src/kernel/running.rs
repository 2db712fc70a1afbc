//! The programs of one target once they are all hooked up: what of them has to be held, and is asked for. The kernel has the rest.

use std::{
    any::Any,
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
};

use crate::kernel::{
    dispatcher::{self, Seat},
    programs::{INGRESS, INGRESS_SYN, is_ours},
};

/// What keeps a program hooked up to a tracepoint until it is dropped.
pub(super) type Link = Box<dyn Any + Send>;

/// A program that is loaded.
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) id: u32,
    /// Skipped runs are read by it, and `bpftool prog` tells by it whose the program is.
    pub(super) descriptor: Option<OwnedFd>,
    /// A tracepoint runs it for this target alone.
    pub(super) is_alone: bool,
}

/// Runs until dropped. tc programs are hooked up by their [`Attachment`](crate::kernel::attach::Attachment).
pub struct Running {
    /// Tracepoints hooked up, for the report of what is in use.
    pub tracepoints: Vec<&'static str>,
    loaded: Vec<Loaded>,
    _links: Vec<Link>,
    /// Where programs that are not alone are reached from.
    seat: Option<Seat>,
}

impl Running {
    pub(super) const fn new(
        tracepoints: Vec<&'static str>,
        loaded: Vec<Loaded>,
        links: Vec<Link>,
        seat: Option<Seat>,
    ) -> Self {
        Self { tracepoints, loaded, _links: links, seat }
    }

    /// Descriptors of the programs that the tracepoints run, those that are shared with other targets included.
    pub fn tracepoint_descriptors(&self) -> Vec<RawFd> {
        let alone = self.loaded.iter().filter(|loaded| loaded.is_alone);
        let shared = self.seat.as_ref().map(|_| dispatcher::descriptors());
        alone
            .filter_map(|loaded| Some(loaded.descriptor.as_ref()?.as_raw_fd()))
            .chain(shared.into_iter().flatten())
            .collect()
    }

    /// Id of the ingress program.
    pub fn ingress_id(&self) -> Option<u32> {
        let id = |name| self.loaded.iter().find(|loaded| loaded.name == name).map(|loaded| loaded.id);
        id(INGRESS).or_else(|| id(INGRESS_SYN))
    }

    /// Ids of the tc programs.
    pub fn ids(&self) -> Vec<u32> {
        self.loaded.iter().filter(|loaded| is_ours(&loaded.name)).map(|loaded| loaded.id).collect()
    }
}
