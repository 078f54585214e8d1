//! Versions of packages: which of those a repository has is the one a profile means by "1.30".

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

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

    /// Whether a package's version is what is wanted.
    #[must_use]
    pub fn matches(&self, version: &str) -> bool {
        self.parts().all(|part| match sign(part) {
            Some((orders, wanted)) => orders.contains(&compare(version, wanted)),
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

/// Which of two versions is older: by epoch, then dpkg's order of upstream version and revision
/// (deb-version(7), Sorting algorithm). Without an epoch on the side that is
/// wanted any will do, so this is no order to sort by.
#[must_use]
pub fn compare(version: &str, wanted: &str) -> Ordering {
    let (a, b) = (epoch(version), epoch(wanted));
    let by_epoch = match wanted.contains(':') {
        true => a.0.cmp(&b.0),
        false => Ordering::Equal,
    };
    let (a, b) = (revision(a.1), revision(b.1));
    by_epoch
        .then_with(|| parts(a.0, b.0))
        .then_with(|| match b.1.is_empty() {
            // `= 1.6` means whatever revision of it.
            true => Ordering::Equal,
            false => parts(a.1, b.1),
        })
}

/// The order of versions as they are: epochs count, and revisions. Of what rpm has some few are in
/// another order there (rpmvercmp leaves separators out).
#[must_use]
pub fn order(a: &str, b: &str) -> Ordering {
    let ((ea, a), (eb, b)) = (epoch(a), epoch(b));
    let (a, b) = (revision(a), revision(b));
    ea.cmp(&eb)
        .then_with(|| parts(a.0, b.0))
        .then_with(|| parts(a.1, b.1))
}

fn revision(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

/// dpkg's lib/dpkg/version.c, `verrevcmp`: text and numbers in turn.
fn parts(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !(a.is_empty() && b.is_empty()) {
        let (texts, numbers) = (
            split(a, |c| !c.is_ascii_digit()),
            split(b, |c| !c.is_ascii_digit()),
        );
        let ((ta, ra), (tb, rb)) = (texts, numbers);
        let ((na, ra), (nb, rb)) = (split(ra, u8::is_ascii_digit), split(rb, u8::is_ascii_digit));
        let order = text(ta, tb).then_with(|| number(na, nb));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (ra, rb);
    }
    Ordering::Equal
}

fn split(text: &[u8], is: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !is(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// A tilde before the end, the end before letters, letters before all else.
fn text(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |c: Option<&u8>| match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    let longest = a.len().max(b.len());
    let orders = (0..longest).map(|at| rank(a.get(at)).cmp(&rank(b.get(at))));
    orders
        .into_iter()
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// By length without zeros in front, then by digits: numbers may be longer than any integer.
fn number(a: &[u8], b: &[u8]) -> Ordering {
    let (_, a) = split(a, |c| *c == b'0');
    let (_, b) = split(b, |c| *c == b'0');
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
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
            assert_eq!(version(wanted).matches(found), matches, "{wanted} {found}");
        }
        for bad in [
            "", " ", "latest", "*", "1 2", "1,2", ">= 1.*", ">=", "1;x", "-1",
        ] {
            let is_word = bad == "latest";
            assert_eq!(Version::try_from(bad.to_owned()).is_ok(), is_word, "{bad}");
        }
    }

    /// dpkg's own examples, and its test-suite's (lib/dpkg/t/t-version.c).
    #[test]
    fn order() {
        let sorted = [
            "1.0~~", "1.0~~a", "1.0~", "1.0", "1.0a", "1.0+b", "1.0.1", "1.00.2", "1.10",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare("1:0.1", "0:9"), Ordering::Greater);
        assert_eq!(compare("1.2-1", "1.2-10"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn order_is_one(a in "[0-9a-z.~+]{0,9}", b in "[0-9a-z.~+]{0,9}") {
            prop_assert_eq!(parts(&a, &b), parts(&b, &a).reverse());
            prop_assert_eq!(parts(&a, &a), Ordering::Equal);
        }

        #[test]
        fn nothing_panics(wanted: String, found: String) {
            if let Ok(wanted) = Version::try_from(wanted) {
                let _ = wanted.matches(&found);
            }
            let _ = compare(&found, &found);
        }
    }
}
