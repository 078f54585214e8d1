//! Container runtimes to talk to: one that is well, an old one, and some that are not.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::run::Ran;
use crate::space::{CRICTL, Space};

trials!(
    anyone: [],
    root: [well, old, without_cri, hanging, garbage, endless, gone]
);

/// A Status answer: its condition RuntimeReady is true.
const STATUS: &[u8] = b"\x0a\x12\x0a\x10\x0a\x0cRuntimeReady\x10\x01";
/// A Version answer: the runtime `fake`, 1.0.
const VERSION: &[u8] = b"\x12\x04fake\x1a\x031.0";

/// Answers the CRI calls of one version on this socket for as long as the tests run.
pub fn serve(path: &Path, cri: &'static str) {
    let listener = UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, cri));
            }
        });
    });
}

async fn answer(stream: tokio::net::UnixStream, cri: &str) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let path = request
            .uri()
            .path()
            .strip_prefix(&format!("/{cri}.RuntimeService/"));
        let message = match path {
            Some("Status") => STATUS,
            Some("Version") => VERSION,
            _ => {
                let head = Response::builder().header("grpc-status", "12");
                let head = head.header("grpc-message", "unknown service");
                respond.send_response(head.body(()).unwrap(), true).unwrap();
                continue;
            }
        };
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        let length = u8::try_from(message.len()).unwrap();
        let frame = [&[0, 0, 0, 0, length][..], message].concat();
        stream.send_data(Bytes::from(frame), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    }
}

/// A machine whose crictl.yaml is as wanted, so that only the runtime decides.
fn space() -> (Space, PathBuf) {
    let space = Space::new(CRICTL);
    let text = "runtime-endpoint: unix:///run/cri.sock\ntimeout: 10\n";
    crate::run::file(&space.path("etc/crictl.yaml"), text);
    let socket = space.path("run/cri.sock");
    (space, socket)
}

fn check(space: &Space) -> Ran {
    let begin = Instant::now();
    let ran = space.run(&["check"]);
    assert!(begin.elapsed() < Duration::from_secs(20), "{ran:#?}");
    ran
}

/// A runtime that accepts and then does this.
fn accepts(path: &Path, then: impl Fn(UnixStream) + Send + 'static) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            then(stream.unwrap());
        }
    });
}

fn well() {
    let (space, socket) = space();
    serve(&socket, "runtime.v1");
    check(&space).exits(0);
}

/// containerd before 1.6.
fn old() {
    let (space, socket) = space();
    serve(&socket, "runtime.v1alpha2");
    check(&space).exits(0);
}

fn without_cri() {
    let (space, socket) = space();
    serve(&socket, "nothing");
    let blocked = "no CRI on unix:///run/cri.sock (unknown service)";
    check(&space).exits(2).says(&[blocked]);
}

fn hanging() {
    let (space, socket) = space();
    accepts(&socket, std::mem::forget);
    check(&space)
        .exits(1)
        .says(&["/run/cri.sock: no answer within 5 s"]);
}

fn garbage() {
    let (space, socket) = space();
    accepts(&socket, |mut stream| {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        std::mem::forget(stream);
    });
    check(&space).exits(1).says(&["/run/cri.sock: no gRPC"]);
}

/// Frames that never end: settings, again and again.
fn endless() {
    let (space, socket) = space();
    accepts(&socket, |mut stream| {
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        while stream.write_all(&settings.repeat(1000)).is_ok() {}
    });
    check(&space).exits(1).says(&["/run/cri.sock: "]);
}

fn gone() {
    let (space, socket) = space();
    drop(UnixListener::bind(&socket).unwrap());
    let blocked = "nothing listens on unix:///run/cri.sock";
    check(&space).exits(2).says(&[blocked]);
}
