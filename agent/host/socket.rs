//! Asking whether a daemon listens on its unix socket.

use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::{Host, Origin};
use crate::error::{Result, trouble};

impl Host {
    /// Whether something accepts connections on a unix socket.
    ///
    /// # Errors
    /// Where that cannot be told: no permission, or a path too long for a socket.
    pub fn listens(&self, path: &Path) -> Result<bool> {
        let shown = path.display();
        match self.origin {
            Origin::Image => return Ok(false),
            Origin::Captured => return Ok(self.answers()?.listening.iter().any(|p| p == path)),
            Origin::Live => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)
            .map_err(|error| trouble!("socket: {}", error.desc()))?;
        let address = UnixAddr::new(path).map_err(|error| trouble!("{shown}: {}", error.desc()))?;
        match connect(fd.as_raw_fd(), &address) {
            // EAGAIN: it listens, its backlog is full (unix(7)).
            Ok(()) | Err(Errno::EAGAIN) => Ok(true),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ECONNREFUSED) => Ok(false),
            Err(error) => Err(trouble!("{shown}: {}", error.desc())),
        }
    }
}
