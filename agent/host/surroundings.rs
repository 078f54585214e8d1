//! What a process inherits from whoever started it must not change what it does as root: the mask for
//! modes, limits that kill, and whether a core dump may hold the files it has read.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::stat::Mode;
use signal_hook::consts::{SIGIO, SIGXFSZ};

/// For this program and those it starts. The modes that matter are set by themselves.
const UMASK: Mode = Mode::S_IWGRP.union(Mode::S_IWOTH);

/// Makes this process the same whatever started it; before anything else is done.
///
/// The rest of what is inherited is dealt with elsewhere: std opens closed standard descriptors on
/// /dev/null and ignores SIGPIPE; programs are started with an environment of their own
/// ([`super::Host::run`]).
pub fn leave_surroundings() {
    nix::sys::stat::umask(UMASK);
    // A write beyond RLIMIT_FSIZE is to fail (EFBIG), not to kill in the middle of a step; and the
    // lease we take to see whether a file is being written must not kill when somebody opens it
    // (fcntl(2), F_SETLEASE). Handlers, as ignored signals would be inherited by other programs.
    for signal in [SIGXFSZ, SIGIO] {
        // Refused for signals that don't exist only (sigaction(2)).
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
    // Root's memory holds files that others may not read; anybody else's only what they may. And for
    // others a process that is not dumpable can't look at all of its own /proc (proc(5)).
    if nix::unistd::geteuid().is_root() {
        // It fails for arguments other than 0 and 1 (prctl(2), PR_SET_DUMPABLE).
        let _ = nix::sys::prctl::set_dumpable(false);
    }
}
