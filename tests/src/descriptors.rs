//! What the kernel says of the descriptors that a process holds, and of the eBPF objects behind them.

use std::{fmt, fs, time::Duration};

use aya::programs::loaded_programs;

use crate::{Netns, shell, wait};

/// The number behind this word in the fdinfo of each descriptor that has one.
///
/// # Panics
///
/// When there is no such process.
pub fn numbers(process: u32, word: &str) -> Vec<u64> {
    let number = |text: String| text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
    texts(process).filter_map(number).collect()
}

/// The fdinfo of each descriptor.
///
/// # Panics
///
/// When there is no such process.
pub fn texts(process: u32) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(format!("/proc/{process}/fdinfo")).expect("a living process");
    entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
}

/// Kinds of eBPF objects: what bpftool calls them, and their word in fdinfo.
const KINDS: [(&str, &str); 3] = [("prog", "prog_id:"), ("map", "map_id:"), ("link", "link_id:")];

/// Ids of the eBPF objects that a process holds, each once and in order: programs, maps, links. A map that only a program of them
/// holds is one, too.
#[derive(Clone, PartialEq, Eq)]
pub struct Objects([Vec<u64>; 3]);

/// How many: their ids fill pages and say nothing.
impl fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [programs, maps, links] = self.counts();
        write!(formatter, "{programs} programs, {maps} maps, {links} links")
    }
}

impl Objects {
    /// Those of a process.
    ///
    /// # Panics
    ///
    /// When there is no such process.
    pub fn of(process: u32) -> Self {
        let [programs, mut maps, links] = KINDS.map(|(_, word)| numbers(process, word));
        maps.extend(maps_of(&programs));
        Self([programs, maps, links].map(|mut ids| {
            ids.sort_unstable();
            ids.dedup();
            ids
        }))
    }

    /// How many there are of each kind.
    pub fn counts(&self) -> [usize; 3] {
        self.0.each_ref().map(Vec::len)
    }

    /// Those that the kernel still has, as bpftool sees it. The namespace only is a place to start it in.
    ///
    /// # Panics
    ///
    /// When bpftool fails.
    pub fn still_there(&self, namespace: &Netns) -> Vec<(&'static str, u64)> {
        let kinds = KINDS.iter().zip(&self.0).filter(|(_, held)| !held.is_empty());
        let left = kinds.flat_map(|((kind, _), held)| {
            let all = existing(namespace, kind);
            held.iter().filter(move |id| all.contains(id)).map(|id| (*kind, *id))
        });
        left.collect()
    }
}

/// Ids of the maps that these programs use.
fn maps_of(programs: &[u64]) -> Vec<u64> {
    // One that went meanwhile has none.
    let used = loaded_programs().filter_map(|program| {
        let program = program.ok()?;
        let maps = program.map_ids().ok().flatten()?;
        programs.contains(&u64::from(program.id())).then_some(maps)
    });
    used.flatten().map(u64::from).collect()
}

/// Ids of all objects of a kind, whoever holds them.
///
/// A link that somebody else is just creating has an id, and asking for it fails with EAGAIN until it is settled
/// (`bpf_link_by_id`, kernel/bpf/syscall.c 6.1). bpftool gives up at such a one and lists nothing behind it.
fn existing(namespace: &Netns, kind: &str) -> Vec<u64> {
    let list = || {
        let output = shell::output(namespace, "bpftool", &["-j", kind, "show"], "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_settled = !text.contains("Resource temporarily unavailable");
        assert!(output.status.success() || !is_settled, "bpftool {kind} show: {}: {text}", output.status);
        is_settled.then_some(text)
    };
    let text = wait::for_some("every link of the machine to be settled", Duration::from_secs(10), list);
    let answer: serde_json::Value = serde_json::from_str(&text).expect("bpftool answers in JSON");
    answer.as_array().into_iter().flatten().filter_map(|object| object["id"].as_u64()).collect()
}
