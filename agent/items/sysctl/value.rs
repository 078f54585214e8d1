//! Keys, file names and wanted values of `[sysctl]`, checked when the profile is read.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

/// A file name in a drop-in directory, ending in `.conf`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FileName(String);

impl FileName {
    /// The path of the file in `directory`.
    #[must_use]
    pub fn within(&self, directory: &str) -> PathBuf {
        Path::new(directory).join(&self.0)
    }
}

impl Default for FileName {
    fn default() -> Self {
        Self("kubernetes.conf".into())
    }
}

impl TryFrom<String> for FileName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name == "zzz-nodeprep.conf" {
            return Err(format!(
                "{name} is where keys go that others override: choose another name"
            ));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
        if !name.ends_with(".conf") || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(format!(
                "\"{name}\" is no drop-in name: expected a file name that ends in .conf, without a directory"
            ));
        }
        Ok(Self(name))
    }
}

/// A sysctl key, kept as its path below /proc/sys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Key(String);

impl Key {
    /// The path below /proc/sys.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0
    }

    /// The file of the live value.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        Path::new("/proc/sys").join(&self.0)
    }

    /// As sysctl(8) prints it: `.` between the parts, `/` for a dot within one.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.chars().map(swap_separator).collect()
    }

    /// The keys of the same knob, itself among them: writing one is writing all
    /// (net/ipv4/devinet.c; net/netfilter/nf_conntrack_standalone.c; kernel/ucount.c).
    #[must_use]
    pub fn aliases(&self) -> Vec<Self> {
        const SAME: [[&str; 2]; 4] = [
            ["net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding"],
            ["net/netfilter/nf_conntrack_max", "net/nf_conntrack_max"],
            [
                "fs/inotify/max_user_instances",
                "user/max_inotify_instances",
            ],
            ["fs/inotify/max_user_watches", "user/max_inotify_watches"],
        ];
        match SAME.iter().find(|same| same.contains(&self.path())) {
            Some(same) => same.iter().map(|path| Self((*path).to_owned())).collect(),
            None => vec![self.clone()],
        }
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let path = normalise(&name);
        let within = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let plain =
            !path.contains(['=', '*', '?', '[', '#', ';']) && !path.contains(char::is_whitespace);
        if !within || !plain || path.contains(char::is_control) || !path.contains('/') {
            return Err(format!(
                "\"{name}\" is no sysctl key: expected one within /proc/sys, with its dots in quotes: \"net.ipv4.ip_forward\""
            ));
        }
        Ok(Self(path))
    }
}

/// A key as a path: the first separator decides, and where it is a dot, dots and slashes change
/// places (sysctl.d(5); systemd's src/shared/sysctl-util.c, `sysctl_normalize`).
pub(super) fn normalise(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.get(at..).is_some_and(|rest| rest.starts_with('.')) => {
            name.chars().map(swap_separator).collect()
        }
        _ => name.trim_start_matches('/').to_owned(),
    }
}

fn swap_separator(letter: char) -> char {
    match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    }
}

/// What a key should be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Wanted {
    value: String,
    at_least: bool,
    optional: bool,
}

/// The three ways a profile can say it.
enum Written {
    Scalar(Scalar),
    Table(Table),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    value: Option<Scalar>,
    at_least: Option<i64>,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected an integer or a string")]
enum Scalar {
    Integer(i64),
    Text(String),
}

/// By hand, because an untagged enum forgets which key of the table was wrong.
impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, a string, or a table with `value` or `at_least`")
    }

    fn visit_i64<E>(self, number: i64) -> Result<Written, E> {
        Ok(Written::Scalar(Scalar::Integer(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(Written::Scalar(Scalar::Text(text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Written, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(entries)).map(Written::Table)
    }
}

impl TryFrom<Written> for Wanted {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let (value, at_least, optional) = match written {
            Written::Scalar(value) => (value, false, false),
            Written::Table(Table {
                value: Some(value),
                at_least: None,
                optional,
            }) => (value, false, optional),
            Written::Table(Table {
                value: None,
                at_least: Some(least),
                optional,
            }) => (Scalar::Integer(least), true, optional),
            Written::Table(_) => return Err("give either `value` or `at_least`".into()),
        };
        let value = match value {
            Scalar::Integer(number) => number.to_string(),
            Scalar::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        };
        if value.is_empty() || value.contains(char::is_control) {
            return Err("a sysctl value is one line with something in it".into());
        }
        Ok(Self {
            value,
            at_least,
            optional,
        })
    }
}

impl Wanted {
    /// The value written where the present one will not do.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether any higher value will do too.
    #[must_use]
    pub fn is_at_least(&self) -> bool {
        self.at_least
    }

    /// Whether a kernel without the key is fine.
    #[must_use]
    pub fn optional(&self) -> bool {
        self.optional
    }

    /// Whether a value found will do.
    #[must_use]
    pub fn accepts(&self, found: &str) -> bool {
        match self.at_least {
            true => compare(found, &self.value).is_some_and(Ordering::is_ge),
            false => same_value(found, &self.value),
        }
    }

    /// The value for a file that would otherwise lower what is live now.
    #[must_use]
    pub fn not_lower_than(&self, live: Option<&str>) -> String {
        match live {
            Some(live) if self.at_least && self.accepts(live) => live.to_owned(),
            _ => self.value.clone(),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at_least {
            true => write!(f, "{} or more", self.value),
            false => f.write_str(&self.value),
        }
    }
}

/// Keys with what each should be; one knob can't be two things, by whichever of its names.
///
/// # Errors
/// Where it is asked to be.
pub(super) fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Key, Wanted>, D::Error> {
    from.deserialize_map(KeysVisitor)
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = BTreeMap<Key, Wanted>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of sysctl keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut keys = BTreeMap::new();
        while let Some((key, wanted)) = entries.next_entry::<Key, Wanted>()? {
            for name in key.aliases() {
                if keys.get(&name).is_some_and(|other| *other != wanted) {
                    let (key, name) = (key.name(), name.name());
                    return Err(A::Error::custom(format!(
                        "{key} is {wanted} here and (as {name}) something else above: they are one, keep one"
                    )));
                }
            }
            keys.insert(key, wanted);
        }
        Ok(keys)
    }
}

/// Whether two texts are one value to the kernel: white space folded, numbers by their worth.
#[must_use]
pub fn same_value(a: &str, b: &str) -> bool {
    let mut words = (a.split_whitespace(), b.split_whitespace());
    loop {
        match (words.0.next(), words.1.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b || compare(a, b) == Some(Ordering::Equal) => {}
            _ => return false,
        }
    }
}

fn compare(a: &str, b: &str) -> Option<Ordering> {
    Some(
        a.trim()
            .parse::<i128>()
            .ok()?
            .cmp(&b.trim().parse::<i128>().ok()?),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_within_proc_sys() {
        let key = |name: &str| Key::try_from(name.to_owned());
        assert_eq!(
            key("net.ipv4.conf.eth0/1.rp_filter").unwrap().path(),
            "net/ipv4/conf/eth0.1/rp_filter"
        );
        assert_eq!(
            key("net/ipv4/conf/eth0.1/rp_filter").unwrap().name(),
            "net.ipv4.conf.eth0/1.rp_filter"
        );
        for bad in [
            "../x",
            "net/../../etc/passwd",
            "net...x",
            "net.//..x",
            "/",
            "a",
            "",
            "net.a b",
            "a.*",
            "net/./x",
        ] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_compared_as_the_kernel_means_them() {
        assert!(same_value("4096\t87380\t6291456\n", "4096 87380 6291456"));
        assert!(same_value("01", "1"));
        assert!(!same_value("1", "1 2"));
        let least = Wanted {
            value: "100".into(),
            at_least: true,
            optional: false,
        };
        assert!(
            least.accepts("9223372036854775807") && !least.accepts("99") && !least.accepts("x")
        );
        assert_eq!(least.not_lower_than(Some("200")), "200");
        assert_eq!(least.not_lower_than(Some("20")), "100");
    }
}
