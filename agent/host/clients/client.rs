//! One who asks: what it said so far, and what it has not read yet.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::epoll::EpollFlags;

use super::{Answer, Reply};

/// Some thousand pieces of news: who has not read so much reads nothing.
const MOST_UNREAD: usize = 256 * 1024;
/// How much is read of a client at a time.
const CHUNK: usize = 1024;
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: UnixStream,
    said: Vec<u8>,
    unread: Vec<u8>,
    phase: Phase,
    /// When it goes.
    pub(super) until: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asks,
    IsAnswered,
    Follows,
}

impl Client {
    pub(super) fn new(stream: UnixStream, until: Duration) -> Self {
        Self {
            stream,
            said: Vec::new(),
            unread: Vec::new(),
            phase: Phase::Asks,
            until: Some(until),
        }
    }

    pub(super) fn follows(&self) -> bool {
        self.phase == Phase::Follows
    }

    /// What epoll(7) is to tell of it.
    pub(super) fn awaits(&self) -> EpollFlags {
        let heard = match self.phase {
            Phase::IsAnswered => EpollFlags::empty(),
            Phase::Asks | Phase::Follows => EpollFlags::EPOLLIN,
        };
        match self.unread.is_empty() {
            true => heard,
            false => heard | EpollFlags::EPOLLOUT,
        }
    }

    /// Hears a piece of what it says, and answers a question. Tells whether it stays.
    pub(super) fn hear(&mut self, may_follow: bool, answer: &mut Answer<'_>) -> bool {
        let mut chunk = [0; CHUNK];
        let length = match self.phase {
            Phase::IsAnswered => return self.send(),
            _ => self.stream.read(&mut chunk),
        };
        let said = match length {
            Ok(0) => return false,
            Ok(length) => chunk.get(..length).unwrap_or_default(),
            Err(error) => return may_try_again(&error) && self.send(),
        };
        // Who follows has nothing to say any more.
        if self.phase == Phase::Asks {
            self.said.extend_from_slice(said);
            if let Some(reply) = answer(&self.said, may_follow) {
                self.take(reply);
            }
        }
        self.send()
    }

    fn take(&mut self, reply: Reply) {
        self.said = Vec::new();
        self.unread = reply.bytes;
        self.phase = Phase::IsAnswered;
        if reply.follows {
            self.phase = Phase::Follows;
            self.until = None;
        }
    }

    /// Tells whether it stays: who does not read is not waited for.
    pub(super) fn tell(&mut self, line: &[u8]) -> bool {
        let has_room = self.unread.len() + line.len() <= MOST_UNREAD;
        if has_room {
            self.unread.extend_from_slice(line);
        }
        has_room && self.send()
    }

    /// Sends what can be sent now. Tells whether it stays.
    fn send(&mut self) -> bool {
        let mut sent = 0;
        while let Some(rest) = self.unread.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(length) if length > 0 => sent += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                _ => return false,
            }
        }
        self.unread.drain(..sent);
        self.phase != Phase::IsAnswered || !self.unread.is_empty()
    }
}

fn may_try_again(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(phase: Phase) -> (Client, UnixStream) {
        let (stream, other) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut client = Client::new(stream, Duration::MAX);
        client.phase = phase;
        (client, other)
    }

    #[test]
    fn who_does_not_read_goes() {
        let (mut client, _other) = client(Phase::Follows);
        let mut told = 0;
        while client.tell(&[b'x'; 1024]) {
            told += 1;
            assert!(told < 10_000 && client.unread.len() <= MOST_UNREAD);
        }
        assert!(told * 1024 > MOST_UNREAD);
        assert!(client.awaits().contains(EpollFlags::EPOLLOUT));
    }

    #[test]
    fn a_question_may_come_in_pieces_and_an_answer_go_so() {
        let (mut client, mut other) = client(Phase::Asks);
        let long = vec![b'x'; MOST_UNREAD];
        let mut answer = |said: &[u8], _: bool| {
            (said == b"what?").then(|| Reply {
                bytes: long.clone(),
                follows: false,
            })
        };
        for piece in [b"wh".as_slice(), b"at", b"?"] {
            other.write_all(piece).unwrap();
            assert!(client.hear(true, &mut answer));
        }
        assert_eq!(client.awaits(), EpollFlags::EPOLLOUT);
        let mut heard = Vec::new();
        let mut chunk = [0; CHUNK];
        while client.hear(true, &mut answer) {
            let length = other.read(&mut chunk).unwrap();
            heard.extend_from_slice(&chunk[..length]);
        }
        drop(client);
        other.read_to_end(&mut heard).unwrap();
        assert!(heard == long);
    }

    #[test]
    fn who_has_gone_goes() {
        for phase in [Phase::Asks, Phase::Follows] {
            let (mut client, other) = client(phase);
            drop(other);
            assert!(!client.hear(true, &mut |_, _| None));
        }
    }
}
