//! A network namespace, named by a path or a process.
//!
//! Nothing here keeps a namespace alive: it is opened, entered and left again each time, so that a task that ends is
//! seen to end.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socket_with},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::kernel::privileges::{self, Power};

/// Our own, as this thread sees it.
const OWN: &str = "/proc/thread-self/ns/net";

/// Which namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    path: PathBuf,
    inode: u64,
    is_own: bool,
}

/// Why a namespace cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// It is not there, or not a namespace.
    #[error(
        "opening network namespace {path}: {source}; give a path such as /run/netns/NAME or /proc/PID/ns/net, or a process id"
    )]
    Open {
        /// Path.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The path is something else.
    #[error(
        "{path} is not a network namespace; give a path such as /run/netns/NAME or /proc/PID/ns/net, or a process id"
    )]
    NotANamespace {
        /// Path.
        path: PathBuf,
    },
    /// It may not be entered.
    #[error(
        "entering network namespace {path}: {source}; this needs CAP_SYS_ADMIN (on ECS add SYS_ADMIN to \
         linuxParameters.capabilities)"
    )]
    Enter {
        /// Path.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The path leads to another namespace than at the start.
    #[error("network namespace {path} is gone")]
    Gone {
        /// Path.
        path: PathBuf,
    },
}

impl Namespace {
    /// The namespace this process runs in.
    ///
    /// # Errors
    ///
    /// When `/proc` does not show it.
    pub fn own() -> Result<Self, NamespaceError> {
        Self::at(Path::new(OWN)).map(|own| Self { is_own: true, ..own })
    }

    /// The namespace behind a path (`/run/netns/NAME`, `/proc/PID/ns/net`) or a process id.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn named(text: &str) -> Result<Self, NamespaceError> {
        let path = match text.parse::<u32>() {
            Ok(pid) => PathBuf::from(format!("/proc/{pid}/ns/net")),
            Err(_) => PathBuf::from(text),
        };
        Self::at(&path)
    }

    fn at(path: &Path) -> Result<Self, NamespaceError> {
        let open_error = |source| NamespaceError::Open { path: path.to_owned(), source };
        let file = open(path).map_err(open_error)?;
        // The nsfs type answers this ioctl; anything else is no namespace.
        let is_network = rustix::fs::fstatfs(&file).is_ok_and(|status| status.f_type as u64 == NSFS_MAGIC);
        if !is_network {
            return Err(NamespaceError::NotANamespace { path: path.to_owned() });
        }
        let inode = file.metadata().map_err(open_error)?.ino();
        let own_inode = std::fs::metadata(OWN).map_err(open_error)?.ino();
        Ok(Self { path: path.to_owned(), inode, is_own: inode == own_inode })
    }

    /// Its inode number, by which the kernel side tells namespaces apart (`net.ns.inum`, 32 bits).
    pub const fn inode(&self) -> u32 {
        self.inode as u32
    }

    /// The path it was named by; `None` for our own.
    pub fn path(&self) -> Option<&Path> {
        (!self.is_own).then_some(self.path.as_path())
    }

    /// Runs `work` inside it, on this thread, and comes back.
    ///
    /// # Errors
    ///
    /// When it is gone or may not be entered; then `work` did not run.
    ///
    /// # Panics
    ///
    /// When the way back is barred: going on in the wrong namespace would be worse.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, NamespaceError> {
        if self.is_own {
            return Ok(work());
        }
        let gone = || NamespaceError::Gone { path: self.path.clone() };
        let file = open(&self.path).map_err(|_| gone())?;
        if file.metadata().map(|metadata| metadata.ino()).ok() != Some(self.inode) {
            return Err(gone());
        }
        let enter_error = |source| NamespaceError::Enter { path: self.path.clone(), source };
        let home = File::open(OWN).map_err(enter_error)?;
        enter(&file).map_err(enter_error)?;
        let back = ComeBack(home);
        let result = work();
        drop(back);
        Ok(result)
    }
}

/// The cookie of the namespace that this thread is in: a number that, unlike the inode number, no namespace has again
/// (`net_gen_cookie`, net/core/net_namespace.c, v6.1). `None` before Linux 5.14.
pub fn cookie() -> Option<u64> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()?;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the option writes one u64 at most, into a variable of that size.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    (failed == 0 && cookie != 0).then_some(cookie)
}

/// include/uapi/linux/magic.h, v6.1
const NSFS_MAGIC: u64 = 0x6e73_6673;

fn open(path: &Path) -> io::Result<File> {
    privileges::with(Power::Join, || File::open(path))
}

fn enter(file: &File) -> io::Result<()> {
    let network = Some(LinkNameSpaceType::Network);
    Ok(privileges::with(Power::Join, || move_into_link_name_space(file.as_fd(), network))?)
}

/// Goes back even when the work panics.
struct ComeBack(File);

impl Drop for ComeBack {
    fn drop(&mut self) {
        if let Err(error) = enter(&self.0) {
            if std::thread::panicking() {
                log::error!("going back to the agent's own network namespace: {error}");
            } else {
                panic!("going back to the agent's own network namespace: {error}");
            }
        }
    }
}
