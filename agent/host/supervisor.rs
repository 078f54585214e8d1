//! The service manager that started this process, if one did: it is told when the daemon is ready,
//! what it does, and that it still does (sd_notify(3); a line an assignment in one datagram).

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::error::{Result, trouble};

/// Where to tell, and how often.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    /// It has to hear of us this often.
    pub watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one the environment names; one that hears nothing where it names none.
    ///
    /// # Errors
    /// Where it names one that cannot be reached.
    pub fn of_environment() -> Result<Self> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
            return Ok(Self::default());
        };
        let shown = name.display();
        let failed = |error: std::io::Error| trouble!("NOTIFY_SOCKET={shown}: {error}");
        let socket = UnixDatagram::unbound().map_err(failed)?;
        // A manager that is being replaced must not hold us up.
        socket.set_nonblocking(true).map_err(failed)?;
        let address = address(&name).map_err(failed)?;
        socket.connect_addr(&address).map_err(failed)?;
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|_| is_ours);
        Ok(Self {
            socket: Some(socket),
            watchdog: watchdog.map(Duration::from_micros),
        })
    }

    /// Tells it; what it does not hear it has to do without.
    pub fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(text.as_bytes());
        }
    }

    /// It hears nothing of us for so long, as a run has begun, or as often as before again.
    pub fn expect_silence(&self, time: Option<Duration>) {
        if let Some(usual) = self.watchdog {
            let time = time.unwrap_or(usual).as_micros();
            self.tell(&format!("WATCHDOG_USEC={time}\nWATCHDOG=1"));
        }
    }
}

/// Whether what is printed goes to journald (systemd.exec(5), `$JOURNAL_STREAM`).
#[must_use]
pub fn prints_to_journald() -> bool {
    let (Ok(stream), Ok(own)) = (
        std::env::var("JOURNAL_STREAM"),
        nix::sys::stat::fstat(std::io::stdout()),
    ) else {
        return false;
    };
    stream == format!("{}:{}", own.st_dev, own.st_ino)
}

/// A path, or with an `@` a name that is none.
fn address(name: &OsStr) -> std::io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}
