//! System calls that no safe library offers: the only unsafe code of the program.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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
