//! Taking bytes out of what is open: files that tell their size and those of /proc that don't, extended
//! attributes.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::host::Host;

/// First buffer for `/proc/sys`: the kernel allocates and zeroes as much as the buffer given to
/// read(2) (fs/proc/proc_sysctl.c, `proc_sys_call_handler`), and nearly all values are shorter.
pub(super) const SYSCTL_BUFFER: usize = 128;
/// First buffer for other files that tell no size.
pub(super) const PROC_BUFFER: usize = 4096;
/// The kernel's limit for one value and for the list of names (xattr(7), XATTR_SIZE_MAX).
const LARGEST_ATTRIBUTE: usize = 64 << 10;

/// Reads to the end of a file, starting with a buffer of `first` bytes. `whole`: one that fills its
/// reader's buffer while it has bytes, as regular files (read(2)) and /proc/sys do and other files
/// of /proc don't, so that a shorter read was the last.
pub(super) fn read_all(mut file: File, first: usize, whole: bool) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; first];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..) {
        match file.read(room) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        }
        match filled == bytes.len() {
            true => bytes.resize(filled * 2, 0),
            false if whole => break,
            false => continue,
        }
        // Vectors of /proc/sys can't be continued (kernel/sysctl.c, `__do_proc_dointvec`).
        if whole {
            file.rewind()?;
            filled = 0;
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Extended attributes of an open file: names with values.
pub(in crate::host) fn attributes(fd: impl AsFd) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0u8; LARGEST_ATTRIBUTE];
    let length = match rustix::fs::flistxattr(&fd, names.as_mut_slice()) {
        Ok(length) => length,
        // The file system has no attributes, then there are none to keep.
        Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    names.truncate(length);
    let mut all = Vec::new();
    for name in names.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0u8; LARGEST_ATTRIBUTE];
        let length = rustix::fs::fgetxattr(&fd, &name, value.as_mut_slice())?;
        value.truncate(length);
        all.push((name, value));
    }
    Ok(all)
}

/// A kernel value as it is now, past what is remembered.
pub(in crate::host) fn read_kernel(host: &Host, path: &Path) -> std::io::Result<String> {
    let fd = host.open(path, OFlag::O_RDONLY)?;
    let bytes = read_all(File::from(fd), SYSCTL_BUFFER, true)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
