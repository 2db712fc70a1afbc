//! A network namespace that lives as long as the value that holds it.

use std::{
    fs::File,
    io,
    marker::PhantomData,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::MetadataExt as _,
    },
    path::PathBuf,
    process::{Child, Command},
    thread,
};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::shell;

/// The namespace of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace without a name: it ends with the last file, socket or process in it.
#[derive(Debug)]
pub struct Netns {
    file: File,
}

impl Netns {
    /// A fresh namespace with its loopback interface up.
    ///
    /// # Panics
    ///
    /// When the kernel refuses: the lab needs root.
    pub fn new() -> Self {
        // On a thread of its own, so that the caller stays where it is.
        let file = thread::spawn(|| {
            // SAFETY: a new network namespace leaves the file descriptors of this process alone.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("making a network namespace");
            File::open(OWN).expect("opening the new network namespace")
        })
        .join()
        .expect("the thread that makes a network namespace");
        let namespace = Self { file };
        shell::ip(&namespace, "link set lo up");
        namespace
    }

    /// Where other processes find it, while this process lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }

    /// Its number, as the kernel shows it.
    ///
    /// # Panics
    ///
    /// When the kernel does not tell.
    pub fn inode(&self) -> u64 {
        self.file.metadata().expect("reading the namespace's inode").ino()
    }

    /// Runs `work` in it, on this thread, and comes back, even from a panic.
    ///
    /// # Panics
    ///
    /// When it cannot be entered or left.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _back = self.enter();
        work()
    }

    /// Moves this thread into it until the guard is dropped.
    ///
    /// # Panics
    ///
    /// When it cannot be entered.
    pub fn enter(&self) -> Entered {
        let home = File::open(OWN).expect("opening the own network namespace");
        enter(&self.file).expect("entering a network namespace");
        Entered { home, _stays_on_its_thread: PhantomData }
    }

    /// Starts a program in it that does not outlive the calling thread.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[track_caller]
    pub fn spawn(&self, command: &mut Command) -> Child {
        shell::die_with_us(command);
        let started = self.run(|| command.spawn());
        started.unwrap_or_else(|error| panic!("starting {command:?}: {error}"))
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

/// While this lives, its thread is in another namespace.
pub struct Entered {
    home: File,
    _stays_on_its_thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Going on in the wrong namespace could touch the machine's own network.
        if let Err(error) = enter(&self.home) {
            eprintln!("cannot go back to the own network namespace: {error}");
            std::process::abort();
        }
    }
}

fn enter(file: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
}
