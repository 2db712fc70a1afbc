//! The layers of `agent/src`, and the check that no import runs backwards.
//!
//! This reads tokens, not types: it sees every path that is written out (`use`, grouped or not, and paths in
//! expressions), and it refuses the imports of whole modules behind which it could not see.

mod paths;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use paths::Found;

/// Where the layers are.
const DIRECTORY: &str = "agent/src";

/// Each layer with those it may import. A layer is a file or a folder right under `agent/src`; `lib.rs` only
/// lists them and is not checked.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("kernel", &["domain"]),
    ("discover", &["domain"]),
    ("output", &["domain"]),
    ("ship", &["domain", "kernel", "discover", "output"]),
    ("settings", &["domain", "kernel", "discover", "output", "ship"]),
    ("run", &["domain", "kernel", "discover", "output", "ship", "settings"]),
    ("cli", &["domain", "kernel", "discover", "output", "ship", "settings", "run"]),
    ("main", &["domain", "kernel", "discover", "output", "ship", "settings", "run", "cli"]),
];

/// What only one layer may touch: `kernel` is the one that speaks to aya.
const KERNEL_ONLY: &[&str] = &["aya", "aya_log", "aya_obj"];

/// What would give `domain` a clock, a kernel, or input and output. Addresses are values and stay allowed.
const IMPURE: &[&str] = &[
    "aya",
    "aya_log",
    "aya_obj",
    "libc",
    "rustix",
    "tokio",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// A path that must not stand where it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// Checks all sources of the agent in the repository at `root`.
pub fn check(root: &Path) -> Result<Vec<Violation>> {
    let directory = &root.join(DIRECTORY);
    let mut violations = Vec::new();
    for file in sources(directory)? {
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let relative = file.strip_prefix(directory)?;
        let module = module_path(relative);
        let complaints = check_source(&module, &text);
        violations.extend(complaints.into_iter().map(|(line, what)| Violation {
            file: Path::new(DIRECTORY).join(relative),
            line,
            what,
        }));
    }
    Ok(violations)
}

/// All Rust files below a directory, in a stable order.
fn sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let context = || format!("listing {}", directory.display());
    for entry in fs::read_dir(directory).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `kernel/btf.rs` is the module `kernel::btf`, `kernel/mod.rs` is `kernel`; `lib.rs` is the root.
fn module_path(file: &Path) -> Vec<String> {
    let mut module: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    match module.last().map(String::as_str) {
        Some("mod") => drop(module.pop()),
        Some("lib") if module.len() == 1 => module.clear(),
        _ => {}
    }
    module
}

/// The lines of one source that import what its layer must not, and why.
fn check_source(module: &[String], text: &str) -> Vec<(usize, String)> {
    let Some(layer) = module.first() else { return Vec::new() };
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| name == layer) else {
        return vec![(
            1,
            format!("`{layer}` is no layer: move it into one, or name it in xtask/src/layers.rs"),
        )];
    };
    let mut complaints: Vec<(usize, String)> = paths::find(module, text)
        .into_iter()
        .filter_map(|found| Some((found.line, complaint(layer, allowed, &found)?)))
        .collect();
    complaints.dedup();
    complaints
}

fn complaint(layer: &str, allowed: &[&str], found: &Found) -> Option<String> {
    let path = found.path.join("::");
    let refuse = |why: &str| Some(format!("`{layer}` must not use `{path}`: {why}"));
    match found.path.first().map(String::as_str) {
        Some("crate") => match found.path.get(1).map(String::as_str) {
            None | Some("*") => refuse("name the module that is meant"),
            Some(other) if other == layer || allowed.contains(&other) => None,
            Some(other) if LAYERS.iter().any(|(name, _)| *name == other) => {
                refuse(&format!("it may import {}", list(allowed)))
            }
            // Something of lib.rs itself.
            Some(_) => None,
        },
        Some(name) if layer != "kernel" && KERNEL_ONLY.contains(&name) => {
            refuse("only `kernel` speaks to aya")
        }
        _ if layer == "domain" && is_impure(&found.path) => {
            refuse("it has no clock and does no input or output; take the value as an argument")
        }
        _ => None,
    }
}

/// Whether a path is, leads into, or by its length hides something impure (`use std::net;`, `use std::time::*;`).
fn is_impure(path: &[String]) -> bool {
    let opened = path.last().is_some_and(|last| last == "*");
    let path = if opened { &path[..path.len() - 1] } else { path };
    IMPURE.iter().any(|impure| {
        let impure: Vec<&str> = impure.split("::").collect();
        let shared = impure.len().min(path.len());
        path[..shared].iter().zip(&impure).all(|(ours, theirs)| ours == theirs)
    })
}

fn list(allowed: &[&str]) -> String {
    if allowed.is_empty() { "nothing of this crate".into() } else { allowed.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines complained about in a source of the module `a::b`.
    #[track_caller]
    fn lines(module: &str, text: &str) -> Vec<usize> {
        let module: Vec<String> = module.split("::").map(str::to_owned).collect();
        check_source(&module, text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_layer_may_import_what_comes_before_it() {
        assert!(
            lines("kernel::btf", "use crate::domain::Reason;\nuse super::program;\nuse aya::Btf;\n")
                .is_empty()
        );
        assert!(lines("ship", "use crate::{discover::Task, kernel, output::text};").is_empty());
        assert!(lines("run", "use crate::settings::Settings;").is_empty());
        assert!(lines("main", "use agent::{cli::Cli, run};\nfn main() { agent::run::run() }").is_empty());
    }

    #[test]
    fn an_import_that_runs_backwards_is_refused() {
        assert_eq!(lines("domain::flow", "\nuse crate::kernel::btf;"), [2]);
        assert_eq!(lines("kernel", "use crate::discover::Task;"), [1]);
        assert_eq!(lines("discover", "use crate::kernel::Links;"), [1]);
        assert_eq!(lines("output::text", "use crate::kernel::Links;"), [1]);
        assert_eq!(lines("settings", "use crate::run;"), [1]);
        assert_eq!(lines("ship", "use agent::cli::Cli;"), [1]);
    }

    #[test]
    fn groups_relative_paths_and_expressions_are_seen() {
        assert_eq!(lines("domain", "use crate::{\n    domain::a,\n    kernel::{self, b},\n};"), [3, 3]);
        assert_eq!(lines("domain::a", "use super::super::kernel::b;"), [1]);
        assert_eq!(lines("domain::a", "mod tests {\n    use super::super::super::run::b;\n}"), [2]);
        assert_eq!(lines("domain::a", "mod tests {\n    use super::super::b;\n}"), [0usize; 0]);
        assert_eq!(lines("domain", "fn f() -> u32 {\n    crate::kernel::now()\n}"), [2]);
        assert_eq!(lines("domain", "pub(crate) fn f() { crate::kernel::now() }"), [1]);
        assert_eq!(lines("domain", "use crate as all;"), [1]);
    }

    #[test]
    fn comments_and_strings_are_no_imports() {
        let text = "// use crate::kernel;\n/* a /* b */ use crate::kernel; */\n/// [`crate::kernel`]\n\
                    const A: &str = \"crate::kernel \\\" std::fs\";\nconst B: &str = r#\"\"crate::kernel\"#;\n\
                    const C: char = '\"'; fn f<'a>(x: &'a str) -> std::fmt::Result { g() }";
        assert_eq!(lines("domain", text), [0usize; 0]);
    }

    #[test]
    fn domain_is_pure_and_may_use_addresses() {
        assert!(
            lines("domain", "use std::net::{IpAddr, Ipv4Addr};\nuse std::time::Duration;\nuse std::fmt;")
                .is_empty()
        );
        assert_eq!(
            lines("domain", "use std::{collections::BTreeMap, fs, time::{Duration, Instant}};"),
            [1, 1]
        );
        assert_eq!(lines("domain", "use std::net::TcpStream;\nuse std::time::*;\nuse std::net;"), [1, 2, 3]);
        assert_eq!(
            lines("domain", "use tokio::time;\nfn f() { libc::getpid(); ::rustix::io::x() }"),
            [1, 2, 2]
        );
        assert_eq!(lines("domain", "fn f() { let t = std::time::SystemTime::now(); }"), [1]);
        assert_eq!(lines("domain", "fn f(tokio: u8) { x.tokio::<u8>(); tokio + a::libc::b }"), [0usize; 0]);
    }

    #[test]
    fn only_kernel_speaks_to_aya() {
        assert_eq!(lines("run", "use aya::Ebpf;"), [1]);
        assert_eq!(lines("output", "use aya;"), [1]);
        assert_eq!(lines("kernel::program", "use aya::Ebpf;"), [0usize; 0]);
    }

    #[test]
    fn every_file_belongs_to_a_layer() {
        assert_eq!(lines("helpers", "fn f() {}"), [1]);
        assert_eq!(module_path(Path::new("lib.rs")), [""; 0]);
        assert_eq!(module_path(Path::new("kernel/mod.rs")), ["kernel"]);
        assert_eq!(module_path(Path::new("kernel/btf.rs")), ["kernel", "btf"]);
    }
}
