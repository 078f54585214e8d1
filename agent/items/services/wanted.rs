//! What a profile can say of a unit: one of systemctl's words, or what runs and what boots apart.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::boot::enablement::Boot;

/// Kinds of units that can be enabled, started or stopped.
const KINDS: [&str; 6] = ["service", "socket", "timer", "path", "mount", "target"];
/// The longest name of a unit (systemd.unit(5)).
const LONGEST: usize = 255;

/// A unit's name; without a kind it is a service's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);

impl UnitName {
    /// The name with its kind.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<UnitName> for String {
    fn from(name: UnitName) -> Self {
        name.0
    }
}

impl TryFrom<String> for UnitName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // systemd.unit(5): letters, digits and these; a path is escaped with backslashes.
        let plain = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        let has_kind = text
            .rsplit_once('.')
            .is_some_and(|(_, kind)| KINDS.contains(&kind));
        let name = if has_kind {
            text.clone()
        } else {
            format!("{text}.service")
        };
        if text.is_empty()
            || text.starts_with('.')
            || !text.chars().all(plain)
            || name.len() > LONGEST
        {
            return Err(format!(
                "\"{text}\" is no unit: expected postfix, sshd.socket, getty@tty1.service or alike"
            ));
        }
        if name.contains("@.") {
            return Err(format!(
                "\"{text}\" is a template: name one of its instances, {} or alike",
                name.replace("@.", "@NAME.")
            ));
        }
        Ok(Self(name))
    }
}

/// Whether a unit runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Run {
    /// It does.
    Running,
    /// It does not.
    Stopped,
}

/// What a unit should be; what is not said is not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Now.
    pub run: Option<Run>,
    /// At the next boot.
    pub boot: Option<Boot>,
}

/// The two apart.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Apart {
    state: Option<Run>,
    boot: Option<Boot>,
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(WantedVisitor)
    }
}

struct WantedVisitor;

impl<'de> Visitor<'de> for WantedVisitor {
    type Value = Wanted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "\"enabled\", \"disabled\", \"masked\", or { state = \"running\", boot = \"enabled\" }",
        )
    }

    /// One word means both, as `systemctl enable --now` and its kin do.
    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Wanted, E> {
        let boot = Boot::deserialize(word.into_deserializer())?;
        let run = match boot {
            Boot::Enabled => Run::Running,
            Boot::Disabled | Boot::Masked => Run::Stopped,
        };
        let (run, boot) = (Some(run), Some(boot));
        Ok(Wanted { run, boot })
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Wanted, A::Error> {
        let Apart { state: run, boot } = Apart::deserialize(MapAccessDeserializer::new(entries))?;
        match (run, boot) {
            (None, None) => Err(A::Error::custom("give `state`, `boot` or both")),
            (Some(Run::Running), Some(Boot::Masked)) => Err(A::Error::custom(
                "what is masked can't be running: keep one",
            )),
            _ => Ok(Wanted { run, boot }),
        }
    }
}
