//! A kernel that has no system calls newer than Linux 3.10's, CentOS 7's: a seccomp filter answers the
//! others as an old kernel would, for this process and all it becomes.
#![allow(unsafe_code)] // prctl(2) takes a pointer

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{BPF_ABS, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog};

/// As the first argument of the test program: become the command that follows, on such a kernel.
pub const ENTER: &str = "--on-an-old-kernel";

/// finit_module(2), Linux 3.8, is the last call 3.10 has: arch/x86/syscalls/syscall_64.tbl and
/// include/uapi/asm-generic/unistd.h (arm64 and those after it). Numbers were only ever appended.
const LAST: u32 = if cfg!(target_arch = "x86_64") {
    313
} else {
    273
};

/// Runs a command on such a kernel, in place of this process.
pub fn enter(command: &[OsString]) -> ! {
    install().unwrap();
    let [program, arguments @ ..] = command else {
        panic!("no command")
    };
    panic!(
        "{program:?}: {}",
        Command::new(program).args(arguments).exec()
    );
}

fn install() -> std::io::Result<()> {
    let op = |code: u32, jt, jf, k| sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    // The number is the first word of struct seccomp_data (seccomp(2)).
    let mut filter = [
        op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0),
        op(BPF_JMP | BPF_JGT | BPF_K, 0, 1, LAST),
        op(
            BPF_RET | BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32,
        ),
        op(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: the program and the filter it points to outlive the call, which copies both.
    match unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
