//! Asking a container runtime how it is: a daemon can be active with its CRI plugin in error, and
//! run with other settings than its files say, so only its own answer counts.
//!
//! The Container Runtime Interface is gRPC over a unix socket: HTTP/2 with one POST a call, a
//! message behind five bytes of length (grpc's doc/PROTOCOL-HTTP2.md). containerd before 1.6 speaks v1alpha2 only.

mod images;
mod messages;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use http::{HeaderMap, Request};
use prost::{DecodeError, Message};
use serde::Deserialize;
use tokio::net::UnixStream;

use super::{Host, Origin};
use crate::error::{Result, trouble};

pub use images::Images;
use messages::{ContainerdVersion, StatusRequest, StatusResponse, VersionRequest, VersionResponse};

/// A daemon that is well answers in a millisecond, one that has just started on a machine under load
/// has taken more than two seconds; beyond this it hangs.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// A verbose status has some 20 KiB; gRPC's own default limit for a message.
const LARGEST_ANSWER: usize = 4 << 20;
/// Runtimes answer with a handful of short headers.
const LARGEST_HEADERS: u32 = 16 << 10;
/// The CRI's versions, newest first: their calls here are the same.
const VERSIONS: [&str; 2] = ["runtime.v1", "runtime.v1alpha2"];
/// gRPC's code for a call that nobody serves (grpc's doc/statuscodes.md).
const UNIMPLEMENTED: &str = "12";

/// What is found at a runtime's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cri {
    /// A runtime that tells how it is.
    Answers(CriAnswer),
    /// A daemon without CRI, with its complaint and, where it is containerd, its version.
    Off(String, Option<String>),
    /// Nothing listens.
    Absent,
}

/// What a runtime tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriAnswer {
    /// Its name: containerd, cri-o.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Why it can't run containers, where it can't. The network, which is not ready before a CNI
    /// plugin is there, is not asked for.
    #[serde(default)]
    pub not_ready: Option<String>,
    /// The image of pods' first container; containerd tells it before 2.0.
    #[serde(default)]
    pub sandbox_image: Option<String>,
    /// Its OCI runtimes by name, and whether runc is told to leave cgroups to systemd.
    #[serde(default)]
    pub systemd_cgroup: BTreeMap<String, bool>,
}

impl CriAnswer {
    /// Reads the messages that answer `Status` and `Version`.
    ///
    /// # Errors
    /// What is no such message.
    pub fn parse(status: &[u8], version: &[u8]) -> std::result::Result<Self, DecodeError> {
        let (status, version) = (
            StatusResponse::decode(status)?,
            VersionResponse::decode(version)?,
        );
        Ok(Self::new(status, version))
    }

    fn new(status: StatusResponse, version: VersionResponse) -> Self {
        let conditions = status.status.unwrap_or_default().conditions;
        let runtime = conditions.into_iter().find(|c| c.name == "RuntimeReady");
        let not_ready = match runtime {
            Some(condition) if condition.status => None,
            Some(condition) => Some(format!("{}: {}", condition.reason, condition.message)),
            None => Some("no condition RuntimeReady".into()),
        };
        let config = status.info.get("config").map(String::as_str);
        // Other runtimes have no such text, or another.
        let config: serde_json::Value =
            serde_json::from_str(config.unwrap_or_default()).unwrap_or_default();
        let sandbox_image = config.get("sandboxImage").and_then(|image| image.as_str());
        let runtimes = config.pointer("/containerd/runtimes");
        let runtimes = runtimes.and_then(|runtimes| runtimes.as_object());
        // Up to 1.4 options are a type that prints as nothing (pkg/config, `Options *toml.Tree`).
        let tells = !["1.3.", "1.4."]
            .iter()
            .any(|old| version.version.starts_with(old));
        let cgroup = |runtime: &serde_json::Value| {
            let option = runtime.pointer("/options/SystemdCgroup");
            let told = option.and_then(serde_json::Value::as_bool);
            told.or(tells.then_some(false))
        };
        let systemd_cgroup = runtimes
            .into_iter()
            .flatten()
            .filter_map(|(name, runtime)| Some((name.clone(), cgroup(runtime)?)))
            .collect();
        Self {
            name: version.name,
            version: version.version,
            not_ready,
            sandbox_image: sandbox_image.map(str::to_owned),
            systemd_cgroup,
        }
    }
}

impl Host {
    /// What the runtime that listens on `socket` tells; asked once a run.
    ///
    /// # Errors
    /// Where that can't be told: no permission, no answer within 5 s, an answer that is none.
    pub fn cri(&self, socket: &Path) -> Result<Cri> {
        // A runtime that starts makes its socket anew.
        self.note_path(socket);
        if let Some(known) = self.runtimes.borrow().get(socket) {
            return known.clone();
        }
        let answer = match self.origin {
            Origin::Image => Ok(Cri::Absent),
            Origin::Captured => self
                .answers()
                .map(|mut answers| answers.cri.remove(socket).map_or(Cri::Absent, Cri::Answers)),
            Origin::Live => ask(socket),
        };
        let mut known = self.runtimes.borrow_mut();
        known.insert(socket.to_owned(), answer.clone());
        answer
    }
}

/// Asks, past what is remembered.
pub(super) fn ask(socket: &Path) -> Result<Cri> {
    match exchange(socket, TIME_LIMIT, talk)? {
        None => Ok(Cri::Absent),
        Some(Ok(answer)) => Ok(answer),
        Some(Err(refusal)) => Err(trouble!("{}: {refusal}", socket.display())),
    }
}

/// One connection, every call of `talk` on it; none where nothing listens.
fn exchange<T, F>(
    socket: &Path,
    limit: Duration,
    talk: impl FnOnce(SendRequest<Bytes>) -> F,
) -> Result<Option<std::result::Result<T, Refusal>>>
where
    F: Future<Output = std::result::Result<T, Refusal>>,
{
    let shown = socket.display();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| trouble!("{shown}: {error}"))?;
    let conversation = async {
        match connect(socket).await? {
            None => Ok(None),
            Some(client) => Ok(Some(talk(client).await)),
        }
    };
    let limited = async { tokio::time::timeout(limit, conversation).await };
    match runtime.block_on(limited) {
        Ok(answer) => answer,
        Err(_) => Err(trouble!(
            "{shown}: no answer within {} s: look at the runtime's log",
            limit.as_secs()
        )),
    }
}

async fn connect(socket: &Path) -> Result<Option<SendRequest<Bytes>>> {
    let failed = |error: String| trouble!("{}: {error}", socket.display());
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::ConnectionRefused => {
                    Ok(None)
                }
                _ => Err(failed(error.to_string())),
            };
        }
    };
    let mut builder = Builder::new();
    builder.max_header_list_size(LARGEST_HEADERS);
    let handshake = builder.handshake::<_, Bytes>(stream).await;
    let (client, connection) = handshake.map_err(|error| failed(error.to_string()))?;
    // The connection ends with the last call; what breaks it is told by the call it breaks.
    tokio::spawn(async { drop(connection.await) });
    Ok(Some(client))
}

async fn talk(mut client: SendRequest<Bytes>) -> std::result::Result<Cri, Refusal> {
    let mut complaint = String::new();
    for cri in VERSIONS {
        let service = format!("{cri}.RuntimeService");
        let status = StatusRequest { verbose: true };
        match call(&mut client, &service, "Status", &status).await {
            Ok(status) => {
                let request = VersionRequest::default();
                let version = call(&mut client, &service, "Version", &request).await?;
                return Ok(Cri::Answers(CriAnswer::parse(&status, &version)?));
            }
            Err(Refusal::Status { code, message }) if code == UNIMPLEMENTED => complaint = message,
            Err(refusal) => return Err(refusal),
        }
    }
    // containerd's own service (api/services/version/v1/version.proto) is there without CRI.
    let service = "containerd.services.version.v1.Version";
    let answer = call(&mut client, service, "Version", &VersionRequest::default()).await;
    let answer = answer.and_then(|bytes| Ok(ContainerdVersion::decode(bytes)?));
    let version = answer.ok().map(|answer| answer.version);
    Ok(Cri::Off(complaint, version))
}

/// Why a call has no answer.
#[derive(Debug)]
enum Refusal {
    /// The other side says so.
    Status {
        code: String,
        message: String,
    },
    Broken(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status { code, message } => write!(f, "gRPC status {code}: {message}"),
            Self::Broken(error) => write!(f, "no gRPC: {error}"),
        }
    }
}

impl From<h2::Error> for Refusal {
    fn from(error: h2::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// The message that answers a call.
async fn call(
    client: &mut SendRequest<Bytes>,
    service: &str,
    method: &str,
    message: &impl Message,
) -> std::result::Result<Bytes, Refusal> {
    let broken = |error: &dyn std::fmt::Display| Refusal::Broken(error.to_string());
    let request = Request::post(format!("http://localhost/{service}/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(|error| broken(&error))?;
    let mut ready = client.clone().ready().await?;
    let (response, mut body) = ready.send_request(request, false)?;
    body.send_data(frame(message), true)?;
    let (head, mut body) = response.await?.into_parts();
    if !head.status.is_success() {
        return Err(broken(&head.status));
    }
    refused(&head.headers)?;
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        if bytes.len() + chunk.len() > LARGEST_ANSWER {
            return Err(broken(&format_args!("more than {LARGEST_ANSWER} bytes")));
        }
        bytes.put(chunk);
    }
    refused(&body.trailers().await?.unwrap_or_default())?;
    unframe(bytes.freeze()).ok_or_else(|| broken(&"a message cut short"))
}

/// One byte that says "not compressed", four of length, the message.
fn frame(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    frame.freeze()
}

fn unframe(mut bytes: Bytes) -> Option<Bytes> {
    if bytes.remaining() < 5 || bytes.get_u8() != 0 {
        return None;
    }
    let length = usize::try_from(bytes.get_u32()).ok()?;
    (bytes.remaining() == length).then_some(bytes)
}

/// Headers tell of a call that failed at once, trailers of every other.
fn refused(headers: &HeaderMap) -> std::result::Result<(), Refusal> {
    let text = |name: &str| {
        let value = headers.get(name).map(|value| value.as_bytes());
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    };
    match text("grpc-status").as_str() {
        "" | "0" => Ok(()),
        code => Err(Refusal::Status {
            code: code.to_owned(),
            message: text("grpc-message"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::messages::{RuntimeCondition, RuntimeStatus};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_containerd_1_tells() {
        let config = r#"{"containerd":{"runtimes":{"runc":{"options":{"SystemdCgroup":true}},
            "nvidia":{"options":null}}},"sandboxImage":"registry.k8s.io/pause:3.6"}"#;
        let condition = |name: &str, status| RuntimeCondition {
            name: name.into(),
            status,
            reason: "NetworkPluginNotReady".into(),
            message: "cni plugin not initialized".into(),
        };
        let conditions = vec![
            condition("RuntimeReady", true),
            condition("NetworkReady", false),
        ];
        let answer = CriAnswer::new(
            StatusResponse {
                status: Some(RuntimeStatus { conditions }),
                info: [("config".to_owned(), config.to_owned())].into(),
            },
            VersionResponse::default(),
        );
        assert_eq!(answer.not_ready, None);
        assert_eq!(answer.sandbox_image.unwrap(), "registry.k8s.io/pause:3.6");
        let told = [("nvidia".to_owned(), false), ("runc".to_owned(), true)];
        assert_eq!(answer.systemd_cgroup, told.into());
    }

    #[test]
    fn frames_are_read_back_and_cut_ones_refused() {
        let whole = frame(&StatusRequest { verbose: true });
        assert_eq!(&*whole, b"\0\0\0\0\x02\x08\x01");
        assert_eq!(unframe(whole.clone()).unwrap(), &b"\x08\x01"[..]);
        for length in 0..whole.len() {
            assert!(unframe(whole.slice(..length)).is_none());
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(message) = unframe(bytes.clone().into()) {
                let _ = StatusResponse::decode(message);
            }
            let _ = CriAnswer::parse(&bytes, &[]);
        }
    }
}
