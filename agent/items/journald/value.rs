//! The keys of journald.conf and what their values mean: `5m` and `300s` are one, and a line that
//! journald cannot read does not count.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

/// How journald reads a key's value (systemd's src/journal/journald-gperf.gperf).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    Flag,
    /// Yes or no, or the size from which on is compressed.
    FlagOrSize,
    Audit,
    Span,
    Size,
    Count,
    Level,
    Word(&'static [&'static str]),
    Text,
}

/// A value as journald understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Yes or no.
    Flag(bool),
    /// Microseconds.
    Span(u64),
    /// Bytes.
    Size(u64),
    /// A number.
    Number(u64),
    /// One of some words, a path, an address.
    Text(String),
}

/// One key: its name, its argument on the kernel command line (journald.conf(5)).
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// The kernel argument that overrides it, without `systemd.journald.`; empty where none does.
    pub argument: &'static str,
    reads: Reads,
}

const fn key(name: &'static str, reads: Reads) -> Key {
    Key {
        name,
        argument: "",
        reads,
    }
}

const fn overridden(name: &'static str, argument: &'static str, reads: Reads) -> Key {
    Key {
        name,
        argument,
        reads,
    }
}

const KEYS: [Key; 32] = [
    key(
        "Storage",
        Reads::Word(&["auto", "volatile", "persistent", "none"]),
    ),
    key("Compress", Reads::FlagOrSize),
    key("Seal", Reads::Flag),
    key("SplitMode", Reads::Word(&["uid", "login", "none"])),
    key("ReadKMsg", Reads::Flag),
    key("Audit", Reads::Audit),
    key("SyncIntervalSec", Reads::Span),
    key("RateLimitInterval", Reads::Span),
    key("RateLimitBurst", Reads::Count),
    key("SystemMaxUse", Reads::Size),
    key("SystemKeepFree", Reads::Size),
    key("SystemMaxFileSize", Reads::Size),
    key("SystemMaxFiles", Reads::Count),
    key("RuntimeMaxUse", Reads::Size),
    key("RuntimeKeepFree", Reads::Size),
    key("RuntimeMaxFileSize", Reads::Size),
    key("RuntimeMaxFiles", Reads::Count),
    key("MaxRetentionSec", Reads::Span),
    key("MaxFileSec", Reads::Span),
    overridden("ForwardToSyslog", "forward_to_syslog", Reads::Flag),
    overridden("ForwardToKMsg", "forward_to_kmsg", Reads::Flag),
    overridden("ForwardToConsole", "forward_to_console", Reads::Flag),
    overridden("ForwardToWall", "forward_to_wall", Reads::Flag),
    key("ForwardToSocket", Reads::Text),
    key("TTYPath", Reads::Text),
    overridden("MaxLevelStore", "max_level_store", Reads::Level),
    overridden("MaxLevelSyslog", "max_level_syslog", Reads::Level),
    overridden("MaxLevelKMsg", "max_level_kmsg", Reads::Level),
    overridden("MaxLevelConsole", "max_level_console", Reads::Level),
    overridden("MaxLevelWall", "max_level_wall", Reads::Level),
    overridden("MaxLevelSocket", "max_level_socket", Reads::Level),
    key("LineMax", Reads::Size),
];

/// The interval's name since systemd 230; the older name is read by all.
const NEW_INTERVAL: &str = "RateLimitIntervalSec";

/// A key by one of its names, upper and lower case told apart as journald does.
#[must_use]
pub fn known(name: &str) -> Option<&'static Key> {
    let name = if name == NEW_INTERVAL {
        "RateLimitInterval"
    } else {
        name
    };
    KEYS.iter().find(|key| key.name == name)
}

/// Every key that a kernel argument overrides.
pub fn overridable() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| !key.argument.is_empty())
}

impl Key {
    /// What a value means; none where journald passes over it.
    #[must_use]
    pub fn meaning(&self, value: &str) -> Option<Meaning> {
        let word = |words: &[&str]| {
            words
                .contains(&value)
                .then(|| Meaning::Text(value.to_owned()))
        };
        match self.reads {
            Reads::Flag => flag(value).map(Meaning::Flag),
            Reads::FlagOrSize => match flag(value) {
                Some(flag) => Some(Meaning::Flag(flag)),
                None => size(value).map(Meaning::Size),
            },
            Reads::Audit => flag(value).map(Meaning::Flag).or_else(|| word(&["keep"])),
            Reads::Span => span(value).map(Meaning::Span),
            Reads::Size => size(value).map(Meaning::Size),
            Reads::Count => value.parse().ok().map(Meaning::Number),
            Reads::Level => level(value).map(Meaning::Number),
            Reads::Word(words) => word(words),
            Reads::Text => (!value.is_empty()).then(|| Meaning::Text(value.to_owned())),
        }
    }

    fn expects(&self) -> String {
        match self.reads {
            Reads::Flag | Reads::Audit => "yes or no".into(),
            Reads::FlagOrSize => "yes, no or a size like 512".into(),
            Reads::Span => "a time span like 30s, 5m or 2week".into(),
            Reads::Size => "a size like 200M or 10G".into(),
            Reads::Count => "a number".into(),
            Reads::Level => "a level: emerg, alert, crit, err, warning, notice, info, debug".into(),
            Reads::Word(words) => words.join(", "),
            Reads::Text => "one line of text".into(),
        }
    }
}

/// systemd's `parse_boolean` (src/basic/parse-util.c).
fn flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

fn level(value: &str) -> Option<u64> {
    const LEVELS: [&str; 8] = [
        "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
    ];
    let place = LEVELS.iter().position(|level| *level == value);
    let number = match place {
        Some(place) => u64::try_from(place).ok(),
        None => value.parse().ok(),
    };
    number.filter(|number| *number < 8)
}

/// systemd.time(7): numbers with units, added up; without a unit, seconds. `M` is a month.
fn span(value: &str) -> Option<u64> {
    const SECOND: u64 = 1_000_000;
    if value == "infinity" {
        return Some(u64::MAX);
    }
    sum(value, |unit| {
        Some(match unit {
            "us" | "usec" | "µs" | "μs" => 1,
            "ms" | "msec" => 1000,
            "" | "s" | "sec" | "second" | "seconds" => SECOND,
            "m" | "min" | "minute" | "minutes" => 60 * SECOND,
            "h" | "hr" | "hour" | "hours" => 3600 * SECOND,
            "d" | "day" | "days" => 86_400 * SECOND,
            "w" | "week" | "weeks" => 604_800 * SECOND,
            "M" | "month" | "months" => 2_629_800 * SECOND,
            "y" | "year" | "years" => 31_557_600 * SECOND,
            _ => return None,
        })
    })
}

/// systemd's `parse_size` with base 1024 (src/basic/parse-util.c).
fn size(value: &str) -> Option<u64> {
    sum(value, |unit| {
        let power = ["", "K", "M", "G", "T", "P", "E"]
            .iter()
            .position(|name| *name == unit);
        match (unit, power) {
            ("B", _) => Some(1),
            (_, Some(power)) => Some(1 << (10 * power)),
            _ => None,
        }
    })
}

/// The sum of numbers, each with a unit; fractions are cut to what their unit holds.
fn sum(value: &str, worth: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let mut rest = value.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split(after.trim_start(), char::is_alphabetic);
        total = total.checked_add(times(number, worth(unit)?)?)?;
        rest = after.trim_start();
    }
    Some(total)
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn times(number: &str, worth: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().ok()?;
    let numerator: u128 = fraction.parse::<u64>().ok()?.into();
    let denominator = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = u64::try_from(numerator * u128::from(worth) / denominator).ok()?;
    whole.checked_mul(worth)?.checked_add(part)
}

/// A value of the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As it is written into the file.
    pub text: String,
    /// What it means.
    pub meaning: Meaning,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, an integer or true or false")]
enum Scalar {
    Flag(bool),
    Integer(i64),
    Text(String),
}

fn wanted(name: &str, scalar: Scalar) -> Result<(&'static Key, Wanted), String> {
    let Some(key) = known(name) else {
        let known = KEYS.map(|key| key.name).join(", ");
        return Err(format!(
            "\"{name}\" is no key of journald.conf: expected one of {known}"
        ));
    };
    let text = match scalar {
        Scalar::Flag(flag) => if flag { "yes" } else { "no" }.to_owned(),
        Scalar::Integer(number) => number.to_string(),
        Scalar::Text(text) => text.trim().to_owned(),
    };
    // A control character or a `\` at the end would write into the next line.
    let one_line = !text.contains(char::is_control) && !text.ends_with('\\');
    match key.meaning(&text).filter(|_| one_line) {
        Some(meaning) => Ok((key, Wanted { text, meaning })),
        None => Err(format!(
            "{name} can't be \"{text}\": expected {}",
            key.expects()
        )),
    }
}

/// The keys of the profile; one key can't be two things, by whichever of its names.
///
/// # Errors
/// Where a key is not known or journald would not read its value.
pub fn keys<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<&'static str, Wanted>, D::Error> {
    from.deserialize_map(KeysVisitor)
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = BTreeMap<&'static str, Wanted>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of journald.conf keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut keys: Self::Value = BTreeMap::new();
        while let Some((name, scalar)) = entries.next_entry::<String, Scalar>()? {
            let (key, wanted) = wanted(&name, scalar).map_err(A::Error::custom)?;
            let old = keys.insert(key.name, wanted.clone());
            if old.is_some_and(|old| old != wanted) {
                return Err(A::Error::custom(format!(
                    "{} and {NEW_INTERVAL} are one key: keep one of them",
                    key.name
                )));
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_mean_what_systemd_reads() {
        let same = [
            ("SyncIntervalSec", "5m", "300s"),
            ("SyncIntervalSec", "5min", "4m 60"),
            ("MaxRetentionSec", "2week", "14d"),
            ("MaxRetentionSec", "1M", "2629800"),
            ("MaxFileSec", "1.5h", "90m"),
            ("MaxFileSec", "1h30m", "90 min"),
            ("RateLimitInterval", "1500ms", "1.5"),
            ("SystemMaxUse", "10G", "10737418240"),
            ("SystemMaxUse", "1.5K", "1536B"),
            ("SystemMaxUse", "1G 512M", "1536M"),
            ("Compress", "yes", "On"),
            ("Compress", "512", "0.5K"),
            ("MaxLevelStore", "debug", "7"),
            ("RateLimitBurst", "01000", "1000"),
        ];
        for (name, a, b) in same {
            let key = known(name).unwrap();
            assert!(key.meaning(a).is_some(), "{name}={a}");
            assert_eq!(key.meaning(a), key.meaning(b), "{name}: {a} and {b}");
        }
        let month = known("MaxFileSec").unwrap();
        assert_ne!(month.meaning("1M"), month.meaning("1m"));
    }

    #[test]
    fn what_journald_cannot_read_means_nothing() {
        let bad = [
            ("Storage", "Persistent"),
            ("Compress", "maybe"),
            ("SystemMaxUse", "10GB"),
            ("SystemMaxUse", "10g"),
            ("SystemMaxUse", "-1"),
            ("SystemMaxUse", "99999999E"),
            ("SyncIntervalSec", "5 minutos"),
            ("SyncIntervalSec", ""),
            ("SyncIntervalSec", "m"),
            ("RateLimitBurst", "1k"),
            ("MaxLevelStore", "8"),
            ("TTYPath", ""),
        ];
        for (name, value) in bad {
            assert_eq!(known(name).unwrap().meaning(value), None, "{name}={value}");
        }
        assert!(known("storage").is_none());
    }

    #[test]
    fn a_profile_is_refused_before_it_is_written() {
        let read = |name: &str, text: &str| wanted(name, Scalar::Text(text.into()));
        assert_eq!(
            read("RateLimitIntervalSec", "30s").unwrap().0.name,
            "RateLimitInterval"
        );
        assert_eq!(
            wanted("Compress", Scalar::Flag(true)).unwrap().1.text,
            "yes"
        );
        for (name, text) in [
            ("Storge", "auto"),
            ("Storage", "persistent\nSeal=no"),
            ("TTYPath", "/dev/tty1\nSeal=no"),
            ("TTYPath", "/dev/tty1\\"),
            ("SystemMaxUse", "lots"),
        ] {
            assert!(read(name, text).is_err(), "{name}={text}");
        }
    }
}
