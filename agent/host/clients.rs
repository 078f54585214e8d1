//! Who asks a running daemon something: a socket of root's, and few connections that are served in
//! between. None is waited for: one that says nothing, or does not read, goes.

mod client;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket, sockopt,
};
use nix::sys::stat::Mode;

use self::client::Client;
use super::lock;
use crate::error::{Result, trouble};

/// Where it can be asked.
pub(super) const SOCKET: &str = "/run/nodeprep/daemon.sock";
/// So many are served at a time,
const MOST: usize = 16;
/// and so many wait in the kernel's queue; where it is full too, curl gives up at once.
const QUEUE: i32 = 128;
/// So many of them may stay to hear what is news, so that the rest can ask.
const MOST_FOLLOWERS: usize = 8;
/// A local program asks at once and reads what it asked for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where the kernel lets nobody in (descriptors are exhausted), it is asked again after
const RETRY: Duration = Duration::from_secs(1);

/// The number of the socket itself, by which epoll(7) tells of it.
const LISTENER: u64 = 0;

/// What a client is answered.
#[derive(Debug)]
pub struct Reply {
    /// The answer.
    pub bytes: Vec<u8>,
    /// Whether it stays and is told what is news.
    pub follows: bool,
}

/// Makes the answer to what a client said so far, where that is a question; told with it is whether it
/// may stay.
pub type Answer<'a> = dyn FnMut(&[u8], bool) -> Option<Reply> + 'a;

/// The socket and who is connected.
#[derive(Debug)]
pub struct Clients {
    listener: UnixListener,
    /// Of all of them: it is one descriptor that others can wait for.
    epoll: Epoll,
    connected: BTreeMap<u64, Client>,
    next: u64,
    /// Whether epoll tells of who wants to connect.
    listens: bool,
    /// Until when the kernel is not asked for them.
    deaf: Duration,
    /// The directory, locked for as long as this listens: who was killed has no lock.
    _alone: File,
}

impl Clients {
    /// Listens, where no other daemon does; what one left that was killed is replaced.
    ///
    /// # Errors
    /// Where another one does, or the socket cannot be made.
    pub fn listen() -> Result<Self> {
        let failed = |error: std::io::Error| trouble!("{SOCKET}: {error}: it can't be asked");
        let alone = alone().map_err(failed)?;
        let Some(alone) = alone else {
            return Err(trouble!(
                "another daemon listens at {SOCKET}: this one can't be asked"
            ));
        };
        let listener = bound().map_err(failed)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        let mut clients = Self {
            listener,
            epoll: epoll.map_err(|error| failed(error.into()))?,
            connected: BTreeMap::new(),
            next: LISTENER + 1,
            listens: false,
            deaf: Duration::ZERO,
            _alone: alone,
        };
        clients.listen_or_not(Duration::ZERO);
        Ok(clients)
    }

    /// Lets in who wants to, hears and answers; drops whose time is over.
    pub fn serve(&mut self, now: Duration, answer: &mut Answer<'_>) {
        let mut ready = [EpollEvent::empty(); MOST + 1];
        // Interrupted, it is told again.
        let count = self.epoll.wait(&mut ready, EpollTimeout::ZERO).unwrap_or(0);
        for event in ready.iter().take(count) {
            match event.data() {
                LISTENER => self.accept(now),
                number => {
                    let may_follow = self.followers() < MOST_FOLLOWERS;
                    self.with(number, |client| client.hear(may_follow, answer));
                }
            }
        }
        let stays = |client: &Client| client.until.is_none_or(|until| until > now);
        self.connected.retain(|_, client| stays(client));
        self.listen_or_not(now);
    }

    /// Tells those who follow.
    pub fn tell(&mut self, line: &[u8]) {
        let follows = |(number, client): (&u64, &Client)| client.follows().then_some(*number);
        let followers: Vec<u64> = self.connected.iter().filter_map(follows).collect();
        for number in followers {
            self.with(number, |client| client.tell(line));
        }
    }

    /// Whether anyone follows.
    #[must_use]
    pub fn anyone_follows(&self) -> bool {
        self.followers() > 0
    }

    /// When somebody's time is over, if nothing happens before.
    #[must_use]
    pub fn until(&self) -> Option<Duration> {
        let deaf = (!self.listens && self.connected.len() < MOST).then_some(self.deaf);
        let clients = self.connected.values().filter_map(|client| client.until);
        clients.chain(deaf).min()
    }

    fn followers(&self) -> usize {
        let all = self.connected.values();
        all.filter(|client| client.follows()).count()
    }

    /// Lets a client do something; one that is done goes, and epoll(7) forgets what is closed.
    fn with(&mut self, number: u64, act: impl FnOnce(&mut Client) -> bool) {
        let Some(client) = self.connected.get_mut(&number) else {
            return;
        };
        let stays = act(client) && {
            let mut event = EpollEvent::new(client.awaits(), number);
            self.epoll.modify(&client.stream, &mut event).is_ok()
        };
        if !stays {
            self.connected.remove(&number);
        }
    }

    fn accept(&mut self, now: Duration) {
        while self.connected.len() < MOST {
            match self.listener.accept() {
                Ok((stream, _)) => self.let_in(stream, now),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => {
                        self.deaf = now + RETRY;
                        return;
                    }
                },
            }
        }
    }

    /// Root, and who runs this; the socket's mode lets in nobody else, and this does not rely on it.
    fn let_in(&mut self, stream: UnixStream, now: Duration) {
        let us = nix::unistd::geteuid().as_raw();
        let is_let_in = getsockopt(&stream, sockopt::PeerCredentials)
            .is_ok_and(|peer| [0, us].contains(&peer.uid()));
        let event = EpollEvent::new(EpollFlags::EPOLLIN, self.next);
        let can_be_served =
            || stream.set_nonblocking(true).is_ok() && self.epoll.add(&stream, event).is_ok();
        if !(is_let_in && can_be_served()) {
            return;
        }
        let client = Client::new(stream, now + PATIENCE);
        self.connected.insert(self.next, client);
        self.next += 1;
    }

    /// Who can't be let in must not wake us again and again.
    fn listen_or_not(&mut self, now: Duration) {
        let wanted = self.connected.len() < MOST && self.deaf <= now;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
        let done = match (self.listens, wanted) {
            (false, true) => self.epoll.add(&self.listener, event),
            (true, false) => self.epoll.delete(&self.listener),
            _ => return,
        };
        match done {
            Ok(()) => self.listens = wanted,
            Err(_) => self.deaf = now + RETRY,
        }
    }
}

impl AsFd for Clients {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // The next daemon would replace it, but who asks meanwhile is to hear that there is none.
        let _ = std::fs::remove_file(SOCKET);
    }
}

/// The socket's directory, locked; none where another daemon has it locked.
fn alone() -> std::io::Result<Option<File>> {
    lock::make_directory()?;
    let directory = File::open(Path::new(SOCKET).parent().unwrap_or(Path::new("/")))?;
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

fn bound() -> std::io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // The file has the mode that the socket has before it has a name (net/unix/af_unix.c, `unix_bind`):
    // at no moment can others connect.
    nix::sys::stat::fchmod(&socket, Mode::from_bits_truncate(0o600))?;
    match nix::unistd::unlink(SOCKET) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    bind(socket.as_raw_fd(), &UnixAddr::new(SOCKET)?)?;
    listen(&socket, Backlog::new(QUEUE)?)?;
    Ok(socket.into())
}
