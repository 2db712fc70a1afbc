//! What this process may do, and gives up.
//!
//! A thread holds only what watching takes. What loading and entering other namespaces take is raised for those calls
//! alone ([`with`]), and laid down for good where it will not be needed again ([`settle`]). Capabilities belong to
//! threads: the one that watches is the only one that has any, the others begin with [`none`].

use rustix::{
    io::Errno,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    },
};

/// Something that takes more than watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Load programs and hook them up; names of other programs.
    Load,
    /// Open and enter other network namespaces.
    Join,
}

/// What may be needed again once everything is hooked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// A target that went out of sight, or a new one, is hooked up later.
    pub load: bool,
    /// Other namespaces are watched.
    pub join: bool,
}

/// tcx queries, firewall rules, and the removal of clsact; maps, where the kernel asks for it.
const WATCH: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::BPF);

/// Programs and maps on kernels that have these two (5.8 and later), where the container runtime knows them.
const LOAD_FINE: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON);

/// Whether this thread has what loading and hooking up take, raised or not. A kernel may still refuse, for example in a user namespace.
pub fn may_load() -> bool {
    let Ok(CapabilitySets { permitted, .. }) = capabilities(None) else { return true };
    permitted.contains(CapabilitySet::NET_ADMIN)
        && (permitted.contains(LOAD_FINE) || permitted.contains(ADMIN))
}

/// Loading where the fine ones cannot be had, such as on ECS; entering a namespace takes it, too.
const ADMIN: CapabilitySet = CapabilitySet::SYS_ADMIN;

/// `/proc/PID/ns/net` of a process with more rights than this one.
const OF_OTHERS: CapabilitySet = CapabilitySet::SYS_PTRACE;

impl Power {
    /// What it takes, of what there is.
    const fn of(self, permitted: CapabilitySet) -> CapabilitySet {
        let all = match self {
            Self::Load => LOAD_FINE.union(ADMIN).union(WATCH),
            Self::Join => ADMIN.union(OF_OTHERS),
        };
        all.intersection(permitted)
    }
}

/// Everything that is kept after hooking up. `maps_need_one`: this kernel asks for a capability even to read a map.
fn kept(permitted: CapabilitySet, again: Again, maps_need_one: bool) -> CapabilitySet {
    let mut kept = WATCH;
    let has_fine = permitted.contains(LOAD_FINE);
    if !permitted.contains(CapabilitySet::BPF) && maps_need_one {
        kept |= ADMIN;
    }
    if again.load {
        kept |= if has_fine { LOAD_FINE } else { ADMIN };
    } else if !maps_need_one {
        kept -= CapabilitySet::BPF;
    }
    if again.join {
        kept |= ADMIN | OF_OTHERS;
    }
    kept & permitted
}

/// Gives up what is not needed even once, and lays the rest down. To be called before there is a second thread, because
/// each begins with what its maker has.
pub fn begin() {
    said("no_new_privs", set_no_new_privs(true));
    said("the ambient capabilities", clear_ambient_capability_set());
    // Needs SETPCAP; without it the bounding set says nothing, because no program is started and no_new_privs is set.
    for capability in CapabilitySet::all().iter() {
        if remove_capability_from_bounding_set(capability).is_err() {
            break;
        }
    }
    change(|now| {
        let permitted = now.permitted & (Power::Load.of(now.permitted) | Power::Join.of(now.permitted));
        CapabilitySets { permitted, effective: permitted & WATCH, inheritable: CapabilitySet::empty() }
    });
    if maps_need_one() {
        // Without BPF, SYS_ADMIN takes its place on kernels before 5.19.
        change(|now| CapabilitySets { effective: now.permitted & (WATCH | ADMIN), ..now });
    }
}

/// For a thread that needs nothing.
pub fn none() {
    change(|_| CapabilitySets {
        permitted: CapabilitySet::empty(),
        effective: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    });
}

/// Runs `work` with what this takes, as far as this process has it, and lays it down again, even after a panic.
pub fn with<T>(power: Power, work: impl FnOnce() -> T) -> T {
    let before = capabilities(None).ok();
    let _back = before.map(LayDown);
    change(|now| CapabilitySets { effective: now.effective | power.of(now.permitted), ..now });
    work()
}

/// Whether processes with more rights than this one can be looked into.
pub fn sees_others() -> bool {
    capabilities(None).is_ok_and(|now| now.permitted.contains(OF_OTHERS))
}

/// Gives up for good what will not be needed again.
pub fn settle(again: Again) {
    let Ok(now) = capabilities(None) else { return };
    // Asked without any: with `ADMIN` in force the answer would always be no.
    let needs = {
        let _back = LayDown(now);
        change(|now| CapabilitySets { effective: CapabilitySet::empty(), ..now });
        maps_need_one()
    };
    let kept = kept(now.permitted, again, needs);
    change(|now| CapabilitySets { permitted: kept, effective: now.effective & kept, ..now });
    log::debug!("capabilities kept: {kept:?}");
}

/// Whether this thread, as it is, may not even read a map. Since 5.19 an open map is enough (commit c8644cd0efe7,
/// "bpf: refine kernel.unprivileged_bpf_disabled behaviour"); before, a capability was asked for at every call.
fn maps_need_one() -> bool {
    const MAP_LOOKUP_ELEM: libc::c_long = 1;
    // `map_fd` and its padding, then key, value and flags of `union bpf_attr` (include/uapi/linux/bpf.h, v6.1).
    let attribute: [u64; 4] = [u64::from(u32::MAX), 0, 0, 0];
    // SAFETY: the attribute is as long as said; the kernel only reads it, and there is no map of this number.
    let failed =
        unsafe { libc::syscall(libc::SYS_bpf, MAP_LOOKUP_ELEM, attribute.as_ptr(), size_of_val(&attribute)) };
    failed != 0 && Errno::from_io_error(&std::io::Error::last_os_error()) == Some(Errno::PERM)
}

/// Goes back to what was in force.
struct LayDown(CapabilitySets);

impl Drop for LayDown {
    fn drop(&mut self) {
        let before = self.0;
        change(|now| CapabilitySets { effective: before.effective & now.permitted, ..now });
    }
}

fn change(to: impl FnOnce(CapabilitySets) -> CapabilitySets) {
    said("capabilities", capabilities(None).and_then(|now| set_capabilities(None, to(now))));
}

/// Lowering is always allowed, unless a seccomp filter forbids to ask: then everything goes on with what there is.
fn said(what: &str, outcome: rustix::io::Result<()>) {
    if let Err(error) = outcome {
        log::warn!("{what} could not be given up: {error}; going on with them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECS: CapabilitySet =
        CapabilitySet::SYS_ADMIN.union(CapabilitySet::NET_ADMIN).union(CapabilitySet::SYS_RESOURCE);
    const FINE: CapabilitySet = LOAD_FINE.union(CapabilitySet::NET_ADMIN);
    const NEVER: Again = Again { load: false, join: false };

    #[test]
    fn a_sidecar_that_loads_once_keeps_what_reading_and_unhooking_take() {
        for permitted in [ECS, FINE, CapabilitySet::all()] {
            assert_eq!(kept(permitted, NEVER, false), CapabilitySet::NET_ADMIN);
        }
        assert_eq!(kept(FINE, NEVER, true), WATCH, "an older kernel asks for BPF at every look");
        assert_eq!(kept(ECS, NEVER, true), CapabilitySet::NET_ADMIN | ADMIN, "and for SYS_ADMIN without");
        assert_eq!(kept(CapabilitySet::empty(), NEVER, true), CapabilitySet::empty());
    }

    #[test]
    fn one_that_may_have_to_load_again_keeps_the_finest_it_has() {
        let again = Again { load: true, join: false };
        assert_eq!(kept(CapabilitySet::all(), again, false), FINE);
        assert_eq!(kept(ECS, again, false), CapabilitySet::NET_ADMIN | ADMIN);
    }

    #[test]
    fn only_one_that_joins_keeps_what_joining_takes() {
        let node = Again { load: true, join: true };
        assert_eq!(kept(CapabilitySet::all(), node, false), FINE | ADMIN | OF_OTHERS);
        assert_eq!(kept(ECS, node, false), CapabilitySet::NET_ADMIN | ADMIN);
    }
}
