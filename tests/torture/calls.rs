//! Which calls change a host, and how each can fail: an error that the kernel never gives would test
//! nothing, and one that it can give must lose nothing.

use libc::{
    CLONE_THREAD, SYS_clone3, SYS_close, SYS_fchmod, SYS_fchown, SYS_fdatasync, SYS_fgetxattr,
    SYS_flistxattr, SYS_flock, SYS_fsetxattr, SYS_fstat, SYS_fsync, SYS_getdents64, SYS_linkat,
    SYS_mkdirat, SYS_newfstatat, SYS_pipe2, SYS_read, SYS_readlink, SYS_readlinkat, SYS_recvfrom,
    SYS_renameat, SYS_renameat2, SYS_sendto, SYS_socket, SYS_statx, SYS_symlinkat, SYS_unlinkat,
    SYS_vfork, SYS_write,
};
use nix::errno::Errno::{
    self, EACCES, EAGAIN, EDQUOT, EINTR, EIO, EMFILE, ENFILE, ENOBUFS, ENOLCK, ENOMEM, ENOSPC,
    EPERM, EROFS,
};

use crate::trace::{Call, PAIR, Place};

/// Letters shown of a path, or of what is written.
const SHOWN: usize = 60;

/// O_WRONLY, O_RDWR, O_CREAT and O_TRUNC.
const WRITES: u64 = 0o1103;

/// A call's name, whether it changes the host, and what it can fail with.
struct Kind {
    number: i64,
    name: &'static str,
    changes: bool,
    errors: &'static [Errno],
}

/// A disk that fails, is full, over quota, or was remounted read-only after an error; a policy that
/// refuses; an interruption, as NFS and FUSE can give where a local disk never does.
const CHANGING: &[Errno] = &[ENOSPC, EIO, EACCES, EINTR, EROFS, EDQUOT, ENOMEM];
const LOOKING: &[Errno] = &[EIO, EACCES, EINTR, ENOMEM];
const ASKING: &[Errno] = &[ENOBUFS, ENOMEM, EINTR];
const STARTING: &[Errno] = &[EAGAIN, ENOMEM];

macro_rules! kinds {
    ($($number:ident $changes:literal $errors:expr;)*) => {
        &[$(Kind { number: $number, name: stringify!($number), changes: $changes, errors: $errors }),*]
    };
}

/// Not among them: memory (mmap, brk), where the program ends as it does when killed; what only it
/// itself can get wrong (fcntl, lseek, ioctl); what cannot fail (getpid, exit_group) or is only how a
/// program begins (arch_prctl, rt_sigaction).
const KINDS: &[Kind] = kinds! {
    SYS_write true &[ENOSPC, EIO, EINTR, EROFS, EDQUOT];
    SYS_fsync true &[EIO, ENOSPC, EDQUOT, EINTR, EROFS];
    SYS_fdatasync true &[EIO, ENOSPC, EDQUOT, EINTR, EROFS];
    SYS_renameat true CHANGING;
    SYS_renameat2 true CHANGING;
    SYS_linkat true CHANGING;
    SYS_symlinkat true CHANGING;
    SYS_unlinkat true &[EIO, EACCES, EINTR, EROFS, EPERM, ENOMEM];
    SYS_mkdirat true CHANGING;
    SYS_fchmod true &[EIO, EPERM, EINTR, EROFS];
    SYS_fchown true &[EIO, EPERM, EINTR, EROFS, EDQUOT];
    SYS_fsetxattr true &[EIO, ENOSPC, EPERM, EACCES, EINTR, EROFS, EDQUOT];
    // The data was made durable before: nothing can be lost by it (close(2), NFS and quota).
    SYS_close false &[EIO, EINTR];
    SYS_read false &[EIO, EINTR];
    SYS_flistxattr false &[EIO, EACCES, ENOMEM];
    SYS_fgetxattr false &[EIO, EACCES, ENOMEM];
    SYS_fstat false &[EIO, ENOMEM];
    SYS_newfstatat false LOOKING;
    SYS_statx false LOOKING;
    SYS_readlink false LOOKING;
    SYS_readlinkat false LOOKING;
    SYS_getdents64 false &[EIO, EINTR];
    SYS_flock false &[EINTR, ENOLCK, ENOMEM];
    SYS_socket false &[ENOBUFS, ENOMEM, EMFILE];
    SYS_sendto false ASKING;
    SYS_recvfrom false ASKING;
    SYS_pipe2 false &[EMFILE, ENFILE];
    SYS_clone3 true STARTING;
    SYS_vfork true STARTING;
};

impl Call {
    fn kind(&self) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.number == self.place.number)
    }

    /// open(2)'s flags, where it is one of its kind.
    fn flags(&self) -> Option<u64> {
        match self.place.number {
            libc::SYS_openat => Some(self.arguments[2]),
            libc::SYS_openat2 => Some(self.third),
            _ => None,
        }
    }

    /// Whether it changes what others can see.
    pub fn changes(&self) -> bool {
        match self.flags() {
            Some(flags) => flags & WRITES != 0,
            None => self.kind().is_some_and(|kind| kind.changes),
        }
    }

    /// What it can fail with. A thread that can't be had is left out: std ends the program by a panic,
    /// which is a kill with a message.
    pub fn errors(&self) -> &'static [Errno] {
        let clones = self.place.number == SYS_clone3;
        match self.flags() {
            _ if self.is_in_memory() => &[],
            _ if clones && self.first & CLONE_THREAD as u64 != 0 => &[],
            Some(flags) if flags & WRITES != 0 => {
                &[ENOSPC, EIO, EACCES, EINTR, EROFS, EDQUOT, ENOMEM, EMFILE]
            }
            Some(_) => &[EIO, EACCES, EINTR, ENOMEM, EMFILE, ENFILE],
            None => self.kind().map_or(&[], |kind| kind.errors),
        }
    }

    /// Whether it is about a pipe or the like: no disk is behind it that could fail.
    fn is_in_memory(&self) -> bool {
        let on_file = [SYS_read, SYS_write, SYS_close].contains(&self.place.number);
        // By such a pair std hears of a child that it starts. To take a packet nothing is allocated
        // (net/unix/af_unix.c, `__unix_dgram_recvmsg`): it has no error but an interruption.
        let on_pair = self.place.number == SYS_recvfrom && self.file == PAIR;
        on_pair || on_file && !self.file.starts_with('/')
    }

    /// Whether it may do less than it is asked to.
    pub fn can_be_short(&self) -> bool {
        self.place.number == SYS_write && may_be_short(&self.file, self.arguments[2])
    }

    /// Its name, how many of that name are before it, and its path: for a report.
    pub fn shown(&self) -> String {
        let Place { number, nth } = self.place;
        let name = match number {
            libc::SYS_openat => "openat".to_owned(),
            libc::SYS_openat2 => "openat2".to_owned(),
            _ => match self.kind() {
                Some(kind) => kind.name.trim_start_matches("SYS_").to_owned(),
                None => format!("call {number}"),
            },
        };
        let path: String = self.path.chars().take(SHOWN).collect();
        format!("{name}[{nth}] {}", path.escape_default())
    }
}

/// Whether a write to a file, of so many bytes, may do less (write(2)).
pub fn may_be_short(file: &str, length: u64) -> bool {
    file.starts_with('/') && !file.starts_with("/proc") && length > 1
}
