//! What a unit file makes of a unit: its command line names the configuration the daemon reads, and
//! its [Install] section where a link has to be for the boot to start it.

use std::path::{Path, PathBuf};

use super::{dropins, units};
use crate::error::Result;
use crate::host::Host;

/// Where masks are (systemctl(1), `mask` and `mask --runtime`).
const MASKS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// A unit that is installed, by its unit file with the drop-ins of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// The unit file.
    pub file: PathBuf,
    /// The command line of its last `ExecStart=`, split.
    pub command: Vec<String>,
    /// Its `[Install]` section.
    pub install: Install,
    /// Whether it is done once its program has ended (`Type=oneshot`), and whether it remains active
    /// then (`RemainAfterExit=`).
    oneshot: (bool, bool),
    /// Units that can't run beside it (`Conflicts=`).
    pub conflicts: Vec<String>,
    /// Sockets it is handed (`Sockets=`).
    pub sockets: Vec<String>,
    /// The unit that a socket, timer or path starts (`Service=`, `Unit=`).
    pub starts: Option<String>,
}

/// What `systemctl enable` goes by (systemd.unit(5), \[INSTALL\] SECTION OPTIONS).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Install {
    /// Units that want it.
    pub wanted_by: Vec<String>,
    /// Units that require it.
    pub required_by: Vec<String>,
    /// Units that start it again where it ends (systemd 249).
    pub upheld_by: Vec<String>,
    /// Its other names.
    pub alias: Vec<String>,
    /// Units that are enabled with it.
    pub also: Vec<String>,
}

/// The service, if it has a unit file that is not masked.
///
/// # Errors
/// Where a unit file or drop-in exists and cannot be read.
pub fn read(host: &Host, unit: &str) -> Result<Option<Service>> {
    match units::file(host, unit)? {
        Some(file) => read_file(host, unit, file).map(Some),
        None => Ok(None),
    }
}

/// The unit `unit` that this file defines: for an instance (getty@tty1.service) its template.
///
/// # Errors
/// Where the file or a drop-in exists and cannot be read.
pub fn read_file(host: &Host, unit: &str, file: PathBuf) -> Result<Service> {
    let mut service = Service {
        file,
        ..Service::default()
    };
    let text = host.text(&service.file)?.unwrap_or_default();
    service.add(&text);
    for name in units::template(unit).as_deref().into_iter().chain([unit]) {
        for dropin in dropins::read(host, &format!("systemd/system/{name}.d"))? {
            service.add(&dropin.text);
        }
    }
    Ok(service)
}

/// The link that masks the unit, if one does.
///
/// # Errors
/// Where it cannot be looked up.
pub fn mask(host: &Host, unit: &str) -> Result<Option<PathBuf>> {
    for path in MASKS.map(|dir| Path::new(dir).join(unit)) {
        if units::is_mask(host, &path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

impl Service {
    /// The name of its main process, as long as its program does not change it.
    #[must_use]
    pub fn program(&self) -> Option<&str> {
        Path::new(self.command.first()?).file_name()?.to_str()
    }

    /// Whether it is inactive once it has done its work.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.oneshot == (true, false)
    }

    /// The value of an option: `--name VALUE` or `--name=VALUE`, by any of its names.
    #[must_use]
    pub fn option(&self, names: &[&str]) -> Option<&str> {
        let mut words = self.command.iter();
        while let Some(word) = words.next() {
            if names.contains(&word.as_str()) {
                return words.next().map(String::as_str);
            }
            let value = word.split_once('=');
            if let Some((_, value)) = value.filter(|(name, _)| names.contains(name)) {
                return Some(value);
            }
        }
        None
    }

    /// Adds a unit file's lines: an empty assignment forgets those before it (systemd.service(5),
    /// systemd.unit(5)).
    fn add(&mut self, text: &str) {
        let text = text.replace("\\\r\n", " ").replace("\\\n", " ");
        for (_, line) in dropins::lines(&text) {
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            match name {
                "ExecStart" => self.command = words(value),
                "Type" => self.oneshot.0 = value == "oneshot",
                "RemainAfterExit" => self.oneshot.1 = is_true(value),
                "Service" | "Unit" => self.starts = Some(value.to_owned()),
                _ => self.extend(name, value),
            }
        }
    }

    /// Adds to one of the settings that are lists.
    fn extend(&mut self, name: &str, value: &str) {
        let list = match name {
            "WantedBy" => &mut self.install.wanted_by,
            "RequiredBy" => &mut self.install.required_by,
            "UpheldBy" => &mut self.install.upheld_by,
            "Alias" => &mut self.install.alias,
            "Also" => &mut self.install.also,
            "Conflicts" => &mut self.conflicts,
            "Sockets" => &mut self.sockets,
            _ => return,
        };
        match value {
            "" => list.clear(),
            _ => list.extend(
                value
                    .split_whitespace()
                    .filter(is_unit_name)
                    .map(str::to_owned),
            ),
        }
    }
}

/// Letters, digits and some signs (src/basic/unit-name.h, `VALID_CHARS`), and specifiers; what else is
/// there systemd passes over.
fn is_unit_name(name: &&str) -> bool {
    let is_sign = |byte| b":-_.\\@%".contains(&byte);
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}

/// systemd's words for yes (systemd.syntax(7)).
fn is_true(value: &str) -> bool {
    ["1", "yes", "y", "true", "t", "on"].contains(&value.to_ascii_lowercase().as_str())
}

/// A command line's words: quotes keep blanks, prefixes of the program are systemd's
/// (systemd.service(5), "Command lines").
fn words(line: &str) -> Vec<String> {
    let line = line.trim_start_matches(['@', '-', ':', '+', '!']);
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c @ ('"' | '\''), None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_command_line_counts() {
        let mut service = Service::default();
        service.add("[Service]\n# ExecStart=/no\nExecStart=/usr/bin/containerd\n[Install]\nWantedBy=multi-user.target\n");
        assert_eq!(service.program(), Some("containerd"));
        assert_eq!(service.option(&["--config", "-c"]), None);
        assert_eq!(service.install.wanted_by, ["multi-user.target"]);
        service.add("[Service]\nExecStart=\nExecStart=-/opt/bin/containerd \\\n  --config \"/etc/a b.toml\" -a=/run/c.sock\n");
        assert_eq!(service.option(&["--config", "-c"]), Some("/etc/a b.toml"));
        assert_eq!(service.option(&["--address", "-a"]), Some("/run/c.sock"));
        assert_eq!(service.command.len(), 4);
    }
}
