//! The statistics of an interface's driver, by the ioctl `SIOCETHTOOL` (what `ethtool -S` prints).

use std::{io, os::fd::AsRawFd as _, time::Duration};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::domain::allowances::Allowances;

// include/uapi/linux/sockios.h and ethtool.h, unchanged since they exist.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const GET_STRINGS: u32 = 0x1b;
const GET_STATISTICS: u32 = 0x1d;
const GET_SET_INFO: u32 = 0x37;
const SET_STATISTICS: u32 = 1;
const NAME_BYTES: usize = 32;

/// More statistics than any driver has. A count beyond is not believed.
const MOST: usize = 16 * 1024;

/// Room for statistics that a driver gains between two calls: up to v6.18 the kernel answers as many as there are at that
/// moment, whatever room the caller has (`ethtool_get_stats`, net/ethtool/ioctl.c). Only a changed number of queues adds
/// some, and no driver has so many per queue and so many queues that they exceed this.
const HEADROOM: usize = MOST;

/// How often the allowances are read: the ENA driver asks the device for them each time.
const EVERY: Duration = Duration::from_secs(10);

/// Names and values of the statistics of an interface's driver.
///
/// # Errors
///
/// `EOPNOTSUPP` when the driver keeps none, `ENODEV` when there is no such interface in the current namespace; `InvalidData`
/// when the statistics changed while they were read.
pub fn statistics(interface: &str) -> io::Result<Vec<(String, u64)>> {
    let count = count(interface)?;
    let names = names(interface, count)?;
    let values = values(interface, count)?;
    Ok(names.into_iter().zip(values).collect())
}

/// `struct ethtool_sset_info`: command, reserved, a mask of 64 bits, one count per bit of it.
fn count(interface: &str) -> io::Result<usize> {
    let mut mask = [0; 2];
    let one = 1_u64 << SET_STATISTICS;
    mask.copy_from_slice(&words_of(one));
    let mut request = [GET_SET_INFO, 0, mask[0], mask[1], 0];
    // SAFETY: one bit of the mask is set, so the kernel writes back the four words and one count.
    unsafe { ask(interface, &mut request) }?;
    let is_known = request[2..4] == words_of(one);
    match request[4] as usize {
        count if is_known && count <= MOST => Ok(count),
        _ if !is_known => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
        _ => Err(changed()),
    }
}

/// `struct ethtool_gstrings`: command, set, count, then the names of 32 bytes each.
fn names(interface: &str, count: usize) -> io::Result<Vec<String>> {
    const HEADER: usize = 3;
    let mut request = vec![0_u32; HEADER + (count + HEADROOM) * NAME_BYTES / 4];
    request[..HEADER].copy_from_slice(&[GET_STRINGS, SET_STATISTICS, count as u32]);
    // SAFETY: there is room for `count` names, read a moment ago, and `HEADROOM` more.
    unsafe { ask(interface, &mut request) }?;
    parse_names(&request, count).ok_or_else(changed)
}

/// Takes the names out of an answer, where it has as many as there were.
pub fn parse_names(answer: &[u32], count: usize) -> Option<Vec<String>> {
    let [_command, _set, number, names @ ..] = answer else { return None };
    let names = names.get(..count.checked_mul(NAME_BYTES / 4)?)?;
    let bytes: Vec<u8> = names.iter().flat_map(|word| word.to_ne_bytes()).collect();
    (*number as usize == count).then(|| bytes.chunks_exact(NAME_BYTES).map(name).collect())
}

/// A name ends with its first zero byte, or with its last byte.
fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// `struct ethtool_stats`: command, count, then the values of 64 bits each.
fn values(interface: &str, count: usize) -> io::Result<Vec<u64>> {
    const HEADER: usize = 2;
    let mut request = vec![0_u32; HEADER + (count + HEADROOM) * 2];
    request[..HEADER].copy_from_slice(&[GET_STATISTICS, count as u32]);
    // SAFETY: there is room for `count` values, read a moment ago, and `HEADROOM` more.
    unsafe { ask(interface, &mut request) }?;
    parse_values(&request, count).ok_or_else(changed)
}

/// Takes the values out of an answer, where it has as many as there were.
pub fn parse_values(answer: &[u32], count: usize) -> Option<Vec<u64>> {
    let [_command, number, values @ ..] = answer else { return None };
    let values = values.get(..count.checked_mul(2)?)?;
    let value = |pair: &[u32]| value_of([pair[0], pair[1]]);
    (*number as usize == count).then(|| values.chunks_exact(2).map(value).collect())
}

/// Makes the request at the begin of a buffer, into which the kernel writes its answer.
///
/// # Safety
///
/// The buffer has room for whatever the kernel answers to its request.
unsafe fn ask(interface: &str, request: &mut [u32]) -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: zero is a value of every member, and of the union a null pointer.
    let mut named: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    if interface.len() >= named.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in named.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    named.ifr_ifru.ifru_data = request.as_mut_ptr().cast();
    // SAFETY: both outlive the call; the kernel writes into the request only, as far as the caller promised.
    let failed = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut named) };
    if failed < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the driver's statistics changed while they were read")
}

fn words_of(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

fn value_of(words: [u32; 2]) -> u64 {
    let [[a, b, c, d], [e, f, g, h]] = words.map(u32::to_ne_bytes);
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

/// Reads the allowances of one interface now and then, and never again where the driver counts none.
#[derive(Debug, Default)]
pub struct AllowanceReader {
    next: Duration,
    latest: Allowances,
    is_over: bool,
}

impl AllowanceReader {
    /// The allowances of an interface of the current namespace, as last read.
    pub fn read(&mut self, at: Duration, interface: &str) -> Allowances {
        if self.is_over || at < self.next {
            return self.latest;
        }
        self.next = at + EVERY;
        match statistics(interface) {
            Ok(statistics) => {
                self.latest = Allowances::from_statistics(&statistics);
                self.is_over = self.latest.are_absent();
            }
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => self.is_over = true,
            // The latest reading stands until there is another.
            Err(error) => log::debug!("reading the driver's statistics of {interface}: {error}"),
        }
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_no_driver_and_an_unknown_interface_no_statistics() {
        let number = |interface: &str| statistics(interface).err().and_then(|error| error.raw_os_error());
        assert_eq!(number("lo"), Some(libc::EOPNOTSUPP));
        assert_eq!(number("no-such-if"), Some(libc::ENODEV));
        assert_eq!(number("a-name-that-is-far-too-long"), Some(libc::ENODEV));
    }

    #[test]
    fn a_driver_without_allowances_is_asked_once() {
        let mut reader = AllowanceReader::default();
        assert!(reader.read(Duration::ZERO, "lo").are_absent());
        assert!(reader.is_over);
    }

    #[test]
    fn names_end_with_their_first_zero() {
        let mut bytes = [b'x'; NAME_BYTES];
        assert_eq!(name(&bytes).len(), NAME_BYTES);
        bytes[2] = 0;
        assert_eq!(name(&bytes), "xx");
    }

    #[test]
    fn an_answer_about_another_number_or_cut_short_is_none() {
        let mut names = vec![GET_STRINGS, SET_STATISTICS, 1];
        names.extend([u32::from_ne_bytes(*b"drop"), u32::from_ne_bytes(*b"s\0\0\0"), 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse_names(&names, 1), Some(vec!["drops".to_owned()]));
        assert_eq!((parse_names(&names, 2), parse_names(&names[..10], 1)), (None, None));
        let values = [GET_STATISTICS, 1, 7, 0];
        assert_eq!(parse_values(&values, 1), Some(vec![value_of([7, 0])]));
        assert_eq!((parse_values(&values, 2), parse_values(&values[..3], 1)), (None, None));
        assert_eq!((parse_names(&[], 0), parse_values(&[], usize::MAX)), (None, None));
    }

    #[test]
    fn values_survive_being_cut_into_words() {
        let value = 0x0123_4567_89ab_cdef;
        assert_eq!(value_of(words_of(value)), value);
    }
}
