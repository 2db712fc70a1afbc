//! Every network namespace of the node that has a process in it, from `/proc`.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use crate::kernel::privileges::{self, Power};

/// Which namespaces there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Process ids by the inode number of their namespace, lowest first.
    pub namespaces: BTreeMap<u32, Vec<u32>>,
    /// Processes whose namespace may not be known.
    pub hidden: usize,
}

impl Census {
    /// Takes it. A process that ends meanwhile is left out.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be listed.
    pub fn take() -> io::Result<Self> {
        let mut census = Self::default();
        privileges::with(Power::Join, || -> io::Result<()> {
            for entry in fs::read_dir("/proc")? {
                let Some(process) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                match fs::read_link(path_of(process)) {
                    Ok(link) => {
                        if let Some(inode) = link.to_str().and_then(inode_of) {
                            census.namespaces.entry(inode).or_default().push(process);
                        }
                    }
                    // This is also the answer for a process that ends at this moment (proc_ns_readlink, fs/proc/namespaces.c).
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        census.hidden += usize::from(is_alive(process));
                    }
                    Err(_ended_meanwhile) => {}
                }
            }
            Ok(())
        })?;
        for processes in census.namespaces.values_mut() {
            processes.sort_unstable();
        }
        Ok(census)
    }
}

/// Where the network namespace of a process is.
pub fn path_of(process: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/ns/net"))
}

fn is_alive(process: u32) -> bool {
    fs::exists(format!("/proc/{process}")).unwrap_or(false)
}

/// Of these processes the one that stands for the workload: not the one that only holds the namespace open, and its
/// control groups.
pub fn representative(processes: &[u32]) -> Option<(u32, String)> {
    let name = |process: u32| fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    // The container that ECS and Kubernetes put in front of a task's or a pod's own.
    let is_pause = |process: u32| name(process).trim() == "pause";
    let chosen = processes.iter().take(LOOKED_AT).copied().find(|process| !is_pause(*process));
    let process = chosen.or_else(|| processes.first().copied())?;
    Some((process, fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default()))
}

/// The root namespace has hundreds of processes; the first few are enough.
const LOOKED_AT: usize = 8;

/// `net:[4026531840]`
fn inode_of(link: &str) -> Option<u32> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_in_its_namespace() {
        let census = Census::take().expect("a list of processes");
        let own = fs::read_link("/proc/self/ns/net").expect("the own namespace");
        let inode = own.to_str().and_then(inode_of).expect("its number");
        assert!(census.namespaces[&inode].contains(&std::process::id()));
        let (_, cgroup) = representative(&[std::process::id()]).expect("it is there");
        assert!(cgroup.contains(':'), "{cgroup}");
        assert_eq!(representative(&[]), None);
    }

    #[test]
    fn only_links_to_network_namespaces_have_a_number() {
        assert_eq!(inode_of("net:[4026531840]"), Some(4_026_531_840));
        for link in ["mnt:[4026531840]", "net:[]", "net:[99999999999]", ""] {
            assert_eq!(inode_of(link), None, "{link}");
        }
    }
}
