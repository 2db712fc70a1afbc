//! The clsact queueing discipline, on kernels without tcx.
//!
//! A filter outlives a killed agent, so each agent leaves a sign of life: an abstract unix socket, bound in the
//! target's network namespace, whose name holds the handle of its filters. A filter of ours without a living agent is
//! stale and removed at the next start. The discipline itself is removed only when an agent created it and no filter is left.

use std::{
    io,
    os::unix::net::{SocketAddr, UnixDatagram},
};

use aya::programs::tc::TcError;
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::os::linux::net::SocketAddrExt as _;

use crate::kernel::{
    netlink::{Kind, request},
    programs::is_ours,
};

/// In front of every filter that asks for a place, and of most that do not (the kernel counts down from 49152).
pub const PRIORITY: u16 = 1;

/// Handle bit: this agent, or one before it, created the discipline.
const CREATED: u32 = 1 << 30;

/// A filter of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Filter {
    parent: TcHandle,
    handle: u32,
    info: u32,
}

/// What one agent holds of an interface's clsact discipline.
pub struct Clsact {
    index: u32,
    handle: u32,
    _sign_of_life: UnixDatagram,
}

impl Clsact {
    /// Makes sure of the discipline on the interface, removes stale filters, and takes a handle. Runs in the target's
    /// namespace.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn prepare(interface: &str, index: u32) -> io::Result<Self> {
        let created = match aya::programs::tc::qdisc_add_clsact(interface) {
            Ok(()) => true,
            Err(TcError::AlreadyAttached) => false,
            // A kernel that explains its errors gives this one under another name.
            Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(EEXIST) => false,
            // Such an error says nothing of itself but its number.
            Err(TcError::NetlinkError(error)) if error.raw_os_error() == Some(EPERM) => {
                return Err(io::Error::other("adding the clsact discipline needs CAP_NET_ADMIN"));
            }
            Err(error) => return Err(io::Error::other(error.to_string())),
        };
        let mut inherited = false;
        for filter in ours(index)? {
            inherited |= filter.handle & CREATED != 0;
            if !is_alive(filter.handle) {
                delete(index, &filter)?;
            }
        }
        let flag = if created || inherited { CREATED } else { 0 };
        for _ in 0..64 {
            // Unpredictable enough to be free; a taken name is refused by the bind.
            let number = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), index) as u32;
            let handle = number & (CREATED - 1) | 1 | flag;
            if let Ok(sign_of_life) = UnixDatagram::bind_addr(&address(handle)?) {
                return Ok(Self { index, handle, _sign_of_life: sign_of_life });
            }
        }
        Err(io::Error::other("no free filter handle"))
    }

    /// The handle of this agent's filters.
    pub fn handle(&self) -> aya::programs::tc::TcHandle {
        self.handle.into()
    }

    /// Removes the discipline if agents created it and no filter is left. Runs in the target's namespace, after the
    /// filters are gone.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn tidy(&self) -> io::Result<()> {
        if self.handle & CREATED == 0 || !filters(self.index)?.is_empty() {
            return Ok(());
        }
        let mut message = TcMessage::default();
        message.header.index = self.index as i32;
        message.header.parent = TcHandle::CLSACT;
        message.attributes.push(TcAttribute::Kind("clsact".to_owned()));
        match request(NETLINK_ROUTE, Kind::Change, RouteNetlinkMessage::DelQueueDiscipline(message)) {
            // Somebody else was quicker.
            Err(error) if matches!(error.raw_os_error(), Some(ENOENT | EINVAL)) => Ok(()),
            other => other.map(|_acknowledged| ()),
        }
    }
}

// include/uapi/asm-generic/errno-base.h
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;

fn address(handle: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("hct-filter-{handle:08x}"))
}

fn is_alive(handle: u32) -> bool {
    let connected = UnixDatagram::unbound().and_then(|socket| socket.connect_addr(&address(handle)?));
    connected.is_ok()
}

/// A filter of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// On the way in.
    pub is_ingress: bool,
    /// Its kind, such as `bpf` or `flower`.
    pub kind: String,
    /// Id of its program, where it has one.
    pub program: Option<u32>,
    /// What its program is called.
    pub name: Option<String>,
}

/// Filters of somebody else on both sides of an interface. Runs in the target's namespace.
///
/// # Errors
///
/// When the kernel refuses.
pub fn neighbours(index: u32) -> io::Result<Vec<Neighbour>> {
    let all = filters(index)?.into_iter().map(|message| neighbour(&message));
    Ok(all.filter(|one| !one.name.as_deref().is_some_and(is_ours)).collect())
}

fn neighbour(message: &TcMessage) -> Neighbour {
    let is_ingress = message.header.parent.minor == TcHandle::MIN_INGRESS;
    let mut found = Neighbour { is_ingress, kind: String::new(), program: None, name: None };
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(kind) => found.kind.clone_from(kind),
            TcAttribute::Options(options) => {
                for option in options {
                    match option {
                        TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => found.program = Some(*id),
                        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => found.name = Some(name.clone()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn ours(index: u32) -> io::Result<Vec<Filter>> {
    let is_ours = |message: &TcMessage| {
        message.attributes.iter().any(|attribute| match attribute {
            TcAttribute::Options(options) => options.iter().any(|option| match option {
                TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => is_ours(name),
                _ => false,
            }),
            _ => false,
        })
    };
    Ok(filters(index)?
        .into_iter()
        .filter(is_ours)
        .map(|message| Filter {
            parent: message.header.parent,
            handle: message.header.handle.into(),
            info: message.header.info,
        })
        .collect())
}

/// All filters on both sides; an entry without a handle only announces a priority.
fn filters(index: u32) -> io::Result<Vec<TcMessage>> {
    let mut found = Vec::new();
    for minor in [TcHandle::MIN_INGRESS, TcHandle::MIN_EGRESS] {
        let mut message = TcMessage::default();
        message.header.index = index as i32;
        message.header.parent = TcHandle { major: u16::MAX, minor };
        for answer in request(NETLINK_ROUTE, Kind::Dump, RouteNetlinkMessage::GetTrafficFilter(message))? {
            if let RouteNetlinkMessage::NewTrafficFilter(filter) = answer
                && filter.header.handle != TcHandle::UNSPEC
            {
                found.push(filter);
            }
        }
    }
    Ok(found)
}

fn delete(index: u32, filter: &Filter) -> io::Result<()> {
    let mut message = TcMessage::default();
    message.header.index = index as i32;
    message.header.parent = filter.parent;
    message.header.handle = filter.handle.into();
    message.header.info = filter.info;
    message.attributes.push(TcAttribute::Kind("bpf".to_owned()));
    request(NETLINK_ROUTE, Kind::Change, RouteNetlinkMessage::DelTrafficFilter(message))
        .map(|_acknowledged| ())
}
