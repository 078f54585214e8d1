//! Versions of packages: which of those a repository has is the one a profile means by "1.30".

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::order;
use crate::step::Manager;

/// A version that is wanted: `1.30.4-1.1` is this one, `1.30` is any of its kind (1.30, 1.30.4,
/// 1.30.4-1.1, not 1.300 and not 1.30~rc1), `1.30.*` is the same, and `>= 1.6, < 2` is a range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

/// How ranges compare, the longer signs before their beginnings.
const SIGNS: [(&str, &[Ordering]); 5] = [
    (">=", &[Ordering::Greater, Ordering::Equal]),
    ("<=", &[Ordering::Less, Ordering::Equal]),
    ("=", &[Ordering::Equal]),
    (">", &[Ordering::Greater]),
    ("<", &[Ordering::Less]),
];

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let version = Self(text);
        let plain = |c: char| c.is_ascii_alphanumeric() || ".+-~:^_".contains(c);
        let is_one = |one: &str| {
            let one = one.strip_suffix(".*").unwrap_or(one);
            one.starts_with(|c: char| c.is_ascii_alphanumeric()) && one.chars().all(plain)
        };
        let ranged = version.parts().count() > 1 || version.is_range();
        let fine = version.parts().all(|part| match sign(part) {
            Some((_, rest)) => is_one(rest) && !rest.ends_with('*'),
            None => !ranged && is_one(part),
        });
        match fine {
            true => Ok(version),
            false => Err(format!(
                "\"{version}\" is no version: expected 1.30.4-1.1, 1.30 for any 1.30.x, or a range \
                 as \">= 1.6, < 2\""
            )),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Version {
    /// Exactly the version that was there once.
    #[must_use]
    pub fn exactly(version: &str) -> Self {
        Self(format!("= {version}"))
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').map(str::trim)
    }

    fn is_range(&self) -> bool {
        self.parts().any(|part| sign(part).is_some())
    }

    /// Whether a package's version is what is wanted, by the order its manager has them in.
    #[must_use]
    pub fn matches(&self, manager: Manager, version: &str) -> bool {
        self.parts().all(|part| match sign(part) {
            Some((orders, wanted)) => orders.contains(&compare(manager, version, wanted)),
            None => begins(version, part.strip_suffix(".*").unwrap_or(part)),
        })
    }
}

fn sign(part: &str) -> Option<(&'static [Ordering], &str)> {
    SIGNS
        .iter()
        .find_map(|(sign, orders)| Some((*orders, part.strip_prefix(sign)?.trim_start())))
}

/// Whether a version is `wanted`, or goes on behind it with a further part.
fn begins(version: &str, wanted: &str) -> bool {
    let behind = |version: &str| match version.strip_prefix(wanted) {
        // What follows a tilde comes before (deb-version(7)).
        Some(rest) => rest.is_empty() || rest.starts_with(['.', '-', '+']),
        None => false,
    };
    behind(version) || (!wanted.contains(':') && behind(epoch(version).1))
}

/// The epoch, which is 0 where there is none, and the rest.
fn epoch(version: &str) -> (u64, &str) {
    let split = version.split_once(':');
    split
        .and_then(|(epoch, rest)| Some((epoch.parse().ok()?, rest)))
        .unwrap_or((0, version))
}

/// Which of two versions is older: by epoch, then by upstream version and revision. Without an epoch
/// on the side that is wanted any will do, so this is no order to sort by.
#[must_use]
pub fn compare(manager: Manager, version: &str, wanted: &str) -> Ordering {
    let (a, b) = (epoch(version), epoch(wanted));
    let by_epoch = match wanted.contains(':') {
        true => a.0.cmp(&b.0),
        false => Ordering::Equal,
    };
    let (a, b) = (revision(a.1), revision(b.1));
    by_epoch
        .then_with(|| parts(manager, a.0, b.0))
        .then_with(|| match b.1.is_empty() {
            // `= 1.6` means whatever revision of it.
            true => Ordering::Equal,
            false => parts(manager, a.1, b.1),
        })
}

/// The order of versions as they are: epochs count, and revisions.
#[must_use]
pub fn order(manager: Manager, a: &str, b: &str) -> Ordering {
    let ((ea, a), (eb, b)) = (epoch(a), epoch(b));
    let (a, b) = (revision(a), revision(b));
    ea.cmp(&eb)
        .then_with(|| parts(manager, a.0, b.0))
        .then_with(|| parts(manager, a.1, b.1))
}

fn parts(manager: Manager, a: &str, b: &str) -> Ordering {
    match manager {
        Manager::Apt => order::of_dpkg(a, b),
        Manager::Dnf | Manager::Dnf5 | Manager::Yum => order::of_rpm(a, b),
    }
}

fn revision(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        Version::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn what_is_meant() {
        let cases = [
            ("1.30", "1.30", true),
            ("1.30", "1.30.4-1.1", true),
            ("1.30.*", "1.30.4-1.1", true),
            ("1.30", "1.300", false),
            ("1.30", "1.30~rc1", false),
            ("1.30.4-1.1", "1.30.4-1.1", true),
            ("1.30.4-1.1", "1.30.4-1.10", false),
            ("24.0", "5:24.0.7-1~debian.12~bookworm", true),
            ("5:24.0", "24.0.7", false),
            (">= 1.6, < 2", "1.6.20~ds1-1+deb12u3", true),
            (">= 1.6, < 2", "2.0.0", false),
            (">= 1.6, < 2.0.0", "2.0.0~rc1", true),
            ("= 1.6.20", "1.6.20-3", true),
            ("= 5:1.2-1", "5:1.2-1", true),
        ];
        for (wanted, found, matches) in cases {
            for manager in [Manager::Apt, Manager::Dnf] {
                let told = version(wanted).matches(manager, found);
                assert_eq!(told, matches, "{wanted} {found} {manager:?}");
            }
        }
        for bad in [
            "", " ", "latest", "*", "1 2", "1,2", ">= 1.*", ">=", "1;x", "-1",
        ] {
            let is_word = bad == "latest";
            assert_eq!(Version::try_from(bad.to_owned()).is_ok(), is_word, "{bad}");
        }
    }

    #[test]
    fn each_by_its_managers_order() {
        let range = version("< 1.0a");
        assert!(range.matches(Manager::Apt, "1.0") && range.matches(Manager::Dnf, "1.0"));
        // A letter is older than a number for rpm, and newer than a point for none.
        let range = version(">= 1.0.a");
        assert!(range.matches(Manager::Dnf, "1.0.1") && !range.matches(Manager::Apt, "1.0.1"));
        assert_eq!(compare(Manager::Apt, "1:0.1", "0:9"), Ordering::Greater);
        assert_eq!(compare(Manager::Dnf, "1.2-1", "1.2-10"), Ordering::Less);
        assert_eq!(order(Manager::Dnf, "1:0.1-1", "9-1"), Ordering::Greater);
    }

    proptest! {
        #[test]
        fn nothing_panics(wanted: String, found: String) {
            if let Ok(wanted) = Version::try_from(wanted) {
                let _ = wanted.matches(Manager::Apt, &found);
                let _ = wanted.matches(Manager::Dnf, &found);
            }
        }
    }
}
