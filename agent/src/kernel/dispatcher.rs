//! One program per tracepoint for all targets of this process, which goes on in the program of the target that an event
//! belongs to (`agent-ebpf/src/dispatch.rs`). A tracepoint belongs to the host: without this, each event of the host would
//! run the program of every target.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, AsRawFd as _, RawFd},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use agent_common::config::{SEATS, Target};
use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, MapData, ProgramArray},
    programs::{ProgramError, ProgramFd, RawTracePoint},
};

use crate::kernel::{
    maps::{if_there, take},
    refusal::cause,
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/agent-dispatch"));

/// Tracepoints, and the map of the targets' programs for each.
const TABLES: [(&str, &str); 3] = [
    ("kfree_skb", "DROP_PROGRAMS"),
    ("inet_sock_set_state", "STATE_PROGRAMS"),
    ("tcp_retransmit_synack", "SYNACK_PROGRAMS"),
];

/// What all targets of this process share; loaded with the first of them that wants it.
static SHARED: OnceLock<Option<Mutex<Dispatcher>>> = OnceLock::new();

struct Dispatcher {
    object: Ebpf,
    seats: HashMap<MapData, u32, u32>,
    /// Of the tracepoints that are hooked up.
    tables: BTreeMap<&'static str, ProgramArray<MapData>>,
    taken: Vec<bool>,
}

impl Dispatcher {
    fn load(facts: &Target) -> Result<Self, String> {
        let load = EbpfLoader::new().btf(None).override_global("TARGET", facts, true).load(OBJECT);
        let mut object = load.map_err(|error| cause(&error))?;
        let seats = take(&mut object, "SEAT_BY_INODE").map_err(|error| cause(&error))?;
        let mut tables = BTreeMap::new();
        for (tracepoint, map) in TABLES {
            let table = take(&mut object, map).map_err(|error| cause(&error))?;
            match hook_up(&mut object, tracepoint) {
                Ok(()) => {
                    tables.insert(tracepoint, table);
                }
                // Each target tries by itself then, and says why it cannot.
                Err(error) => log::debug!("one {tracepoint} for all: {}", cause(&error)),
            }
        }
        Ok(Self { object, seats, tables, taken: vec![false; SEATS] })
    }
}

fn hook_up(object: &mut Ebpf, tracepoint: &str) -> Result<(), ProgramError> {
    let program = object.program_mut(tracepoint).ok_or(ProgramError::NotLoaded)?;
    let program: &mut RawTracePoint = program.try_into()?;
    program.load()?;
    program.attach(tracepoint).map(|_link_stays_with_the_program| ())
}

fn shared() -> Option<MutexGuard<'static, Dispatcher>> {
    // A panic elsewhere leaves whole entries behind: each call changes one.
    SHARED.get()?.as_ref().map(|shared| shared.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A target's place in the tables, until it is dropped.
pub struct Seat {
    number: u32,
    inode: u32,
}

impl Seat {
    /// A place for the target that lives in the namespace with this inode number. `facts` are those of the kernel. `None`
    /// where there is none, or the kernel does not take the programs: then the target's are hooked up by themselves.
    pub fn take(inode: u32, facts: &Target) -> Option<Self> {
        SHARED.get_or_init(|| {
            let dispatcher = Dispatcher::load(facts);
            dispatcher
                .inspect_err(|error| log::debug!("one program for all targets: {error}"))
                .ok()
                .map(Mutex::new)
        });
        let mut shared = shared()?;
        // Two targets of one namespace would be in each other's way.
        if shared.seats.get(&inode, 0).is_ok() {
            return None;
        }
        let number = shared.taken.iter().position(|is_taken| !is_taken)?;
        let sat = shared.seats.insert(inode, number as u32, 0);
        sat.inspect_err(|error| log::debug!("taking seat {number}: {}", cause(error))).ok()?;
        shared.taken[number] = true;
        Some(Self { number: number as u32, inode })
    }

    /// Has the events of the namespace go on in this program of a tracepoint; whether they do.
    pub fn put(&self, tracepoint: &str, program: &ProgramFd) -> bool {
        let Some(mut shared) = shared() else { return false };
        let Some(table) = shared.tables.get_mut(tracepoint) else { return false };
        let put = table.set(self.number, program, 0);
        put.inspect_err(|error| log::debug!("seat {} of {tracepoint}: {}", self.number, cause(error))).is_ok()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(mut shared) = shared() else { return };
        // Nobody finds the way any more, then there is nothing at its end.
        let mut left = vec![if_there(shared.seats.remove(&self.inode))];
        left.extend(shared.tables.values_mut().map(|table| if_there(table.clear_index(&self.number))));
        for error in left.iter().filter_map(|result| result.as_ref().err()) {
            log::debug!("leaving seat {}: {}", self.number, cause(error));
        }
        // One that could not be left is nobody's any more.
        shared.taken[self.number as usize] = left.iter().any(Result::is_err);
    }
}

/// Descriptors of the programs that all targets share.
pub fn descriptors() -> Vec<RawFd> {
    let Some(shared) = shared() else { return Vec::new() };
    let descriptor = |name: &&str| Some(shared.object.program(name)?.fd().ok()?.as_fd().as_raw_fd());
    shared.tables.keys().filter_map(descriptor).collect()
}
