//! Who is in front of the agent on tcx. The list of program ids is open to whoever may attach; names need CAP_SYS_ADMIN.

use std::{
    io,
    mem::{offset_of, size_of},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use aya::programs::{SchedClassifier, TcAttachType};

use crate::kernel::{
    privileges::{self, Power},
    programs::is_ours,
};

/// Most programs on one hook (`BPF_MPROG_MAX`, include/linux/bpf_mprog.h, v6.6).
const MAX_PROGRAMS: usize = 64;

/// `BPF_PROG_QUERY` (include/uapi/linux/bpf.h, v6.6).
const PROG_QUERY: libc::c_long = 16;

/// One way of an interface: `BPF_TCX_INGRESS` and `BPF_TCX_EGRESS`, same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// In.
    Ingress = 46,
    /// Out.
    Egress = 47,
}

/// The part of `union bpf_attr` that a query uses (include/uapi/linux/bpf.h, v6.6).
#[repr(C)]
#[derive(Default)]
struct Query {
    target_interface: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    count: u32,
    padding: u32,
    program_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

const _: () = assert!(size_of::<Query>() == 64 && offset_of!(Query, program_ids) == 16);

/// A socket that says in the target's namespace that this program is an agent's: an agent that gave up its powers cannot read
/// the names of others' programs.
fn address(id: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("hct-program-{id:08x}"))
}

/// Says that a program is an agent's, as long as the socket lives. Runs in the target's namespace, before the program is hooked up.
pub fn sign(id: u32) -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&address(id)?)
}

/// Whether an agent that lives said so of this program. Runs in the target's namespace.
pub fn is_signed(id: u32) -> bool {
    let connected = UnixDatagram::unbound().and_then(|socket| socket.connect_addr(&address(id)?));
    connected.is_ok()
}

/// The first program of somebody else in front of the agent's own (`own`: its id) on the ingress of an interface: its id,
/// and its name where that may be known. Runs in the target's namespace. `None` on kernels without tcx.
pub fn in_front(interface: &str, index: u32, own: u32) -> Option<String> {
    let ids = programs(index, Side::Ingress).ok()?;
    // Another agent lets every packet pass.
    let in_front: Vec<u32> =
        ids.into_iter().take_while(|id| *id != own).filter(|id| !is_signed(*id)).collect();
    if in_front.is_empty() {
        return None;
    }
    // Names are known as long as there is SYS_ADMIN (docs/deployment.md); numbers always.
    let known =
        privileges::with(Power::Load, || SchedClassifier::query_tcx(interface, TcAttachType::Ingress));
    let known = known.map(|(_, programs)| programs).unwrap_or_default();
    in_front.into_iter().find_map(|id| {
        let program = known.iter().find(|program| program.id() == id);
        match program.and_then(|program| program.name_as_str()) {
            // One of before there were signs.
            Some(name) if is_ours(name) => None,
            Some(name) => Some(format!("id {id}, {name}")),
            // One that was detached between the two questions, as another agent that ends, is in front of nothing.
            None if programs(index, Side::Ingress).is_ok_and(|now| !now.contains(&id)) => None,
            None => Some(format!("id {id}")),
        }
    })
}

/// Ids of the programs on one side of an interface, in the order they run. Runs in the target's namespace.
///
/// # Errors
///
/// When the kernel refuses, as one without tcx does.
pub fn programs(index: u32, side: Side) -> io::Result<Vec<u32>> {
    let mut ids = [0u32; MAX_PROGRAMS];
    let mut query = Query {
        target_interface: index,
        attach_type: side as u32,
        program_ids: ids.as_mut_ptr() as u64,
        count: MAX_PROGRAMS as u32,
        ..Query::default()
    };
    // SAFETY: the attribute is as long as its size says and zero where it is not used; `program_ids` points to room for
    // `count` numbers, which lives until the call is over.
    let failed = unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut query, size_of::<Query>()) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ids[..(query.count as usize).min(MAX_PROGRAMS)].to_vec())
}
