//! Memory that is needed for a moment only.

/// From this size on, what is allocated has pages of its own, which go back to the system with it.
#[cfg(target_env = "gnu")]
const OWN_PAGES_BYTES: libc::c_int = 128 << 10;

/// Lets all threads take memory from one place. Threads that hook up targets would each get a place of their own, and leave
/// 12 MiB behind in it. And keeps from that place what is large: with the first of its kind freed, the allocator would take all
/// others from there (M_MMAP_THRESHOLD in mallopt(3)), and small things behind them would keep their pages. To be called
/// before there is a second thread.
pub fn share() {
    #[cfg(target_env = "gnu")]
    // SAFETY: each takes two numbers, and changes only where memory comes from (mallopt(3)).
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
    }
}

/// Gives back to the system what was freed. The allocator keeps what a start takes, reading the kernel's type information
/// above all: more than ten MiB for as long as the agent runs.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, and touches only what is not in use (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets go of the pages of this program's code that were run or read so far. What goes on running comes back from the page cache as
/// it is touched; what only a start needs is not counted as held by this process for as long as it runs.
pub fn let_go_of_code() {
    // SAFETY: the function is called while this call lasts, and takes no data.
    unsafe {
        libc::dl_iterate_phdr(Some(let_go_of_program), std::ptr::null_mut());
    }
}

/// Of the first object, which is the program itself: what is loaded from its file and cannot be written. Not of libraries, which may
/// be others' and changed when they were loaded.
unsafe extern "C" fn let_go_of_program(
    object: *mut libc::dl_phdr_info,
    _bytes: libc::size_t,
    _data: *mut libc::c_void,
) -> libc::c_int {
    let page = rustix::param::page_size();
    // SAFETY: dl_iterate_phdr(3) describes an object that stays loaded until this returns.
    let (base, headers) = unsafe {
        let object = &*object;
        (object.dlpi_addr as usize, std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()))
    };
    let is_read_only =
        |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0;
    for segment in headers.iter().filter(is_read_only) {
        let (first, bytes) = (base.wrapping_add(segment.p_vaddr as usize), segment.p_memsz as usize);
        let begin = first.next_multiple_of(page);
        let end = first.wrapping_add(bytes) / page * page;
        if begin < end {
            // SAFETY: whole pages of a segment that nobody writes: the linker puts what the loader changes elsewhere. They are as in
            // the file and read again from there; only what a debugger put into them is lost. Where that does not work,
            // nothing changes.
            unsafe {
                libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_DONTNEED);
            }
        }
    }
    // The rest need not be gone through.
    1
}

#[cfg(test)]
mod tests {
    /// In KiB, of what is mapped from files.
    fn held() -> u64 {
        let status =
            std::fs::read_to_string("/proc/self/status").expect("what the kernel says of this process");
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("Linux 4.5 or later");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    #[test]
    fn code_that_was_let_go_of_is_not_held_and_runs_on() {
        let before = held();
        super::let_go_of_code();
        let after = held();
        assert!(after < before, "{before} KiB, then {after} KiB");
    }
}
