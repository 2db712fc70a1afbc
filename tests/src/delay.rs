//! A long way from the task: what it sends arrives late, as netem would have it, which not every kernel has.
//!
//! The fabric leads what comes from the task into a TUN device, and from there this process gives it back, later.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{plan::Family, shell, topology::Topology};

/// The device, in the fabric's namespace.
const DEVICE: &str = "delay0";

/// `TUNSETIFF` of include/uapi/linux/if_tun.h, v6.1.
const SET_INTERFACE: libc::Ioctl = 0x4004_54ca;

/// How long nobody looks whether a packet came or is due.
const TICK: Duration = Duration::from_millis(1);

/// As large as a packet may be.
const PACKET_BYTES: usize = 65_535;

/// Delays until dropped.
pub struct Delay {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Delay {
    /// Begins to hold back whatever the task sends, each packet for this time.
    ///
    /// # Panics
    ///
    /// When there are no TUN devices.
    pub fn of_answers(lab: &Topology, time: Duration) -> Self {
        let device = lab.fabric.run(open).unwrap_or_else(|error| panic!("making {DEVICE}: {error}"));
        shell::ip(&lab.fabric, &format!("link set {DEVICE} up"));
        let family = if lab.plan.family == Family::V4 { "-4" } else { "-6" };
        let routes = format!("rule add iif task lookup 77\nroute add default dev {DEVICE} table 77");
        shell::run(&lab.fabric, "ip", &[family, "-batch", "-"], &routes);
        let stopped = Arc::new(AtomicBool::new(false));
        let thread = {
            let stopped = Arc::clone(&stopped);
            thread::spawn(move || {
                if let Err(error) = hold_back(&stopped, device, time) {
                    eprintln!("delaying packets: {error}");
                }
            })
        };
        Self { stopped, thread: Some(thread) }
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the thread that delays packets panicked");
        }
    }
}

/// A TUN device in this thread's namespace, which goes with the descriptor.
fn open() -> io::Result<File> {
    let device =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    // SAFETY: all fields are integers, pointers or unions of those, for which zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the request takes an ifreq, whose address is passed.
    let failed = unsafe { libc::ioctl(device.as_raw_fd(), SET_INTERFACE, &raw const request) };
    if failed == 0 { Ok(device) } else { Err(io::Error::last_os_error()) }
}

fn hold_back(stopped: &AtomicBool, mut device: File, time: Duration) -> io::Result<()> {
    let mut held: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; PACKET_BYTES];
    while !stopped.load(Ordering::Relaxed) {
        match device.read(&mut buffer) {
            Ok(count) => held.push_back((Instant::now() + time, buffer[..count].to_vec())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(TICK),
            Err(error) => return Err(error),
        }
        while let Some((_, packet)) = held.pop_front_if(|(due, _)| *due <= Instant::now()) {
            device.write_all(&packet)?;
        }
    }
    Ok(())
}
