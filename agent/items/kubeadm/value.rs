//! What `[kubeadm]` holds, checked as kubeadm checks it: it would refuse the file only when the node
//! is to join.

use std::borrow::Borrow;
use std::net::IpAddr;
use std::ops::Deref;

use serde::Deserialize;
use yaml_rust2::YamlLoader;

use crate::secret::Secret;

/// A word: a name, an address, a socket, a flag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Plain(String);

impl TryFrom<String> for Plain {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_graphic() && !"\"'\\".contains(c);
        match !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no name: expected letters, digits and .:/_- without blanks or a dash before"
            )),
        }
    }
}

impl Deref for Plain {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Plain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// `HOST:PORT`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(pub String);

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let host = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        let whole = text.rsplit_once(':').is_some_and(|(name, port)| {
            let port = port.parse::<u16>().is_ok_and(|port| port > 0);
            port && !name.is_empty() && name.chars().all(host)
        });
        match whole {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no endpoint: expected a name or address with its port, such as 10.0.0.10:6443"
            )),
        }
    }
}

/// An address and the length of its prefix, or two of them with a comma between (dual-stack).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Subnets(pub String);

impl TryFrom<String> for Subnets {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let one = |subnet: &str| {
            let (address, length) = subnet.split_once('/')?;
            let longest = match address.parse::<IpAddr>().ok()? {
                IpAddr::V4(_) => 32,
                IpAddr::V6(_) => 128,
            };
            (length.parse::<u8>().ok()? <= longest).then_some(())
        };
        match text.split(',').count() <= 2 && text.split(',').all(|one_of| one(one_of).is_some()) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no subnet: expected 10.244.0.0/16, or 10.244.0.0/16,fd00:10:244::/56"
            )),
        }
    }
}

/// A time as Go writes it, such as 4m0s.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Duration(pub String);

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut units = text.split_inclusive(['h', 'm', 's']);
        let unit = |unit: &str| {
            let digits = unit.strip_suffix(['h', 'm', 's']).unwrap_or_default();
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        match !text.is_empty() && units.all(unit) {
            true => Ok(Self(text)),
            false => Err(format!("\"{text}\" is no time: expected 4m or 5m30s")),
        }
    }
}

/// `ID.SECRET`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Secret")]
pub struct Token(pub Secret);

impl TryFrom<Secret> for Token {
    type Error = &'static str;

    fn try_from(secret: Secret) -> Result<Self, &'static str> {
        let small = |part: &str, length| {
            let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            part.len() == length && part.bytes().all(small)
        };
        match secret.reveal().split_once('.') {
            Some((id, key)) if small(id, 6) && small(key, 16) => Ok(Self(secret)),
            _ => Err(
                "it is no bootstrap token: expected six small letters and digits, a dot and sixteen more",
            ),
        }
    }
}

/// 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Secret")]
pub struct CertificateKey(pub Secret);

impl TryFrom<Secret> for CertificateKey {
    type Error = &'static str;

    fn try_from(secret: Secret) -> Result<Self, &'static str> {
        match is_hex_of_32(secret.reveal()) {
            true => Ok(Self(secret)),
            false => Err(
                "it is no certificate key: expected 64 hexadecimal digits, as `kubeadm certs certificate-key` prints them",
            ),
        }
    }
}

/// `sha256:HEX`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CertificateHash(pub String);

impl TryFrom<String> for CertificateHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("sha256:").is_some_and(is_hex_of_32) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no hash of a CA: expected sha256: and 64 hexadecimal digits"
            )),
        }
    }
}

fn is_hex_of_32(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// kube-proxy's `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyMode {
    /// Rules of iptables.
    Iptables,
    /// The kernel's load balancer; deprecated since 1.35.
    Ipvs,
    /// Rules of nftables, since 1.29.
    Nftables,
}

impl ProxyMode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Ipvs => "ipvs",
            Self::Nftables => "nftables",
        }
    }
}

/// The kubelet's `cgroupDriver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// systemd manages them all.
    Systemd,
    /// The kubelet and the runtime do so beside it.
    Cgroupfs,
}

impl CgroupDriver {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Cgroupfs => "cgroupfs",
        }
    }
}

/// YAML, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Documents(pub String);

impl TryFrom<String> for Documents {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match YamlLoader::load_from_str(&text) {
            Err(error) => Err(format!("it is no YAML: {error}")),
            Ok(all) => match all
                .iter()
                .all(|document| document["kind"].as_str().is_some())
            {
                true => Ok(Self(text)),
                false => Err("each document needs its apiVersion and kind".into()),
            },
        }
    }
}
