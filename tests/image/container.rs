//! The image as a container runtime would run it: unpacked, nothing else in its root, which cannot be written.

use std::{
    ffi::CString,
    fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount},
    process::{Gid, Uid, chroot},
    thread::{
        CapabilitySet, CapabilitySets, UnshareFlags, configure_capability_in_ambient_set,
        remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
    },
};
use serde_json::Value;

/// An unpacked image; removed with this value.
pub struct Image {
    root: PathBuf,
    entrypoint: Vec<String>,
}

/// Who runs in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// User 0; what the runtime leaves it is in the bounding set.
    Root,
    /// A user that is nobody; what the runtime gives it is in the ambient set.
    Nobody,
}

const NOBODY: u32 = 65_534;

impl Image {
    /// Unpacks the image of this machine from the layout that `LAB_IMAGE` names.
    ///
    /// # Panics
    ///
    /// When there is none, or it is not as the specification says.
    pub fn unpack() -> Self {
        let layout = std::env::var_os("LAB_IMAGE").map(PathBuf::from);
        let layout = layout.expect("LAB_IMAGE is not set: use `cargo xtask dist --try`");
        let read = |path: &Path| -> Value {
            let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            serde_json::from_slice(&bytes).expect("JSON")
        };
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
            layout.join("blobs/sha256").join(digest.expect("a digest"))
        };
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let index = read(&layout.join("index.json"));
        let mut manifests = index["manifests"].as_array().expect("images").iter();
        let manifest = manifests.find(|one| one["platform"]["architecture"] == machine);
        let manifest = read(&blob(manifest.expect("an image for this machine")));
        let config = read(&blob(&manifest["config"]));
        let root =
            std::env::temp_dir().join(format!("hct-image-{}-{:x}", std::process::id(), fastrand::u64(..)));
        fs::create_dir_all(&root).expect("a root");
        for layer in manifest["layers"].as_array().expect("layers") {
            let status = Command::new("tar").arg("-xf").arg(blob(layer)).arg("-C").arg(&root).status();
            assert!(status.expect("tar").success());
        }
        // The runtime makes the places where it mounts something.
        for place in ["proc", "sys"] {
            fs::create_dir_all(root.join(place)).expect("a place to mount");
        }
        let words = config["config"]["Entrypoint"].as_array().expect("an entry point").iter();
        let entrypoint = words.map(|word| word.as_str().expect("a word").to_owned()).collect();
        Self { root, entrypoint }
    }

    /// The image's program with these arguments, as this user with these capabilities and no others.
    pub fn command(&self, user: User, capabilities: CapabilitySet, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.entrypoint[0]);
        command.args(&self.entrypoint[1..]).args(arguments).env_clear();
        let place = |name: &str| CString::new(self.root.join(name).into_os_string().into_encoded_bytes());
        let places = ["", "proc", "sys", "tmp"].map(|name| place(name).expect("a path without zero bytes"));
        // SAFETY: between fork and exec there are system calls only; every text was made before.
        unsafe { command.pre_exec(move || contain(&places, user, capabilities)) };
        command
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let removed = fs::remove_dir_all(&self.root);
        if let Err(error) = removed {
            eprintln!("removing {}: {error}", self.root.display());
        }
    }
}

/// Moves this process into the root, and takes from it what it shall not have.
fn contain([root, proc, sys, tmp]: &[CString; 4], user: User, capabilities: CapabilitySet) -> io::Result<()> {
    // SAFETY: this process was just made by fork and shares its file system with nobody.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount_bind(root, root)?;
    mount(c"proc", proc, c"proc", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    mount(c"sysfs", sys, c"sysfs", MountFlags::NOSUID | MountFlags::RDONLY, None)?;
    // As the task definition asks for it; without one there is none, and nothing is written there.
    mount(
        c"tmpfs",
        tmp,
        c"tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
        Some(c"size=1m"),
    )?;
    mount_remount(root, MountFlags::BIND | MountFlags::RDONLY, c"")?;
    chroot(root)?;
    rustix::process::chdir(c"/")?;
    for capability in CapabilitySet::all().difference(capabilities).iter() {
        // Those that this kernel does not know are not there anyway.
        let _not_known = remove_capability_from_bounding_set(capability);
    }
    if user == User::Nobody {
        become_nobody(capabilities)?;
    }
    Ok(())
}

fn become_nobody(capabilities: CapabilitySet) -> io::Result<()> {
    set_keep_capabilities(true)?;
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    set_capabilities(
        None,
        CapabilitySets { effective: capabilities, permitted: capabilities, inheritable: capabilities },
    )?;
    for capability in capabilities.iter() {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}
