//! Asking a running daemon. It may be in the middle of a run, or not be one of ours: what it says has a
//! limit in time and size.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::clients::SOCKET;
use crate::daemon::http::{Request, body_of};
use crate::error::{Error, Result, trouble};

/// It answers at once, but where it is in the middle of a look; a run may take longer.
const LIMIT: Duration = Duration::from_secs(10);
/// Twenty times what an answer has that leaves nothing out.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// How much is read at a time.
const CHUNK: usize = 16 * 1024;

/// What a daemon answers.
#[derive(Debug)]
pub struct Told {
    stream: UnixStream,
    /// What came and was not taken yet.
    bytes: Vec<u8>,
}

impl Told {
    /// Asks the daemon of this host, and reads on until the body of its answer begins.
    ///
    /// # Errors
    /// Where none listens, it is not ours to ask, or it does not answer in time.
    pub fn ask(request: Request) -> Result<Self> {
        let stream = connected().map_err(refused)?;
        let mut told = Self {
            stream,
            bytes: Vec::new(),
        };
        let sent = told.stream.write_all(&request.to_bytes());
        sent.map_err(|error| cut_off(&error))?;
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(begin) = body_of(&told.bytes)? {
                told.bytes.drain(..begin);
                return Ok(told);
            }
            if !told.read(Some(until))? {
                return Err(trouble!("{SOCKET}: the daemon ended without an answer"));
            }
        }
    }

    /// All of the body.
    ///
    /// # Errors
    /// Where it does not end in time, or is too long.
    pub fn whole(mut self) -> Result<Vec<u8>> {
        let until = Instant::now() + LIMIT;
        while self.read(Some(until))? {}
        Ok(self.bytes)
    }

    /// The next line of the body, waited for; none where it has ended.
    ///
    /// # Errors
    /// Where the connection is lost, or the line is too long.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.bytes.drain(..=end).collect()));
            }
            if !self.read(None)? {
                return Ok(None);
            }
        }
    }

    /// Reads some more, until then at the latest; tells whether there was any.
    fn read(&mut self, until: Option<Instant>) -> Result<bool> {
        // A timeout of nothing is none.
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(|left| left.max(Duration::from_millis(1)));
        let mut chunk = [0; CHUNK];
        let read = self.stream.set_read_timeout(left);
        match read.and_then(|()| self.stream.read(&mut chunk)) {
            Ok(length) => {
                self.bytes
                    .extend_from_slice(chunk.get(..length).unwrap_or_default());
                match self.bytes.len() > LARGEST_ANSWER {
                    true => Err(trouble!("{SOCKET}: the daemon's answer has no end")),
                    false => Ok(length > 0),
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(cut_off(&error)),
        }
    }
}

fn connected() -> nix::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // It is also how long connect(2) waits where the queue is full (net/unix/af_unix.c,
    // `unix_stream_connect`).
    let limit = TimeVal::seconds(LIMIT.as_secs().try_into().unwrap_or(i64::MAX));
    setsockopt(&socket, sockopt::SendTimeout, &limit)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(SOCKET)?)?;
    Ok(socket.into())
}

fn refused(error: Errno) -> Error {
    match error {
        Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOTDIR => trouble!(
            "no daemon listens at {SOCKET}: `systemctl start nodeprep`, or look without one by `nodeprep check`"
        ),
        Errno::EACCES | Errno::EPERM => {
            Error::NotRoot(format!("{SOCKET} is root's: ask the daemon as root (sudo)"))
        }
        error => cut_off(&error.into()),
    }
}

fn cut_off(error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => trouble!(
            "{SOCKET}: no answer within {} s: the daemon is in the middle of a run, or hangs",
            LIMIT.as_secs()
        ),
        _ => trouble!("{SOCKET}: {error}"),
    }
}
