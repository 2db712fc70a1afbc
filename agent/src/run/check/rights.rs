//! What the process may do and the kernel allows.

use std::path::Path;

use crate::{
    domain::{
        check::{Check, OF_TRACEPOINTS, State, blinded},
        finding::Code,
    },
    kernel::{
        btf::Btf,
        facts,
        rights::{self, Capability},
    },
    run::check::home::Home,
    settings::Settings,
};

/// Maps and programs with all tables at their usual sizes stay below this.
const MEMLOCK_BYTES: u64 = 64 * 1024 * 1024;

/// Everything that can be said before anything is loaded.
pub fn checks(settings: &Settings, home: Home) -> Vec<Check> {
    let mut checks = vec![Check::pass("platform", home.name()), Check::pass("kernel", facts::release())];
    checks.push(capability("cap_bpf", Capability::Bpf, home, &Code::ALL));
    checks.push(capability("cap_perfmon", Capability::Perfmon, home, &Code::ALL));
    checks.push(capability("cap_net_admin", Capability::NetAdmin, home, &Code::ALL));
    if !settings.namespaces.is_empty() || settings.all_namespaces {
        checks.push(joining(
            "cap_sys_admin",
            Capability::SysAdmin,
            home,
            "other namespaces can be entered",
            (State::Fail, "other network namespaces cannot be entered"),
        ));
    }
    if settings.all_namespaces {
        checks.push(joining(
            "cap_sys_ptrace",
            Capability::SysPtrace,
            home,
            "every process shows its namespace",
            (State::Warn, "namespaces of processes with more rights than the agent are not followed"),
        ));
    }
    checks.push(btf(&settings.btf, home));
    checks.push(tracefs());
    checks.push(lockdown());
    checks.push(memlock(rights::memlock_bytes(), home));
    checks
}

fn capability(id: &str, wanted: Capability, home: Home, blind: &[Code]) -> Check {
    let name = wanted.name();
    match rights::held_as(wanted) {
        Ok(Some(held)) if held == wanted => Check::pass(id, format!("{name} is there")),
        Ok(Some(held)) => Check::pass(id, format!("{} stands in for {name}", held.name())),
        Ok(None) => Check::lacks(
            State::Fail,
            id,
            format!("{name} is missing: programs cannot be loaded or hooked up"),
            home.capabilities(),
        )
        .blinds(blind),
        Err(error) => Check::lacks(
            State::Warn,
            id,
            format!("the kernel does not say whether {name} is there: {error}"),
            home.capabilities(),
        ),
    }
}

/// What following other namespaces takes: whether it is held, what that allows, and what is lost without it.
fn joining(id: &str, wanted: Capability, home: Home, allows: &str, (without, lost): (State, &str)) -> Check {
    let name = wanted.name();
    match rights::held_as(wanted) {
        Ok(Some(_)) => Check::pass(id, format!("{name} is there: {allows}")),
        _ => {
            Check::lacks(without, id, format!("{name} is missing: {lost}"), home.joining()).blinds(&Code::ALL)
        }
    }
}

fn btf(path: &Path, home: Home) -> Check {
    match Btf::from_file(path) {
        Ok(_) => Check::pass("btf", format!("{} can be read", path.display())),
        Err(error) => {
            Check::lacks(State::Warn, "btf", error.to_string(), home.btf()).blinds(&blinded(&OF_TRACEPOINTS))
        }
    }
}

/// The programs are hooked up as raw tracepoints, by a system call: tracefs is needed only where that is refused, and saying so
/// spares a search.
fn tracefs() -> Check {
    let is_there = ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"]
        .into_iter()
        .any(|path| Path::new(path).exists());
    Check::pass(
        "tracefs",
        if is_there {
            "it is mounted, and needed only where raw tracepoints are refused"
        } else {
            "it is not mounted, and needed only where raw tracepoints are refused"
        },
    )
}

fn lockdown() -> Check {
    match rights::lockdown().as_deref() {
        Some("confidentiality") => Check::lacks(
            State::Warn,
            "lockdown",
            "kernel lockdown is in confidentiality mode: programs may not read kernel memory",
            "boot with lockdown=integrity; nobody can lower it while the kernel runs",
        )
        .blinds(&blinded(&OF_TRACEPOINTS)),
        Some(mode) => Check::pass(
            "lockdown",
            format!("kernel lockdown is in mode {mode}, which allows all that is needed"),
        ),
        None => Check::pass("lockdown", "it cannot be read here; whether programs load shows below"),
    }
}

fn memlock(limit: Option<u64>, home: Home) -> Check {
    match limit {
        None => Check::pass("memlock", "no limit that counts maps"),
        Some(bytes) if bytes >= MEMLOCK_BYTES => Check::pass("memlock", format!("{bytes} bytes are enough")),
        Some(bytes) => Check::lacks(
            State::Warn,
            "memlock",
            format!(
                "{bytes} bytes of locked memory are few: this kernel counts maps against the limit, and when they do not \
                 fit nothing is observed"
            ),
            home.memlock(),
        )
        // Whether they fit shows with the hooks.
        .blinds(&Code::ALL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_of_locked_memory_says_what_it_may_cost() {
        let few = memlock(Some(65_536), Home::Systemd);
        assert!(few.state == State::Warn && few.found.contains("nothing is observed"), "{few:?}");
        assert_eq!(few.blind, Code::ALL);
        for enough in [None, Some(MEMLOCK_BYTES)] {
            assert_eq!(memlock(enough, Home::Systemd).state, State::Pass);
        }
    }
}
