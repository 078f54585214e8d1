//! System calls that no safe library offers: the only unsafe code of the program.
#![allow(unsafe_code)] // each call has its reason beside it

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

/// swapoff(2). Blocks until everything in the area is back in memory.
pub(super) fn swapoff(area: &Path) -> std::io::Result<()> {
    let area = CString::new(area.as_os_str().as_bytes())?;
    // SAFETY: the argument is a NUL-terminated string that outlives the call; the call keeps no
    // pointer and touches no memory of ours.
    match unsafe { libc::swapoff(area.as_ptr()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// swapon(2). A priority below zero is the kernel's own choice (mm/swapfile.c, `least_priority`).
pub(super) fn swapon(area: &Path, priority: i32) -> std::io::Result<()> {
    const SWAP_FLAG_PREFER: i32 = 0x8000;
    const SWAP_FLAG_PRIO_MASK: i32 = 0x7fff;
    let flags = match priority {
        ..0 => 0,
        chosen => SWAP_FLAG_PREFER | (chosen & SWAP_FLAG_PRIO_MASK),
    };
    let area = CString::new(area.as_os_str().as_bytes())?;
    // SAFETY: as for swapoff.
    match unsafe { libc::swapon(area.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Whether a process has a file open for writing, or mapped so. The kernel lends out nothing of such
/// a file (fcntl(2), F_SETLEASE; fs/locks.c, `check_conflicting_open`); a file system that lends
/// nothing at all can't tell, and it counts as not.
pub(super) fn is_being_written(file: &impl AsFd) -> bool {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: these commands take an integer, and change nothing but the lease of a descriptor that
    // is open for as long as it is borrowed.
    let lease = |kind: libc::c_int| unsafe { libc::fcntl(fd, libc::F_SETLEASE, kind) };
    let refused = Errno::result(lease(libc::F_RDLCK)) == Err(Errno::EAGAIN);
    // Given back at once: who opens the file for writing would have to wait for it.
    lease(libc::F_UNLCK);
    refused
}

/// getsockopt(2) for an option that reads its question from the buffer it answers into, as those of
/// legacy iptables do.
pub(super) fn table_option(
    socket: &impl AsFd,
    level: i32,
    option: i32,
    buffer: &mut [u8],
) -> nix::Result<()> {
    let mut length = libc::socklen_t::try_from(buffer.len()).map_err(|_| Errno::EOVERFLOW)?;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the buffer is ours, initialised and as long as `length` says, of which the kernel writes
    // no more; both pointers outlive the call and the kernel keeps neither.
    let answer = unsafe {
        libc::getsockopt(
            fd,
            level,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(answer).map(drop)
}

/// adjtimex(2) that asks only: whether the clock is synchronised, and by how many microseconds it may
/// be wrong.
pub(super) fn clock_state() -> std::io::Result<(bool, libc::c_long)> {
    // SAFETY: timex is plain numbers, for which zeros are values; `modes` 0 asks and changes nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the struct is ours, initialised, and outlives the call.
    match unsafe { libc::adjtimex(&raw mut state) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok((state.status & libc::STA_UNSYNC == 0, state.maxerror)),
    }
}

/// settimeofday(2) with a time zone alone: the kernel, which sets the hardware clock every eleven
/// minutes, does so in UTC from now on (kernel/time/ntp.c, `sync_hw_clock`).
pub(super) fn kernel_zone_is_utc() -> std::io::Result<()> {
    #[repr(C)]
    struct Zone {
        minutes_west: libc::c_int,
        dst_time: libc::c_int,
    }
    let zone = Zone {
        minutes_west: 0,
        dst_time: 0,
    };
    // SAFETY: both are pointers the kernel only reads: none, and two integers that outlive the call
    // (struct timezone, settimeofday(2)).
    match unsafe { libc::settimeofday(std::ptr::null(), (&raw const zone).cast()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
