//! One thing that a profile wants open: a node that can't be reached joins no cluster.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::firewall::Family;

/// What has ports here. kubeadm's components, node ports and overlays need these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Transmission control.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// Its number (IANA, protocol-numbers).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// A protocol by its name in /etc/protocols or its number, in any case; none for others.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "tcp" | "6" => Some(Self::Tcp),
            "udp" | "17" => Some(Self::Udp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Ports of a protocol, shown and read as `6443/tcp` or `30000-32767/udp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Opening {
    /// Of which protocol.
    pub protocol: Protocol,
    /// First to last.
    pub ports: RangeInclusive<u16>,
    /// Node ports: kube-proxy translates what comes to them (DNAT), and most of it then passes the
    /// forward hook.
    pub forward: bool,
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ports(&self.ports, '-'), self.protocol)
    }
}

impl From<Opening> for String {
    fn from(opening: Opening) -> Self {
        opening.to_string()
    }
}

impl From<&Opening> for String {
    fn from(opening: &Opening) -> Self {
        opening.to_string()
    }
}

impl TryFrom<String> for Opening {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Opening {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((ports, protocol)) = text.split_once('/') else {
            return Err(format!("\"{text}\" names no protocol: write {text}/tcp"));
        };
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(format!("\"{text}\": \"{protocol}\" is neither tcp nor udp")),
        };
        let ports = range(ports, '-').map_err(|error| format!("\"{text}\": {error}"))?;
        Ok(Self {
            protocol,
            ports,
            forward: false,
        })
    }
}

/// What the running rules refuse of an opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The opening.
    pub opening: Opening,
    /// In which family; [`Family::Inet`]: in both.
    pub family: Family,
    /// On the forward hook, once translated, else on the input hook.
    pub forward: bool,
}

/// A range of ports as the firewalls write it: one number, or two with `between` them.
#[derive(Debug)]
pub struct Ports<'a>(pub &'a RangeInclusive<u16>, pub char);

impl fmt::Display for Ports<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(range, between) = self;
        match (range.start(), range.end()) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}{between}{last}"),
        }
    }
}

/// Reads one port or a range of them with `between` its ends.
///
/// # Errors
/// Where a number is no port (1 to 65535), or the range ends before it begins.
pub fn range(text: &str, between: char) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once(between).unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(format!(
            "{first} is above {last}: write {last}{between}{first}"
        ));
    }
    Ok(first..=last)
}

fn port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(format!(
            "\"{text}\" is no port: give a number from 1 to 65535"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_opening_is_told() {
        let error = |text: &str| text.parse::<Opening>().unwrap_err();
        assert_eq!(error("6443"), "\"6443\" names no protocol: write 6443/tcp");
        assert_eq!(
            error("6443/sctp"),
            "\"6443/sctp\": \"sctp\" is neither tcp nor udp"
        );
        assert_eq!(
            error("0/tcp"),
            "\"0/tcp\": \"0\" is no port: give a number from 1 to 65535"
        );
        assert!(error("70000/tcp").contains("\"70000\" is no port"));
        assert!(error("+1/tcp").contains("\"+1\" is no port"));
        assert!(error("/tcp").contains("\"\" is no port"));
        assert!(error("9-8/udp").contains("9 is above 8: write 8-9"));
    }

    proptest! {
        #[test]
        fn reads_what_it_shows(first in 1u16.., more in 0u16..500, udp: bool) {
            let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
            let ports = first..=first.saturating_add(more);
            let opening = Opening { protocol, ports, forward: false };
            prop_assert_eq!(opening.to_string().parse(), Ok(opening));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-z/+-]{0,12}") {
            let _ = text.parse::<Opening>();
        }
    }
}
