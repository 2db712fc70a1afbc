//! What this process may do, and what the kernel forbids to everybody: for `agent check`.

use std::{fs, io};

use rustix::{
    process::{Resource, getrlimit},
    thread::{CapabilitySet, capabilities},
};

use crate::kernel::facts;

/// A capability that the agent asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Load programs and maps.
    Bpf,
    /// Load programs that look into the kernel: the tracepoints.
    Perfmon,
    /// Hook programs up to an interface, and unhook them.
    NetAdmin,
    /// Enter other network namespaces.
    SysAdmin,
    /// Look at processes with more rights.
    SysPtrace,
}

impl Capability {
    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bpf => "CAP_BPF",
            Self::Perfmon => "CAP_PERFMON",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
        }
    }

    const fn set(self) -> CapabilitySet {
        match self {
            Self::Bpf => CapabilitySet::BPF,
            Self::Perfmon => CapabilitySet::PERFMON,
            Self::NetAdmin => CapabilitySet::NET_ADMIN,
            Self::SysAdmin => CapabilitySet::SYS_ADMIN,
            Self::SysPtrace => CapabilitySet::SYS_PTRACE,
        }
    }
}

/// The capability itself or the one that includes it, where this thread has either. SYS_ADMIN includes BPF and PERFMON
/// (bpf_capable and perfmon_capable, include/linux/capability.h, v6.1).
///
/// # Errors
///
/// When the kernel does not tell.
pub fn held_as(wanted: Capability) -> io::Result<Option<Capability>> {
    let permitted = capabilities(None)?.permitted;
    let stands_in = match wanted {
        Capability::Bpf | Capability::Perfmon => Some(Capability::SysAdmin),
        Capability::NetAdmin | Capability::SysAdmin | Capability::SysPtrace => None,
    };
    let is_held = |capability: &Capability| permitted.contains(capability.set());
    Ok([Some(wanted), stands_in].into_iter().flatten().find(is_held))
}

/// Mode of kernel lockdown, such as `none` or `integrity`; `None` where it cannot be read, as in most containers.
pub fn lockdown() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(mode, _)| mode.to_owned())
}

/// Locked memory this process may have; `None` for as much as it wants, also where the kernel does not count maps
/// against the limit (since 5.11, "bpf: Eliminate rlimit-based memory accounting").
pub fn memlock_bytes() -> Option<u64> {
    let release = facts::release();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse::<u32>);
    let version = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    if version >= (5, 11) { None } else { getrlimit(Resource::Memlock).current }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sys_admin_stands_in_for_loading_only() {
        // Whatever this test may do: nothing stands in for NET_ADMIN.
        let held = held_as(Capability::NetAdmin).expect("the kernel tells");
        assert!(held.is_none_or(|held| held == Capability::NetAdmin));
        let has_admin = held_as(Capability::SysAdmin).expect("the kernel tells").is_some();
        assert!(!has_admin || held_as(Capability::Bpf).expect("the kernel tells").is_some());
    }
}
