//! What else could count SYNs, run as its users run it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    shell::{self, nft},
    wait,
    wire::{INTERFACE, TARGET, Wire},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::delivered::prefixes;

const PATIENCE: Duration = Duration::from_secs(30);

/// Something that sees every SYN from its start to its end.
pub trait Tool {
    /// What it is.
    fn name(&self) -> &'static str;

    /// Whether this machine has it.
    fn is_here(&self) -> bool {
        true
    }

    /// Starts it and waits until it sees packets.
    fn start(&mut self, wire: &Wire) -> Result<()>;

    /// Ends it; it must have seen SYNs.
    fn stop(&mut self, wire: &Wire) -> Result<()>;
}

/// All of them.
pub fn all() -> Vec<Box<dyn Tool>> {
    let syns = "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn";
    let tcpdump = Program {
        name: "tcpdump, SYNs to /dev/null",
        program: "tcpdump",
        words: words(&["tcpdump", "-i", INTERFACE, "-n", "-w", "/dev/null", syns]),
        ready: "listening on",
        seen: |report| report.lines().find_map(|line| line.split_once(" packets captured")?.0.parse().ok()),
        running: None,
    };
    // The flags of TCP behind a header of IP without options.
    let script = "tracepoint:net:netif_receive_skb
        { $ip = ((struct sk_buff *)args->skbaddr)->data; if ((*(uint8 *)($ip + 33) & 18) == 2) { @syns = count(); } }
        interval:ms:300 { printf(\"ready\\n\"); }";
    let bpftrace = Program {
        name: "bpftrace, counting SYNs",
        program: "bpftrace",
        // It looks tracepoints up where nobody may have mounted them; the mount is gone with the program.
        words: words(&[
            "unshare",
            "--mount",
            "sh",
            "-c",
            "mount -t tracefs tracefs /sys/kernel/tracing; exec bpftrace -B line -e \"$0\"",
            script,
        ]),
        ready: "ready",
        seen: |report| report.lines().find_map(|line| line.strip_prefix("@syns: ")?.parse().ok()),
        running: None,
    };
    let port = TARGET.port();
    let set = Rules {
        name: "nftables, a set of 16 prefixes with counters",
        chain: format!(
            "add set ip watch clients {{ type ipv4_addr; flags interval; counter; elements = {{ {} }}; }}
             add rule ip watch syns tcp flags & (syn | ack) == syn tcp dport {port} ip saddr @clients",
            prefixes().join(", ")
        ),
    };
    let conntrack = Rules {
        name: "connection tracking, ct state new with a counter",
        chain: format!("add rule ip watch syns tcp dport {port} ct state new counter"),
    };
    vec![Box::new(tcpdump), Box::new(set), Box::new(conntrack), Box::new(bpftrace)]
}

/// A program that tells at its end how many it saw.
struct Program {
    name: &'static str,
    /// What has to be installed.
    program: &'static str,
    words: Vec<String>,
    /// What it writes once it sees packets.
    ready: &'static str,
    seen: fn(&str) -> Option<u64>,
    running: Option<(Child, PathBuf)>,
}

impl Tool for Program {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_here(&self) -> bool {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|directory| directory.join(self.program).is_file())
    }

    fn start(&mut self, wire: &Wire) -> Result<()> {
        let path = std::env::temp_dir().join(format!("agent-bench-{}-{}", std::process::id(), self.program));
        let file = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = wire.task.spawn(&mut command);
        wait::until(&format!("{} to see packets", self.name), PATIENCE, || read(&path).contains(self.ready));
        self.running = Some((child, path));
        Ok(())
    }

    fn stop(&mut self, _wire: &Wire) -> Result<()> {
        let (mut child, path) = self.running.take().context("it runs")?;
        kill_process(Pid::from_child(&child), Signal::INT)?;
        child.wait()?;
        let report = read(&path);
        fs::remove_file(&path)?;
        let seen = (self.seen)(&report).with_context(|| format!("{} told nothing: {report}", self.name))?;
        ensure!(seen > 0, "{} saw nothing: {report}", self.name);
        Ok(())
    }
}

/// Rules of nftables in a chain of their own.
struct Rules {
    name: &'static str,
    chain: String,
}

impl Tool for Rules {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&mut self, wire: &Wire) -> Result<()> {
        nft(
            &wire.task,
            &format!(
                "add table ip watch
                 add chain ip watch syns {{ type filter hook prerouting priority 0; }}
                 {}",
                self.chain
            ),
        );
        Ok(())
    }

    fn stop(&mut self, wire: &Wire) -> Result<()> {
        let rules = shell::run(&wire.task, "nft", &["list", "table", "ip", "watch"], "");
        nft(&wire.task, "delete table ip watch");
        let mut counters = rules.split("packets ").skip(1);
        let saw = counters.any(|rest| !rest.starts_with("0 "));
        ensure!(saw, "{} saw nothing: {rules}", self.name);
        Ok(())
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
