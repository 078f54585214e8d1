//! A container runtime's images: which it has, and bringing and removing them. kubeadm pulls what is
//! missing while the cluster waits; a node without a way to the registry learns of it only then.
//!
//! The CRI's ImageService (cri-api's api.proto). It pulls and removes; what an archive holds only
//! containerd's own client brings in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use prost::Message;
use serde::Deserialize;

use super::messages::{
    AuthConfig, ImageRequest, ImageSpec, ListImagesRequest, ListImagesResponse, PullImageRequest,
};
use super::{Refusal, TIME_LIMIT, UNIMPLEMENTED, VERSIONS, call, exchange};
use crate::error::{Error, Result, trouble};
use crate::host::perform::Prior;
use crate::host::{Host, Origin, progress};
use crate::step::Step;

/// containerd's client; the kubelet's images are in this namespace.
const IMPORT: [&str; 4] = ["ctr", "--namespace", "k8s.io", "--address"];
/// Half a gigabyte, unpacked onto a slow disk.
const IMPORT_LIMIT: Duration = Duration::from_secs(900);
/// containerd's CRI learns of what was imported by an event.
const APPEARS: Duration = Duration::from_secs(10);
/// How long between two looks for it.
const PAUSE: Duration = Duration::from_millis(200);
/// Between the first try and the second; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// gRPC's codes for what another try does not change: not found, no permission, not authenticated
/// (grpc's doc/statuscodes.md).
const FINAL: [&str; 3] = ["5", "7", "16"];
/// The same as containerd before 2.0 tells it, with the code for "unknown".
const FINAL_WORDS: [&str; 4] = [
    "not found",
    "401 Unauthorized",
    "403 Forbidden",
    "authorization failed",
];

/// What is found of images at a runtime's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Images {
    /// Every name, with tag or digest, of all it has.
    Has(BTreeSet<String>),
    /// Nobody to ask, in words.
    Off(String),
}

impl Host {
    /// The images of the runtime that listens on `socket`, as they are now.
    ///
    /// # Errors
    /// As [`Host::cri`].
    pub fn images(&self, socket: &Path) -> Result<Images> {
        self.note_path(socket);
        let shown = socket.display();
        let absent = || Images::Off(format!("nothing listens on {shown}: start the runtime"));
        match self.origin {
            Origin::Image => Ok(absent()),
            Origin::Captured => {
                let known = self.answers()?.images.remove(socket);
                Ok(known.map_or_else(absent, Images::Has))
            }
            Origin::Live => match exchange(socket, TIME_LIMIT, list)? {
                None => Ok(absent()),
                Some(Ok(names)) => Ok(Images::Has(names)),
                Some(Err(Refusal::Status { code, message })) if code == UNIMPLEMENTED => {
                    Ok(Images::Off(format!(
                        "no CRI on {shown} ({message}): enable it in the runtime"
                    )))
                }
                Some(Err(refusal)) => Err(trouble!("{shown}: {refusal}")),
            },
        }
    }

    /// Those of the images that the runtime does not have.
    pub(in crate::host) fn missing_images<'a>(
        &self,
        socket: &Path,
        images: impl IntoIterator<Item = &'a String>,
    ) -> Result<Prior> {
        match self.images(socket)? {
            Images::Off(complaint) => Err(trouble!("{complaint}")),
            Images::Has(names) => {
                let missing = images.into_iter().filter(|image| !names.contains(*image));
                let missing = missing.cloned().collect();
                Ok(Prior::Images { missing })
            }
        }
    }

    /// Does a step that changes a runtime's images.
    pub(in crate::host) fn change_images(&self, step: &Step) -> Result<()> {
        progress::tell(step);
        match step {
            Step::PullImage {
                image,
                socket,
                credentials,
                timeout,
                tries,
            } => {
                let auth = match credentials {
                    Some(path) => self.credentials(path, image)?,
                    None => None,
                };
                let limit = Duration::from_secs(*timeout);
                pull(socket, image, auth.as_ref(), limit, *tries)
            }
            Step::ImportImages {
                archive,
                socket,
                images,
            } => self.import(archive, socket, images),
            Step::RemoveImage { image, socket } => {
                let spec = ImageRequest::of(image);
                let one = async |mut client| by_version(&mut client, "RemoveImage", &spec).await;
                answered(socket, exchange(socket, TIME_LIMIT, one)?).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn import(&self, archive: &Path, socket: &Path, images: &[String]) -> Result<()> {
        let text = |path: &Path| path.display().to_string();
        let (from, to) = (text(archive), text(socket));
        let argv = [&IMPORT[..], &[&to, "images", "import", &from]].concat();
        self.ended_within(IMPORT_LIMIT, &argv, None)?
            .map_err(|failure| failure.into_error(&argv))?;
        let until = Instant::now() + APPEARS;
        loop {
            let Prior::Images { missing } = self.missing_images(socket, images)? else {
                return Ok(());
            };
            match missing.first() {
                None => return Ok(()),
                Some(image) if Instant::now() > until => {
                    return Err(trouble!("{from} was imported and holds no {image}"));
                }
                Some(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// What a registry wants to know, from a file as docker writes it (its config.json, "auths").
    fn credentials(&self, path: &Path, image: &str) -> Result<Option<Auth>> {
        let shown = path.display();
        let bytes = self.bytes(path)?;
        let bytes =
            bytes.ok_or_else(|| trouble!("{shown}, with the registry's password, is not there"))?;
        // serde_json tells the place, and of the text only what is no JSON; still, it is a secret.
        let file: Credentials = serde_json::from_slice(&bytes).map_err(|error| {
            trouble!("{shown}:{}: not as docker's config.json is", error.line())
        })?;
        let registry = image.split('/').next().unwrap_or_default();
        let is_its = |name: &str| {
            let name = name
                .trim_start_matches("https://")
                .trim_start_matches("http://");
            let name = name.split('/').next().unwrap_or_default();
            name == registry || (name == "index.docker.io" && registry == "docker.io")
        };
        let mut auths = file.auths.into_iter();
        Ok(auths.find(|(name, _)| is_its(name)).map(|(_, auth)| auth))
    }
}

/// Pulls, and tries again where that may help.
fn pull(
    socket: &Path,
    image: &str,
    auth: Option<&Auth>,
    limit: Duration,
    tries: u32,
) -> Result<()> {
    let request = PullImageRequest {
        image: Some(ImageSpec::of(image)),
        auth: auth.map(AuthConfig::of),
    };
    let mut wait = FIRST_WAIT;
    for left in (0..tries.max(1)).rev() {
        let one = async |mut client| by_version(&mut client, "PullImage", &request).await;
        let answer = exchange(socket, limit, one);
        let is_final = matches!(&answer, Ok(Some(Err(refusal))) if !helps(refusal));
        let error = match answer.and_then(|answer| answered(socket, answer)) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if left == 0 || is_final {
            return Err(error);
        }
        tracing::warn!("{image}: {error}; once more in {} s", wait.as_secs());
        std::thread::sleep(wait);
        wait *= 2;
    }
    Ok(())
}

/// Whether another try may have another end.
fn helps(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Broken(_) => true,
        Refusal::Status { code, message } => {
            !FINAL.contains(&code.as_str())
                && !FINAL_WORDS.iter().any(|word| message.contains(word))
        }
    }
}

fn answered(socket: &Path, answer: Option<std::result::Result<Bytes, Refusal>>) -> Result<Bytes> {
    let refused = |refusal| -> Error {
        match refusal {
            // The runtime's words name the image, the registry and what that answered.
            Refusal::Status { message, .. } => trouble!("{message}"),
            Refusal::Broken(_) => trouble!("{}: {refusal}", socket.display()),
        }
    };
    match answer {
        None => Err(trouble!(
            "nothing listens on {}: start the runtime",
            socket.display()
        )),
        Some(answer) => answer.map_err(refused),
    }
}

async fn list(mut client: SendRequest<Bytes>) -> std::result::Result<BTreeSet<String>, Refusal> {
    let request = ListImagesRequest::default();
    let answer = by_version(&mut client, "ListImages", &request).await?;
    Ok(names(&answer)?)
}

fn names(answer: &[u8]) -> std::result::Result<BTreeSet<String>, prost::DecodeError> {
    let images = ListImagesResponse::decode(answer)?.images;
    Ok(images
        .into_iter()
        .flat_map(|image| [image.tags, image.digests].concat())
        .collect())
}

/// The answer of the newest version of the service that is there.
async fn by_version(
    client: &mut SendRequest<Bytes>,
    method: &str,
    message: &impl Message,
) -> std::result::Result<Bytes, Refusal> {
    let mut last = Refusal::Broken("no version of the CRI to ask by".into());
    for cri in VERSIONS {
        match call(client, &format!("{cri}.ImageService"), method, message).await {
            Err(Refusal::Status { code, message }) if code == UNIMPLEMENTED => {
                last = Refusal::Status { code, message };
            }
            answer => return answer,
        }
    }
    Err(last)
}

/// docker's config.json, as far as it matters.
#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    /// Name and password, in base64.
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl AuthConfig {
    fn of(auth: &Auth) -> Self {
        Self {
            username: auth.username.clone(),
            password: auth.password.clone(),
            auth: auth.auth.clone(),
            identity_token: auth.identitytoken.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::Image;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_tags_and_digests() {
        let image = |tag: &str| Image {
            tags: vec![format!("registry.k8s.io/{tag}")],
            digests: vec!["registry.k8s.io/pause@sha256:7031".into()],
        };
        let answer = ListImagesResponse {
            images: vec![image("pause:3.10"), image("pause:3.9")],
        };
        assert_eq!(names(&answer.encode_to_vec()).unwrap().len(), 3);
    }

    #[test]
    fn a_try_is_repeated_only_where_it_helps() {
        let status = |code: &str, message: &str| Refusal::Status {
            code: code.into(),
            message: message.into(),
        };
        assert!(helps(&status(
            "2",
            "dial tcp 10.0.0.1:443: connect: connection refused"
        )));
        assert!(helps(&status("14", "unavailable")) && helps(&Refusal::Broken("cut".into())));
        assert!(!helps(&status("5", "failed to resolve")));
        assert!(!helps(&status("2", "registry/a:1: not found")));
    }

    #[test]
    fn each_registry_has_its_credentials() {
        let top = tempfile::tempdir().unwrap();
        let file = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"},
            "registry.example:5000": {"username": "me", "password": "hunter2"}}}"#;
        std::fs::write(top.path().join("auth.json"), file).unwrap();
        let host = Host::image(top.path()).unwrap();
        let of = |image| host.credentials(Path::new("/auth.json"), image).unwrap();
        assert_eq!(of("docker.io/library/a:1").unwrap().auth, "YTpi");
        let auth = of("registry.example:5000/a:1").unwrap();
        assert_eq!(auth.password, "hunter2");
        assert!(of("registry.k8s.io/pause:3.10").is_none());
        let request = PullImageRequest {
            image: Some(ImageSpec::of("a")),
            auth: Some(AuthConfig::of(&auth)),
        };
        assert!(!format!("{request:?}").contains("hunter2"));
        std::fs::write(
            top.path().join("auth.json"),
            "{\"auths\": {\"a\": \"hunter2\"}}",
        )
        .unwrap();
        let mut host = host;
        host.refresh();
        let error = host
            .credentials(Path::new("/auth.json"), "a")
            .err()
            .unwrap();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = names(&bytes);
        }
    }
}
