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

/// Lets go of the pages of programs and libraries that were run or read so far. What goes on running comes back from the page
/// cache as it is touched; what only a start needs (two thirds) is not counted as held by this process for as long as it runs.
pub fn let_go_of_code() {
    // SAFETY: the function is called for each object while this call lasts, and takes no data.
    unsafe {
        libc::dl_iterate_phdr(Some(let_go_of_object), std::ptr::null_mut());
    }
}

/// Of one object: what is loaded from its file and cannot be written, so that nothing is lost with it.
unsafe extern "C" fn let_go_of_object(
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
        let begin = (base + segment.p_vaddr as usize).next_multiple_of(page);
        let end = (base + (segment.p_vaddr + segment.p_memsz) as usize) / page * page;
        if begin < end {
            // SAFETY: whole pages of a segment that nobody may write: they are as in the file, and read again from there.
            // Where that does not work, nothing changes.
            unsafe {
                libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_DONTNEED);
            }
        }
    }
    0
}
