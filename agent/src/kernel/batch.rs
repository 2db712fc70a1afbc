//! Per-CPU arrays, read with one system call for many entries where the kernel can (Linux 5.13).

use std::{
    cell::Cell,
    io,
    marker::PhantomData,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Ebpf, Pod,
    maps::{Map, MapError, PerCpuArray},
    util::nr_cpus,
};

use crate::kernel::maps::{MapAccessError, at};

/// `BPF_MAP_LOOKUP_BATCH` (include/uapi/linux/bpf.h, v5.6).
const MAP_LOOKUP_BATCH: libc::c_int = 24;

/// Bytes that one call may bring.
const CALL_BYTES: usize = 64 * 1024;

/// `bpf_attr.batch` (include/uapi/linux/bpf.h, v5.6).
#[repr(C)]
#[derive(Default)]
struct Batch {
    after: u64,
    last: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

const _: () = assert!(size_of::<Batch>() == 56);

/// A per-CPU array of the programs.
pub struct Batched<T> {
    name: &'static str,
    map: Map,
    /// CPUs that may ever be there: a value holds one `T` for each.
    cpus: usize,
    is_refused: Cell<bool>,
    of: PhantomData<T>,
}

impl<T: Pod> Batched<T> {
    /// Takes it out of a loaded object.
    ///
    /// # Errors
    ///
    /// When it is missing or of another kind.
    pub fn take(object: &mut Ebpf, name: &'static str) -> Result<Self, MapAccessError> {
        // What a batch brings lies as close as whole eight-byte words do.
        const { assert!(size_of::<T>().is_multiple_of(8)) };
        let map = object.take_map(name).ok_or(MapAccessError::Missing(name))?;
        PerCpuArray::<_, T>::try_from(&map).map_err(at(name))?;
        let cpus = nr_cpus().map_err(|(_, error)| at(name)(MapError::IoError(error)))?;
        Ok(Self { name, map, cpus, is_refused: Cell::new(false), of: PhantomData })
    }

    /// One entry, as each CPU has it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn one(&self, index: u32) -> Result<Vec<T>, MapAccessError> {
        let array = PerCpuArray::<_, T>::try_from(&self.map).map_err(at(self.name))?;
        Ok(array.get(&index, 0).map_err(at(self.name))?.to_vec())
    }

    /// Shows the entries below `count` to `see`, each by its index and as each CPU has it.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn each(&self, count: u32, mut see: impl FnMut(u32, &[T])) -> Result<(), MapAccessError> {
        let mut next = 0;
        while next < count && !self.is_refused.get() {
            match self.some(next, count - next) {
                Ok(values) => {
                    let entries = values.chunks_exact(self.cpus);
                    (next..).zip(entries).for_each(|(index, entry)| see(index, entry));
                    next += (values.len() / self.cpus) as u32;
                }
                // Older kernels, and those that only know it for other maps (`ENOTSUPP`, include/linux/errno.h).
                Err(error) if [Some(libc::EINVAL), Some(524)].contains(&error.raw_os_error()) => {
                    self.is_refused.set(true)
                }
                Err(error) => return Err(at(self.name)(MapError::IoError(error))),
            }
        }
        for index in next..count {
            see(index, &self.one(index)?);
        }
        Ok(())
    }

    /// Entries from `first` on, at most so many and at least one.
    fn some(&self, first: u32, most: u32) -> io::Result<Vec<T>> {
        let Map::PerCpuArray(data) = &self.map else { return Err(io::ErrorKind::Unsupported.into()) };
        let fits = CALL_BYTES / (size_of::<T>() * self.cpus);
        let entries = (most as usize).min(fits.max(1));
        let mut values = Vec::<T>::with_capacity(entries * self.cpus);
        let mut keys = vec![0u32; entries];
        let (after, mut last) = (first.wrapping_sub(1), 0u32);
        let mut batch = Batch {
            after: if first == 0 { 0 } else { (&raw const after) as u64 },
            last: (&raw mut last) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: entries as u32,
            map: data.fd().as_fd().as_raw_fd() as u32,
            ..Batch::default()
        };
        // SAFETY: the attribute is as long as its size says; its pointers are to room for a key before and behind, and for
        // `count` keys and values of each CPU, all of which lives until the call is over.
        let failed =
            unsafe { libc::syscall(libc::SYS_bpf, MAP_LOOKUP_BATCH, &raw mut batch, size_of::<Batch>()) };
        let error = io::Error::last_os_error();
        // The end of the array is said by ENOENT, with what there was before it.
        if failed != 0 && error.raw_os_error() != Some(libc::ENOENT) {
            return Err(error);
        }
        let read = (batch.count as usize).min(entries);
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: the kernel wrote the values of `read` entries, each with one `T` per possible CPU, and any bytes are a `T`.
        unsafe { values.set_len(read * self.cpus) };
        Ok(values)
    }
}
