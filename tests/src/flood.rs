//! Sends frames at full speed from one end of a link, pinned to one CPU.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::{Netns, shell};

/// Frames handed to the kernel at once.
const BATCH: usize = 64;

/// Link-layer address of an interface.
///
/// # Panics
///
/// When there is none.
pub fn hardware_address(namespace: &Netns, interface: &str) -> [u8; 6] {
    let text = shell::run(namespace, "ip", &["-json", "link", "show", "dev", interface], "");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("ip answers in JSON");
    let text = answer[0]["address"].as_str().expect("an address");
    let mut bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("a byte"));
    std::array::from_fn(|_| bytes.next().expect("six bytes"))
}

/// Sends the frames in turn until `count` are sent, from a thread that stays on `cpu` while it does.
///
/// # Panics
///
/// When the kernel refuses.
pub fn send(namespace: &Netns, interface: &str, frames: &[Vec<u8>], count: u64, cpu: usize) {
    let socket = namespace.run(|| open(interface)).unwrap_or_else(|error| panic!("packet socket: {error}"));
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    sched_setaffinity(None, &cpus).unwrap_or_else(|error| panic!("staying on CPU {cpu}: {error}"));
    let mut vectors: Vec<libc::iovec> = frames
        .iter()
        .map(|frame| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() })
        .collect();
    let mut messages: Vec<libc::mmsghdr> = vectors
        .iter_mut()
        .map(|vector| {
            // SAFETY: all fields of the header are integers or pointers, for which zero is a valid value.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let mut sent = 0;
    let mut next = 0;
    while sent < count {
        let wanted = BATCH.min(messages.len() - next).min((count - sent) as usize);
        let batch = &mut messages[next..next + wanted];
        // SAFETY: `batch` points at that many headers, whose vectors point at `frames`; both outlive the call.
        let done =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), batch.as_mut_ptr(), wanted as libc::c_uint, 0) };
        if done < 0 {
            let error = io::Error::last_os_error();
            assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS), "sending frames: {error}");
            continue;
        }
        sent += done as u64;
        next = (next + done as usize) % messages.len();
    }
}

/// Number of an interface in this thread's namespace.
pub(crate) fn index(interface: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(interface)?;
    // SAFETY: the name ends with a zero byte.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 { Err(io::Error::last_os_error()) } else { Ok(index) }
}

fn open(interface: &str) -> io::Result<OwnedFd> {
    let index = index(interface)?;
    // SAFETY: takes three numbers.
    let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else has.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // SAFETY: all fields are integers, for which zero is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index as i32;
    // SAFETY: the address is a sockaddr_ll of the size passed.
    let failed = unsafe {
        libc::bind(descriptor, (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}
