//! What this machine is: which programs it has, whether we may install more.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use anyhow::Result;

use crate::cmd;

/// A program and the Debian package that brings it.
pub type Tool = (&'static str, &'static str);

/// Where a program is, also in the directories of the administrator that a user's PATH may lack.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// The packages of those tools that are not there.
pub fn missing(tools: &[Tool]) -> Vec<&'static str> {
    tools.iter().filter(|(program, _)| find(program).is_none()).map(|&(_, package)| package).collect()
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Whether [`install`] can work here: apt, and root or sudo without a password.
pub fn can_install() -> bool {
    find("apt-get").is_some() && (is_root() || cmd::ask(Command::new("sudo").args(["-n", "true"])).is_some())
}

/// Whether apt knows the package.
pub fn offers(package: &str) -> bool {
    refresh();
    cmd::ask(Command::new("apt-cache").args(["show", "--no-all-versions", package])).is_some()
}

/// Installs Debian packages.
pub fn install(packages: &[&str]) -> Result<()> {
    refresh();
    // Without `--no-remove` apt would take away what conflicts, such as a rustup that came as a package.
    cmd::run(apt().args(["-qq", "-y", "--no-install-recommends", "--no-remove", "install"]).args(packages))
}

/// Tells dpkg that packages of another architecture may be installed, too.
pub fn add_architecture(name: &str) -> Result<()> {
    let known = cmd::ask(Command::new("dpkg").arg("--print-foreign-architectures")).unwrap_or_default();
    if known.lines().any(|line| line == name) {
        return Ok(());
    }
    let words = if is_root() { &["dpkg"][..] } else { &["sudo", "-n", "dpkg"] };
    cmd::run(Command::new(words[0]).args(&words[1..]).args(["--add-architecture", name]))?;
    // The lists that were read before do not name its packages.
    cmd::run(apt().args(["-qq", "update"]))
}

/// Reads the package lists, once: a fresh container has none. A list that cannot be read (of a third party,
/// often) only matters if what we want is in it, and then the installation says so.
pub fn refresh() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = cmd::run(apt().args(["-qq", "update"])) {
            eprintln!("xtask: going on with the package lists there are: {error:#}");
        }
    });
}

fn apt() -> Command {
    // `env` rather than `Command::env`: sudo does not hand variables on.
    let words = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    let mut command = if is_root() {
        Command::new(words[0])
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", words[0]]);
        sudo
    };
    command.args(&words[1..]);
    command
}

/// The shared libraries a program loads, its interpreter among them; none for a static program.
pub fn libraries(program: &Path) -> Vec<PathBuf> {
    cmd::ask(Command::new("ldd").arg(program)).map(|listing| library_paths(&listing)).unwrap_or_default()
}

fn library_paths(listing: &str) -> Vec<PathBuf> {
    listing.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_the_listing_without_the_kernels_own() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f74)\n\
                       \t/lib64/ld-linux-x86-64.so.2 (0x00007f75)\n";
        assert_eq!(
            library_paths(listing),
            ["/lib/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from)
        );
    }
}
