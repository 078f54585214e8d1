//! `[daemon]`: what the daemon does of its own accord is the profile's to say.

use std::collections::BTreeMap;
use std::path::{Component, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::items::Item;

/// Drift that has no event is found within this time; a full check takes some milliseconds.
const INTERVAL: Duration = Duration::from_secs(3600);
/// A thousand nodes that booted together are not to ask their mirrors in one second.
const SPLAY: Duration = Duration::from_secs(300);
/// To read a dozen kernel values takes some 50 µs.
const POLL: Duration = Duration::from_secs(5);
/// Shorter ones would keep a processor busy.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is told.
    Watch,
    /// It is put right.
    Enforce,
}

/// `[daemon]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is done about differences.
    pub mode: Mode,
    /// The same for single items.
    pub modes: BTreeMap<ItemName, Mode>,
    /// Between two looks at everything.
    pub interval: Time,
    /// By up to how much longer on this host.
    pub splay: Time,
    /// Between two looks at what no event tells of, kernel values above all.
    pub poll: Time,
    /// Where node_exporter reads what the daemon tells in numbers.
    pub metrics: Option<MetricsFile>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            modes: BTreeMap::new(),
            interval: Time(INTERVAL),
            splay: Time(SPLAY),
            poll: Time(POLL),
            metrics: None,
        }
    }
}

impl Settings {
    /// What is done about an item. `asked` is the command line's: who only watches changes nothing,
    /// whatever the profile says.
    #[must_use]
    pub fn mode_of(&self, item: &str, asked: Option<Mode>) -> Mode {
        let own = self.modes.iter().find(|(name, _)| name.0 == item);
        match (asked, own) {
            (Some(Mode::Watch), _) => Mode::Watch,
            (_, Some((_, mode))) => *mode,
            (Some(mode), None) => mode,
            (None, None) => self.mode,
        }
    }

    /// How long this host waits between two looks at everything: `host` is what tells it from others.
    #[must_use]
    pub fn interval_on(&self, host: &str) -> Duration {
        let share = f64::from(crc32fast::hash(host.as_bytes())) / f64::from(u32::MAX);
        self.interval.0 + self.splay.0.mul_f64(share)
    }
}

/// An item's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ItemName(String);

impl TryFrom<String> for ItemName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match Item::NAMES.contains(&name.as_str()) {
            true => Ok(Self(name)),
            false => Err(format!(
                "there is no item \"{name}\": expected one of {}",
                Item::NAMES.join(", ")
            )),
        }
    }
}

/// A file that node_exporter's textfile collector reads: it takes those that end in `.prom`, and
/// nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MetricsFile(pub PathBuf);

impl TryFrom<String> for MetricsFile {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let path = PathBuf::from(&text);
        let is_plain = path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let is_read = path
            .extension()
            .is_some_and(|extension| extension == "prom");
        match path.is_absolute() && is_plain && is_read && !text.contains('\0') {
            true => Ok(Self(path)),
            false => Err(format!(
                "\"{text}\" is no file for node_exporter: expected an absolute path that ends in .prom"
            )),
        }
    }
}

/// A time as people write it: `5s`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Time(pub Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match humantime::parse_duration(&text) {
            Ok(time) if time >= SHORTEST => Ok(Self(time)),
            Ok(_) => Err(format!("\"{text}\" is too short: at least 1s")),
            Err(error) => Err(format!("\"{text}\" is no time ({error}): such as 5s or 1h")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_what_is_done() {
        let mut settings = Settings::default();
        settings
            .modes
            .insert(ItemName("sysctl".into()), Mode::Watch);
        settings
            .modes
            .insert(ItemName("swap".into()), Mode::Enforce);
        let modes = |asked| ["sysctl", "swap", "hosts"].map(|item| settings.mode_of(item, asked));
        assert_eq!(modes(None), [Mode::Watch, Mode::Enforce, Mode::Enforce]);
        assert_eq!(modes(Some(Mode::Watch)), [Mode::Watch; 3]);
        let told = modes(Some(Mode::Enforce));
        assert_eq!(told, [Mode::Watch, Mode::Enforce, Mode::Enforce]);
    }

    #[test]
    fn the_file_of_the_metrics() {
        let file = |text: &str| MetricsFile::try_from(text.to_owned());
        assert!(file("/var/lib/prometheus/node-exporter/nodeprep.prom").is_ok());
        for text in [
            "",
            "nodeprep.prom",
            "/x/../nodeprep.prom",
            "/x/nodeprep.txt",
            "/x/.prom",
            "/x\0.prom",
        ] {
            assert!(
                file(text).unwrap_err().contains("ends in .prom"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn hosts_do_not_look_together() {
        let settings = Settings::default();
        let of = |host| settings.interval_on(host);
        assert_ne!(of("a"), of("b"));
        assert_eq!(of("a"), of("a"));
        assert!(of("a") >= INTERVAL && of("a") <= INTERVAL + SPLAY);
    }
}
