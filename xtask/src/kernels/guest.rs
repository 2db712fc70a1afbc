//! What is inside the emulated machine: its first file system, and the script that is its first process.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::archive::Archive;
use super::fetch::Kernel;
use super::machine::{AGAIN, BOOTED, EXITED};
use super::modules;
use super::record::{AGENT as AGENT_MARK, ROW};
use crate::{cmd, host};

/// Programs of this machine that go along with their libraries. `sh` is one because busybox's own prefers its
/// applets, `ip` among them, to what is in PATH.
const PROGRAMS: &[&str] = &["sh", "ip", "tc", "ss", "nft", "bpftool", "setpriv"];

/// What the lab has to know of an emulated machine: how much slower it is, and how large its flood may be.
const SLOW: &str = "LAB_PACE=4 LAB_FLOOD=40000";

/// Where its rows leave what they showed.
const SCENARIOS: &str = "/tmp/scenarios";

/// So many rows that failed beside others are run once more, one after the other. Where two emulated CPUs carry four rows at
/// once, one of some hundred may miss its moment; a fault of the agent fails again.
const ALONE: usize = 4;

/// What the agent of the guest is asked by itself, for hooks and blind spots.
pub const AGENT: [&str; 2] = [
    "trace --port 9 --interface lo --duration 300ms --output json",
    "check --port 9 --interface lo --output json",
];

/// What is tested, and the tools of the guest.
pub struct Files {
    /// The agent, statically linked.
    pub agent: PathBuf,
    /// The test executable, statically linked.
    pub test: PathBuf,
    /// busybox, statically linked.
    pub busybox: PathBuf,
}

/// The first file system for a kernel, whose test gets these arguments.
pub fn initramfs(files: &Files, kernel: &Kernel, args: &[OsString]) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["proc", "sys", "dev", "run", "tmp", "var", "root", "etc"] {
        archive.directory(directory);
    }
    // The kernel opens it for the first process, before anything is mounted.
    archive.device("dev/console", 5, 1);
    archive.link("var/run", "/run");
    archive.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n");
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n");
    archive.file("busybox/busybox", &read(&files.busybox)?);
    archive.file("agent", &read(&files.agent)?);
    archive.file("test", &read(&files.test)?);
    for program in PROGRAMS {
        add_program(&mut archive, program)?;
    }
    let mut names = Vec::new();
    for module in modules::collect(&kernel.modules)? {
        archive.file(&format!("modules/{}.ko", module.name), &module.contents);
        names.push(module.name);
    }
    archive.file("init", script(&names, args).as_bytes());
    Ok(archive.finish())
}

fn add_program(archive: &mut Archive, program: &str) -> Result<()> {
    let path =
        host::find(program).with_context(|| format!("{program} is missing: `cargo xtask setup` as root"))?;
    archive.file(&format!("bin/{program}"), &read(&path)?);
    for library in host::libraries(&path) {
        archive.file(&library.to_string_lossy(), &read(&library)?);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// The first process: prepares the machine, runs the test, reports its exit code and switches the machine off.
fn script(modules: &[String], args: &[OsString]) -> String {
    let args: String = args.iter().map(|arg| format!(" {}", cmd::quote(arg))).collect();
    let agent: String = AGENT.iter().map(|verb| format!("/agent {verb} >>/tmp/agent.jsonl\n")).collect();
    let mut insmod = String::new();
    for module in modules {
        let _ = writeln!(insmod, "insmod /modules/{module}.ko || echo \"cannot load {module}\"");
    }
    format!(
        "#!/busybox/busybox sh
/busybox/busybox --install -s /busybox
export PATH=/bin:/busybox
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t tracefs trace /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
mkdir -p /run/netns
{insmod}/bin/ip link set lo up
echo \"{BOOTED} $(uname -r)\"
export HOME=/root TERM=dumb NO_COLOR=1 AGENT_BIN=/agent {SLOW} LAB_SCENARIOS={SCENARIOS}
cd /tmp
{{ /test{args} </dev/null; echo $? >/tmp/code; }} 2>&1 | tee /tmp/printed
code=$(cat /tmp/code)
failed=$(sed -n 's/^test \\(.*\\) \\.\\.\\. FAILED$/\\1/p' /tmp/printed)
if [ $code != 0 ] && [ -n \"$failed\" ] && [ $(echo $failed | wc -w) -le {ALONE} ]; then
    echo \"{AGAIN} \"$failed
    /test --exact --test-threads=1 $failed </dev/null
    code=$?
fi
[ $code = 0 ] || {{ echo 'last words of the kernel:'; dmesg | grep -v 'link becomes ready' | tail -n 20; }}
cat {SCENARIOS}/* 2>/dev/null | while read -r row; do echo \"{ROW} $row\"; done
{agent}while read -r line; do echo \"{AGENT_MARK} $line\"; done </tmp/agent.jsonl
echo \"{EXITED} $code\"
poweroff -f
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_process_loads_modules_in_order_and_quotes_arguments() {
        let script = script(&["nfnetlink".into(), "nf_tables".into()], &["--exact".into(), "a b".into()]);
        let first = script.find("insmod /modules/nfnetlink.ko").unwrap();
        let second = script.find("insmod /modules/nf_tables.ko").unwrap();
        assert!(first < second);
        assert!(script.contains("{ /test --exact 'a b' </dev/null; echo $? >/tmp/code; }"));
    }
}
