//! Just enough of HTTP/1.1 (RFC 9112) that curl, a scraper and our own commands can ask the daemon: one
//! request a connection, without a body, and an answer that ends with the connection.

use crate::error::{Result, trouble};

/// What curl sends has some hundred bytes; who sends more than this has another purpose.
pub const LARGEST_REQUEST: usize = 4096;
/// Before the paths of this version of the answers; without it the same is meant.
const VERSION: &str = "/v1";

/// The media type of a JSON document.
pub const JSON: &str = "application/json";
/// Of a stream of JSON documents, one a line.
pub const JSON_LINES: &str = "application/x-ndjson";
/// Of Prometheus' text format, with its version
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
pub const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// How things stand.
    Status,
    /// What is news from now on.
    Events,
    /// Numbers for Prometheus.
    Metrics,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is no request.
    Malformed,
    /// There is no such thing.
    Path,
    /// It can only be got.
    Method,
    /// Too many follow the news already.
    Crowd,
}

impl Request {
    /// Where it is asked for.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Status => "/v1/status",
            Self::Events => "/v1/events",
            Self::Metrics => "/metrics",
        }
    }

    /// What a client's bytes so far ask for; none where more are to come.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<std::result::Result<Self, Refusal>> {
        let is_full = bytes.len() >= LARGEST_REQUEST;
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            return is_full.then_some(Err(Refusal::Malformed));
        };
        let (line, rest) = bytes.split_at_checked(end)?;
        match Self::of_line(line) {
            Err(Refusal::Malformed) => Some(Err(Refusal::Malformed)),
            // A line may end without its CR (RFC 9112, 2.2).
            asked if rest.windows(2).any(|two| two == b"\n\n") => Some(asked),
            asked if rest.windows(3).any(|three| three == b"\n\r\n") => Some(asked),
            _ => is_full.then_some(Err(Refusal::Malformed)),
        }
    }

    fn of_line(line: &[u8]) -> std::result::Result<Self, Refusal> {
        let line = std::str::from_utf8(line).map_err(|_| Refusal::Malformed)?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        let (method, target, protocol) = (word(), word(), word());
        let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_ours = ["HTTP/1.1", "HTTP/1.0"].contains(&protocol);
        if !is_method || !is_ours || !target.starts_with('/') || words.next().is_some() {
            return Err(Refusal::Malformed);
        }
        let path = target.split('?').next().unwrap_or_default();
        let asked = match path.strip_prefix(VERSION).unwrap_or(path) {
            "/status" => Self::Status,
            "/events" => Self::Events,
            "/metrics" => Self::Metrics,
            _ => return Err(Refusal::Path),
        };
        match method {
            "GET" => Ok(asked),
            _ => Err(Refusal::Method),
        }
    }

    /// The request as it is sent.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        // A host has to be named (RFC 9112, 3.2), and nothing is reached by it.
        format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.path()).into_bytes()
    }
}

/// An answer that is whole.
#[must_use]
pub fn answer(kind: &str, body: &str) -> Vec<u8> {
    whole("200 OK", &format!("Content-Type: {kind}\r\n"), body)
}

/// The begin of an answer that goes on for as long as the connection.
#[must_use]
pub fn stream(kind: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n").into_bytes()
}

/// The answer that there is none.
#[must_use]
pub fn refuse(refusal: Refusal) -> Vec<u8> {
    let (status, more, text) = match refusal {
        Refusal::Malformed => ("400 Bad Request", "", "expected GET /v1/status HTTP/1.1\n"),
        Refusal::Path => (
            "404 Not Found",
            "",
            "there are /v1/status, /v1/events and /metrics\n",
        ),
        Refusal::Method => ("405 Method Not Allowed", "Allow: GET\r\n", "only GET\n"),
        Refusal::Crowd => (
            "503 Service Unavailable",
            "",
            "too many follow the events already\n",
        ),
    };
    whole(status, &format!("Content-Type: text/plain\r\n{more}"), text)
}

fn whole(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Where the body of an answer begins; none where its head is not whole yet.
///
/// # Errors
/// Where it is no answer, or one that there is none.
pub fn body_of(bytes: &[u8]) -> Result<Option<usize>> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(end) = end else {
        return match bytes.len() >= LARGEST_REQUEST {
            true => Err(trouble!("the daemon's answer is no HTTP")),
            false => Ok(None),
        };
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    match head.strip_prefix("HTTP/1.1 ") {
        Some(head) if head.starts_with("200 ") => Ok(Some(end + 4)),
        Some(head) => {
            let status = head.lines().next().unwrap_or_default();
            Err(trouble!("the daemon answers {status}"))
        }
        None => Err(trouble!("the daemon's answer is no HTTP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_asked() {
        use Refusal::*;
        for (text, expected) in [
            (
                "GET /status HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
                Some(Ok(Request::Status)),
            ),
            ("GET /v1/status HTTP/1.0\r\n\r\n", Some(Ok(Request::Status))),
            ("GET /v1/events?x=1 HTTP/1.1\n\n", Some(Ok(Request::Events))),
            ("GET /metrics HTTP/1.1\r\n\r\n", Some(Ok(Request::Metrics))),
            ("", None),
            ("GET /status", None),
            ("GET /status HTTP/1.1\r\nHost: x\r\n", None),
            ("POST /status HTTP/1.1\r\nContent-Length: 9\r\n", None),
            ("POST /status HTTP/1.1\r\n\r\n", Some(Err(Method))),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Some(Err(Method))),
            ("GET / HTTP/1.1\r\n\r\n", Some(Err(Path))),
            ("GET /v1 HTTP/1.1\r\n\r\n", Some(Err(Path))),
            ("GET /v2/status HTTP/1.1\r\n\r\n", Some(Err(Path))),
            ("POST /x HTTP/1.1\r\n\r\n", Some(Err(Path))),
            ("\r\n", Some(Err(Malformed))),
            ("get /status HTTP/1.1\r\n\r\n", Some(Err(Malformed))),
            ("GET http://x/status HTTP/1.1\r\n\r\n", Some(Err(Malformed))),
            ("GET /status HTTP/2.0\r\n\r\n", Some(Err(Malformed))),
            ("GET  /status HTTP/1.1\r\n\r\n", Some(Err(Malformed))),
            ("GET /status HTTP/1.1 x\r\n\r\n", Some(Err(Malformed))),
            ("GET /status\n", Some(Err(Malformed))),
        ] {
            assert_eq!(Request::parse(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(Request::parse(b"\xff\xfe\n"), Some(Err(Malformed)));
        let endless = "GET /status HTTP/1.1\r\nX: ".to_owned() + &"x".repeat(LARGEST_REQUEST);
        assert_eq!(Request::parse(endless.as_bytes()), Some(Err(Malformed)));
        let line = [b'G'; LARGEST_REQUEST];
        assert_eq!(Request::parse(&line), Some(Err(Malformed)));
    }

    #[test]
    fn what_we_ask_and_answer_is_understood() {
        for request in [Request::Status, Request::Events, Request::Metrics] {
            assert_eq!(Request::parse(&request.to_bytes()), Some(Ok(request)));
        }
        let bytes = answer(JSON, "{}");
        assert_eq!(body_of(&bytes).unwrap(), Some(bytes.len() - 2));
        let bytes = stream(JSON_LINES);
        assert_eq!(body_of(&bytes).unwrap(), Some(bytes.len()));
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\n").unwrap(), None);
        let refused = body_of(&refuse(Refusal::Crowd)).unwrap_err().to_string();
        assert_eq!(refused, "the daemon answers 503 Service Unavailable");
        assert!(body_of(b"220 smtp\r\n\r\n").is_err());
        assert!(body_of(&[b'x'; LARGEST_REQUEST]).is_err());
    }

    proptest! {
        /// What was decided of the begin is not decided otherwise by more.
        #[test]
        fn no_bytes_are_too_much(bytes in "[GET /v1statuHP.\r\n\u{ff}]{0,80}") {
            let bytes = bytes.as_bytes();
            let mut known = None;
            for end in 0..=bytes.len() {
                let now = Request::parse(&bytes[..end]);
                prop_assert!(known.is_none() || known == now);
                known = now;
                let _ = body_of(&bytes[..end]);
            }
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let asked = Request::parse(&bytes);
            prop_assert!(bytes.len() < LARGEST_REQUEST || asked.is_some());
            let _ = body_of(&bytes);
        }
    }
}
