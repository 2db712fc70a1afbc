//! Chooses kernel modules and the order to load them in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cmd;

/// What the lab and the agent need. A kernel that has one of these built in, or not at all, has no such module:
/// that is no error here, the scenario that needs it says so.
const WANTED: &[&str] = &[
    "veth",
    "dummy",
    "8021q",
    "af_packet",
    "ipv6",
    "nfnetlink",
    "nf_tables",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nf_nat",
    "nft_counter",
    "nft_objref",
    "nft_ct",
    "nft_chain_nat",
    "nft_nat",
    "nft_redir",
    "nft_masq",
    "nft_limit",
    "nft_log",
    "nft_numgen",
    "nft_hash",
    "nft_reject",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_reject_inet",
    "nft_fib",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
    "nft_fib_inet",
    "inet_diag",
    "tcp_diag",
    "unix_diag",
    "xfrm_user",
    "sch_ingress",
    "sch_netem",
    "cls_bpf",
    "act_bpf",
];

/// A module, ready for the guest to load.
pub struct Module {
    pub name: String,
    pub contents: Vec<u8>,
}

/// The wanted modules of the kernel whose modules are under `directory`, each after those it depends on.
pub fn collect(directory: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(directory, &mut files)?;
    let mut chosen = Vec::new();
    for name in WANTED {
        choose(name, &files, &mut chosen)?;
    }
    Ok(chosen)
}

/// Adds a module after its dependencies. The package has no `modules.dep` (its installation script makes it), but
/// every module names what it needs.
fn choose(name: &str, files: &BTreeMap<String, PathBuf>, chosen: &mut Vec<Module>) -> Result<()> {
    let Some(path) = files.get(name) else { return Ok(()) };
    if chosen.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let contents = read(path)?;
    for dependency in dependencies(&contents) {
        choose(&dependency, files, chosen)?;
    }
    chosen.push(Module { name: name.to_owned(), contents });
    Ok(())
}

/// Finds all modules by the name the kernel gives them.
fn index(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let context = || format!("listing {}", directory.display());
    for entry in fs::read_dir(directory).with_context(context)? {
        let path = entry.with_context(context)?.path();
        // The package has links to headers that are not there: follow none.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            index(&path, files)?;
        } else if let Some((name, _)) = path.file_name().and_then(|name| name.to_str()?.split_once(".ko")) {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// A module's contents, unpacked: not every kernel can load what another compresses.
fn read(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).with_context(|| format!("reading {}", path.display()));
    }
    let mut command = Command::new("xz");
    let output = command
        .arg("-dc")
        .arg(path)
        .output()
        .with_context(|| format!("cannot start {}", cmd::show(&command)))?;
    if !output.status.success() {
        return Err(cmd::Failed::new(cmd::show(&command), output.status.code()).into());
    }
    Ok(output.stdout)
}

/// The modules a module depends on: the entry `depends=a,b` among its strings.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value = module[start + KEY.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_names_its_dependencies() {
        assert_eq!(
            dependencies(b"ELF\0license=GPL\0depends=nf_tables,nf-nat\0name=x\0"),
            ["nf_tables", "nf_nat"]
        );
        assert!(dependencies(b"ELF\0depends=\0name=x\0").is_empty());
        assert!(dependencies(b"ELF").is_empty());
    }

    #[test]
    fn a_module_comes_once_and_after_what_it_needs() {
        let directory = std::env::temp_dir().join(format!("xtask-modules-{}", std::process::id()));
        fs::create_dir_all(directory.join("net")).unwrap();
        fs::write(directory.join("net/nft_ct.ko"), b"\0depends=nf_tables,nf-conntrack\0").unwrap();
        fs::write(directory.join("nf_tables.ko"), b"\0depends=\0").unwrap();
        fs::write(directory.join("nf-conntrack.ko"), b"\0depends=\0").unwrap();
        fs::write(directory.join("floppy.ko"), b"\0depends=\0").unwrap();

        let modules = collect(&directory).unwrap();
        fs::remove_dir_all(&directory).unwrap();

        let names: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["nf_tables", "nf_conntrack", "nft_ct"]);
    }
}
