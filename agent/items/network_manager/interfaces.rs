//! Names of network interfaces, by patterns, and those there are.

use std::path::Path;

use serde::Deserialize;

use crate::error::Result;
use crate::host::Host;

/// Each interface of the running kernel has a directory here.
const INTERFACES: &str = "/sys/class/net";
/// A name is no longer than this (include/uapi/linux/if.h, IFNAMSIZ with its NUL).
const LONGEST: usize = 15;
/// Calico's, flannel's and other bridges', kube-proxy's in ipvs mode, and the node-local DNS cache's.
const USUAL: [&str; 8] = [
    "cali*",
    "tunl*",
    "vxlan.calico",
    "vxlan-v6.calico",
    "flannel*",
    "cni*",
    "kube-ipvs0",
    "nodelocaldns",
];

/// A name with `*` and `?`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.*?".contains(&b);
        match (1..=LONGEST).contains(&text.len()) && text.bytes().all(plain) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" names no interface: expected up to {LONGEST} letters, digits, `-`, `_`, `.`, `*` and `?`"
            )),
        }
    }
}

impl Pattern {
    /// As the profile has it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether an interface is meant.
    pub fn matches(&self, interface: &str) -> bool {
        matches(self.0.as_bytes(), interface.as_bytes())
    }

    /// A name that it matches, and that few other patterns do.
    pub fn example(&self) -> String {
        self.0.replace('*', "0example").replace('?', "0")
    }
}

/// The interfaces of most clusters.
pub fn usual() -> Vec<Pattern> {
    USUAL.iter().map(|name| Pattern((*name).into())).collect()
}

/// Whether a name matches a shell pattern of `*` and `?` (fnmatch(3)).
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, name)
                || name
                    .split_first()
                    .is_some_and(|(_, name)| matches(pattern, name))
        }
        (Some((b'?', rest)), Some((_, name))) => matches(rest, name),
        (Some((letter, rest)), Some((first, name))) => letter == first && matches(rest, name),
        _ => false,
    }
}

/// The interfaces there are that a pattern means, with their numbers.
///
/// # Errors
/// Where the kernel's list cannot be read.
pub fn present(host: &Host, patterns: &[Pattern]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for name in host.list(Path::new(INTERFACES))?.iter() {
        if patterns.iter().any(|pattern| pattern.matches(name)) {
            let number = host.text(&Path::new(INTERFACES).join(name).join("ifindex"))?;
            let number = number.unwrap_or_default().trim().to_owned();
            found.push((name.clone(), number));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("cali*", "cali1", true),
            ("cali*", "cali", true),
            ("cali*", "xcali1", false),
            ("*", "eth0", true),
            ("vxlan.calico", "vxlan.calico", true),
            ("vxlan.calico", "vxlan-calico", false),
            ("e?h*0", "eth10", true),
            ("e?h*0", "eh0", false),
            ("", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
        for pattern in usual() {
            assert!(pattern.matches(&pattern.example()), "{}", pattern.name());
            assert!(Pattern::try_from(pattern.0).is_ok());
        }
        for text in ["", "a;b", "a b", "0123456789abcdef", "a/b"] {
            assert!(Pattern::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
