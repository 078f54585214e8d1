//! What a unit file makes of a service: its command line names the configuration the daemon reads,
//! and its [Install] section where a link has to be for the boot to start it.

use std::path::{Path, PathBuf};

use super::{dropins, units};
use crate::error::Result;
use crate::host::Host;

/// Where masks are (systemctl(1), `mask` and `mask --runtime`).
const MASKS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// A service that is installed, by its unit file with the drop-ins of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// The unit file.
    pub file: PathBuf,
    /// The command line of its last `ExecStart=`, split.
    pub command: Vec<String>,
    /// The targets that `systemctl enable` would link it to.
    pub wanted_by: Vec<String>,
}

/// The service, if it has a unit file that is not masked.
///
/// # Errors
/// Where a unit file or drop-in exists and cannot be read.
pub fn read(host: &Host, unit: &str) -> Result<Option<Service>> {
    let Some(file) = units::file(host, unit)? else {
        return Ok(None);
    };
    let mut service = Service {
        file,
        ..Service::default()
    };
    let text = host.text(&service.file)?.unwrap_or_default();
    service.add(&text);
    for dropin in dropins::read(host, &format!("systemd/system/{unit}.d"))? {
        service.add(&dropin.text);
    }
    Ok(Some(service))
}

/// The link that masks the unit, if one does.
///
/// # Errors
/// Where it cannot be looked up.
pub fn mask(host: &Host, unit: &str) -> Result<Option<PathBuf>> {
    for path in MASKS.map(|dir| Path::new(dir).join(unit)) {
        if host
            .link(&path)?
            .is_some_and(|to| to == Path::new("/dev/null"))
        {
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
            match (name.trim(), value.trim()) {
                ("ExecStart", value) => self.command = words(value),
                ("WantedBy", "") => self.wanted_by.clear(),
                ("WantedBy", value) => self
                    .wanted_by
                    .extend(value.split_whitespace().map(str::to_owned)),
                _ => {}
            }
        }
    }
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
        assert_eq!(service.wanted_by, ["multi-user.target"]);
        service.add("[Service]\nExecStart=\nExecStart=-/opt/bin/containerd \\\n  --config \"/etc/a b.toml\" -a=/run/c.sock\n");
        assert_eq!(service.option(&["--config", "-c"]), Some("/etc/a b.toml"));
        assert_eq!(service.option(&["--address", "-a"]), Some("/run/c.sock"));
        assert_eq!(service.command.len(), 4);
    }
}
