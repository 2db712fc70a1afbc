//! Fetches Debian packages without touching the machine's own package sources or its installed packages.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{cmd, host, workspace};

/// The package with the keys that Debian signs its archives with.
pub const KEYRING_PACKAGE: &str = "debian-archive-keyring";

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The package that depends on the newest kernel of a suite. Built for machines in a cloud, so it boots quickly.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// The emulator and all it needs, its C library included, come from one suite: what is installed here, and what that
/// conflicts with, does not matter.
const EMULATOR: Source = Source { archive: "debian", suites: &["stable"] };

/// Libraries of Debian on x86_64.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// A statically linked busybox runs anywhere, so it comes from one suite for all kernels.
const BUSYBOX: Source = Source { archive: "debian", suites: &["stable"] };

/// Where a package comes from.
pub struct Source {
    /// The archive on Debian's mirror network.
    pub archive: &'static str,
    /// Its suites to look in.
    pub suites: &'static [&'static str],
}

/// An unpacked kernel.
pub struct Kernel {
    /// Its release, as `uname -r` says.
    pub release: String,
    /// The image to boot.
    pub image: PathBuf,
    /// The folder with its modules.
    pub modules: PathBuf,
    /// Where its packages are unpacked.
    pub directory: PathBuf,
}

/// Whether Debian's keys are there.
pub fn has_keyring() -> bool {
    Path::new(KEYRING).is_file()
}

/// The kernel of that name, from the cache unless `refresh`.
pub fn kernel(name: &str, source: &Source, refresh: bool) -> Result<Kernel> {
    let directory = cached(name, source, refresh, |apt| {
        let image = dependencies(&apt.show(META_PACKAGE)?, &["linux-image-"])
            .pop()
            .with_context(|| format!("{META_PACKAGE} of {name} depends on no kernel"))?;
        // Newer releases split the kernel: then the image package depends on those with the contents.
        let mut packages = dependencies(&apt.show(&image)?, &["linux-binary-", "linux-modules-"]);
        packages.push(image);
        Ok(packages)
    })?;
    let modules = ["usr/lib/modules", "lib/modules"]
        .iter()
        .find_map(|place| fs::read_dir(directory.join(place)).ok()?.next()?.ok())
        .with_context(|| format!("no modules in {}: run again with --refresh", directory.display()))?
        .path();
    let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let image = [directory.join("boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")]
        .into_iter()
        .find(|image| image.is_file())
        .with_context(|| format!("no kernel in {}: run again with --refresh", directory.display()))?;
    Ok(Kernel { release, image, modules, directory })
}

/// The path of a static busybox.
pub fn busybox() -> Result<PathBuf> {
    let directory = cached("busybox", &BUSYBOX, false, |_| Ok(vec!["busybox-static".to_owned()]))?;
    ["usr/bin/busybox", "bin/busybox"]
        .iter()
        .map(|place| directory.join(place))
        .find(|path| path.is_file())
        .with_context(|| format!("no busybox in {}: delete that folder", directory.display()))
}

/// A command that starts the emulator: the one that is installed, else one that is unpacked beside the kernels.
pub fn emulator(program: &str, package: &str) -> Result<Command> {
    if host::find(program).is_some() {
        return Ok(Command::new(program));
    }
    let root = cached("qemu", &EMULATOR, false, |apt| apt.with_dependencies(package))?;
    let libraries = root.join(LIBRARIES);
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    let path = env::join_paths([&libraries, &libraries.join("pulseaudio")])?;
    command.arg("--library-path").arg(path).arg(root.join("usr/bin").join(program));
    for firmware in ["usr/share/qemu", "usr/share/seabios"] {
        command.arg("-L").arg(root.join(firmware));
    }
    Ok(command)
}

/// The folder where the packages chosen by `choose` are unpacked; it appears only when it is complete.
fn cached(
    name: &str,
    source: &Source,
    refresh: bool,
    choose: impl FnOnce(&Apt) -> Result<Vec<String>>,
) -> Result<PathBuf> {
    let base = workspace::root().join("target/kernels").join(name);
    let complete = base.join("root");
    if complete.is_dir() && !refresh {
        return Ok(complete);
    }
    let apt = Apt::new(base.join("apt"), source)?;
    let packages = choose(&apt)?;
    let fresh = base.join("fresh");
    remove(&fresh)?;
    create(&fresh)?;
    apt.unpack(&packages, &fresh)?;
    remove(&complete)?;
    fs::rename(&fresh, &complete).with_context(|| format!("renaming {}", fresh.display()))?;
    Ok(complete)
}

/// apt with its own sources, lists and cache.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    fn new(directory: PathBuf, source: &Source) -> Result<Self> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            create(&directory.join(folder))?;
        }
        let mirror = mirror(source.archive)?;
        let line = |suite: &&str| format!("deb [arch=amd64 signed-by={KEYRING}] {mirror} {suite} main\n");
        let sources: String = source.suites.iter().map(line).collect();
        let path = directory.join("sources.list");
        fs::write(&path, sources).with_context(|| format!("writing {}", path.display()))?;
        let apt = Self { directory };
        cmd::run(apt.command("apt-get").args(["-qq", "update"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let own = |option: &str, place: &str| format!("{option}={}", self.directory.join(place).display());
        for option in [
            own("Dir::Etc::SourceList", "sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            own("Dir::State::Lists", "lists"),
            own("Dir::Cache", "cache"),
            // As root apt downloads as another user, who may not write here.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }

    /// What apt knows of the newest version of a package.
    fn show(&self, package: &str) -> Result<String> {
        cmd::read(self.command("apt-cache").args(["show", "--no-all-versions", package]))
    }

    /// A package and everything it depends on, as on a machine where nothing is installed.
    fn with_dependencies(&self, package: &str) -> Result<Vec<String>> {
        let nothing = self.directory.join("status");
        fs::write(&nothing, "").with_context(|| format!("writing {}", nothing.display()))?;
        let mut command = self.command("apt-get");
        command.arg("-o").arg(format!("Dir::State::status={}", nothing.display()));
        command.args(["-qq", "--simulate", "--no-install-recommends", "install", package]);
        Ok(installed(&cmd::read(&mut command)?))
    }

    fn unpack(&self, packages: &[String], into: &Path) -> Result<()> {
        let downloads = self.directory.join("downloads");
        remove(&downloads)?;
        create(&downloads)?;
        cmd::run(self.command("apt-get").args(["-qq", "download"]).args(packages).current_dir(&downloads))?;
        for entry in fs::read_dir(&downloads).with_context(|| format!("listing {}", downloads.display()))? {
            cmd::run(Command::new("dpkg").arg("-x").arg(entry?.path()).arg(into))?;
        }
        remove(&downloads)
    }
}

/// Where an archive is: beside `DEBIAN_MIRROR`, else where this machine gets its own packages from.
fn mirror(archive: &str) -> Result<String> {
    if let Ok(mirror) = env::var("DEBIAN_MIRROR") {
        return Ok(format!("{}/{archive}", mirror.trim_end_matches('/')));
    }
    let targets = cmd::ask(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]));
    own_mirror(&targets.unwrap_or_default(), archive).with_context(|| {
        format!("this machine gets no packages from an archive {archive}: set DEBIAN_MIRROR to the address of a mirror")
    })
}

/// The first address that ends with the name of the archive, or stands beside another archive of Debian.
fn own_mirror(addresses: &str, archive: &str) -> Option<String> {
    let parts = |address: &str| {
        let (base, name) = address.trim_end_matches('/').rsplit_once('/')?;
        Some((base.to_owned(), name.to_owned()))
    };
    let known: Vec<_> = addresses.lines().filter_map(parts).collect();
    let same = known.iter().find(|(_, name)| name == archive);
    let beside = || known.iter().find(|(_, name)| name == "debian" || name == "debian-security");
    same.or_else(beside).map(|(base, _)| format!("{base}/{archive}"))
}

/// The packages with one of these prefixes that a package depends on.
fn dependencies(description: &str, prefixes: &[&str]) -> Vec<String> {
    let line = description.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    line.split(',')
        .filter_map(|dependency| dependency.split_whitespace().next())
        .filter(|package| prefixes.iter().any(|prefix| package.starts_with(prefix)))
        .map(str::to_owned)
        .collect()
}

/// The packages that a simulated installation would install.
fn installed(simulation: &str) -> Vec<String> {
    let names = simulation.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next());
    names.map(str::to_owned).collect()
}

fn create(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))
}

fn remove(directory: &Path) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_looked_for_where_the_machine_gets_its_packages() {
        let addresses = "http://mirror.example/debian/\nhttp://security.example/debian-security\n";
        let found = |archive| own_mirror(addresses, archive);
        assert_eq!(found("debian").as_deref(), Some("http://mirror.example/debian"));
        assert_eq!(found("debian-security").as_deref(), Some("http://security.example/debian-security"));
        assert_eq!(
            own_mirror("http://m.example/debian/", "debian-security").as_deref(),
            Some("http://m.example/debian-security")
        );
        assert_eq!(own_mirror("http://archive.example/ubuntu/\n", "debian"), None);
    }

    #[test]
    fn a_simulation_names_what_it_would_install() {
        let simulation =
            "Inst libc6 (2.41-12 Debian:13/stable [amd64])\nConf libc6 (2.41-12)\nInst seabios (1.16)\n";
        assert_eq!(installed(simulation), ["libc6", "seabios"]);
    }

    #[test]
    fn dependencies_are_chosen_by_prefix() {
        let description = "Package: linux-image-cloud-amd64\n\
                           Depends: linux-base (= 7), linux-image-7.2-cloud-amd64 (= 7.2.13-1), dracut | other\n";
        assert_eq!(dependencies(description, &["linux-image-"]), ["linux-image-7.2-cloud-amd64"]);
        assert!(dependencies("Package: x\n", &["linux-image-"]).is_empty());
    }
}
