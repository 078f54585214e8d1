//! A limit's name and value as systemd has them (systemd.exec(5), "Process properties";
//! systemd.resource-control(5), TasksMax=) and as the kernel tells them.

use std::fmt;

use serde::Deserialize;

/// A service's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Unit(String);

impl Unit {
    /// As systemd has it.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Unit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_.@".contains(&b);
        let name = text.strip_suffix(".service").unwrap_or_default();
        match name.bytes().all(plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no service: expected a name such as containerd.service"
            )),
        }
    }
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Limit {
    /// Open files.
    #[serde(rename = "LimitNOFILE")]
    OpenFiles,
    /// Processes of the service's user.
    #[serde(rename = "LimitNPROC")]
    Processes,
    /// Locked memory, bytes.
    #[serde(rename = "LimitMEMLOCK")]
    LockedMemory,
    /// Size of a core file, bytes.
    #[serde(rename = "LimitCORE")]
    Core,
    /// Tasks in the service's cgroup.
    TasksMax,
}

impl Limit {
    /// As systemd names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenFiles => "LimitNOFILE",
            Self::Processes => "LimitNPROC",
            Self::LockedMemory => "LimitMEMLOCK",
            Self::Core => "LimitCORE",
            Self::TasksMax => "TasksMax",
        }
    }

    /// How its line in /proc/PID/limits begins (fs/proc/base.c, `lnames`); none where it is not there.
    pub fn row(self) -> Option<&'static str> {
        Some(match self {
            Self::OpenFiles => "Max open files",
            Self::Processes => "Max processes",
            Self::LockedMemory => "Max locked memory",
            Self::Core => "Max core file size",
            Self::TasksMax => return None,
        })
    }

    /// A value as a unit file has it; none where it can't be compared (TasksMax=15%).
    pub fn parse(self, text: &str) -> Option<Value> {
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        Some(Value {
            soft: number(soft)?,
            hard: number(hard)?,
        })
    }
}

/// A soft and a hard limit; none is infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Text")]
pub struct Value {
    soft: Option<u64>,
    hard: Option<u64>,
}

/// A value in the profile.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Number(u64),
    Text(String),
}

impl TryFrom<Text> for Value {
    type Error = String;

    fn try_from(text: Text) -> Result<Self, String> {
        let text = match text {
            Text::Number(number) => number.to_string(),
            Text::Text(text) => text,
        };
        let value = Limit::OpenFiles.parse(&text);
        let ordered = |value: &Self| at_most(value.soft, value.hard);
        value.filter(ordered).ok_or_else(|| {
            format!("\"{text}\" is no limit: expected a number, \"infinity\", or \"SOFT:HARD\"")
        })
    }
}

impl Value {
    /// Whether a process that was given `wanted` can have this: it may raise its soft limit.
    pub fn is_within(&self, wanted: &Self) -> bool {
        let (hard, most) = (self.hard, wanted.hard);
        hard == most && at_most(wanted.soft, self.soft)
    }

    /// What reaches the most there can be is as good as infinite.
    pub fn or_infinite_from(self, most: Option<u64>) -> Self {
        let one = |limit: Option<u64>| limit.filter(|limit| most.is_none_or(|most| *limit < most));
        Self {
            soft: one(self.soft),
            hard: one(self.hard),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |limit: Option<u64>| {
            limit.map_or_else(|| "infinity".to_owned(), |number| number.to_string())
        };
        match self.soft == self.hard {
            true => f.write_str(&shown(self.hard)),
            false => write!(f, "{}:{}", shown(self.soft), shown(self.hard)),
        }
    }
}

/// A value as the kernel tells it: a soft and a hard limit and a unit in /proc/PID/limits, one number
/// in pids.max; none where it is of no such form.
pub fn of_kernel(text: &str) -> Option<Value> {
    let number = |text: &str| match text {
        "unlimited" | "max" => Some(None),
        text => text.parse().ok().map(Some),
    };
    let mut words = text.split_whitespace();
    let soft = number(words.next()?)?;
    let hard = words.next().and_then(number).unwrap_or(soft);
    Some(Value { soft, hard })
}

fn at_most(less: Option<u64>, more: Option<u64>) -> bool {
    match (less, more) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(less), Some(more)) => less <= more,
    }
}

/// A number with a suffix to the base of 1024 (systemd.exec(5)), or infinity.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text == "infinity" {
        return Some(None);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match text.strip_prefix(digits)? {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1024_u64.checked_pow(power)?).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<String> {
        Limit::OpenFiles.parse(text).map(|value| value.to_string())
    }

    #[test]
    fn values_are_read_as_systemd_reads_them() {
        for (text, shown) in [
            ("1024", "1024"),
            ("1024:524288", "1024:524288"),
            ("infinity", "infinity"),
            ("1024:infinity", "1024:infinity"),
            ("64K", "65536"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(shown), "{text}");
        }
        for text in [
            "",
            "-1",
            "15%",
            "1k",
            "1:2:3",
            "99999999999999999999",
            "17179869184T",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(Value::try_from(Text::Text("5:4".into())).is_err());
        assert!(Unit::try_from("a/b.service".to_owned()).is_err());
        assert!(Unit::try_from("a.socket".to_owned()).is_err());
    }

    #[test]
    fn a_process_may_raise_its_soft_limit() {
        let wanted = Limit::OpenFiles.parse("1024:524288").unwrap();
        let live = |text: &str| of_kernel(text).unwrap();
        assert!(live("            1024   524288  files").is_within(&wanted));
        assert!(live("524288 524288 files").is_within(&wanted));
        assert!(!live("512 524288 files").is_within(&wanted));
        assert!(!live("1024 unlimited files").is_within(&wanted));
        let infinite = Limit::OpenFiles.parse("infinity").unwrap();
        let most = live("1073741816 1073741816 files").or_infinite_from(Some(1_073_741_816));
        assert!(most.is_within(&infinite));
        assert_eq!(of_kernel("max\n"), Some(infinite));
        assert_eq!(of_kernel("x"), None);
    }
}
