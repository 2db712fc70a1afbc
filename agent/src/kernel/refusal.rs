//! Why the kernel takes no programs, or not this one, in the user's terms.

use aya::programs::ProgramError;

use crate::kernel::privileges::may_load;

/// Whether the programs' own debug lines are wanted (`RUST_LOG=debug`, or `agent_programs=debug` alone).
pub(super) fn is_debugging() -> bool {
    log::log_enabled!(target: OF_PROGRAMS, log::Level::Debug)
}

/// Where in the log everything stands that is about the programs.
const OF_PROGRAMS: &str = "agent_programs";

/// Why nothing could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not allowed.
    #[error(
        "loading eBPF programs needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; run as root, and on ECS add SYS_ADMIN \
         and NET_ADMIN to linuxParameters.capabilities of the container (Fargate does not allow them)"
    )]
    NotPermitted,
    /// There is no `bpf` system call.
    #[error(
        "loading eBPF maps: this kernel has no bpf system call; the agent needs Linux with CONFIG_BPF_SYSCALL \
         (gVisor and user-mode emulators have none)"
    )]
    NoSystemCall,
    /// Anything else.
    #[error("loading eBPF maps: {0}")]
    Maps(String),
}

const NEEDS: &str = " (needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN)";

/// Why the kernel does not take a program, in one line. What its verifier said has many: those are for the log.
pub fn refusal(name: &str, error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return cause(error) };
    for line in verifier_log.to_string().lines() {
        log::debug!(target: OF_PROGRAMS, "verifier on {name}: {line}");
    }
    let mut text = format!("the kernel refuses it: {io_error}");
    // 7.2 says that a program is invalid where others say that it is not permitted.
    if is_not_permitted(error) || !may_load() {
        text.push_str(NEEDS);
    } else {
        text.push_str(" (RUST_LOG=debug shows what its verifier says)");
    }
    text
}

/// The whole chain of an error, in one line.
pub fn cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    if is_not_permitted(error) {
        text.push_str(NEEDS);
    }
    text.replace('\n', " ")
}

/// Whether somewhere in the chain is an EPERM. An EACCES is the verifier's.
fn is_not_permitted(error: &dyn std::error::Error) -> bool {
    let mut next = error.source();
    while let Some(inner) = next {
        let found = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        if found == Some(rustix::io::Errno::PERM.raw_os_error()) {
            return true;
        }
        next = inner.source();
    }
    false
}

/// Why the object could not be loaded.
pub(super) fn load_error(error: &aya::EbpfError) -> LoadError {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = source {
        match inner.downcast_ref::<std::io::Error>() {
            Some(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return LoadError::NotPermitted;
            }
            Some(error) if error.raw_os_error() == Some(rustix::io::Errno::NOSYS.raw_os_error()) => {
                return LoadError::NoSystemCall;
            }
            _ => {}
        }
        source = inner.source();
    }
    LoadError::Maps(cause(error))
}

#[cfg(test)]
mod tests {
    use aya::{EbpfError, maps::MapError};
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_the_kernel_says_to_the_first_map_is_told_in_the_users_terms() {
        let refused = |errno: Errno| {
            let io_error = errno.into();
            load_error(&EbpfError::MapError(MapError::CreateError { name: "CONTROL".into(), io_error }))
        };
        assert!(matches!(refused(Errno::PERM), LoadError::NotPermitted));
        assert!(matches!(refused(Errno::NOSYS), LoadError::NoSystemCall));
        let LoadError::Maps(text) = refused(Errno::INVAL) else { panic!("nothing is known of it") };
        assert!(text.contains("CONTROL") && text.contains("Invalid argument"), "{text}");
    }
}
