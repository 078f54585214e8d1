//! The things that can be done to a host, as data: whoever can print a step can promise it, and
//! whoever can store it can take it back.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::firewall::Engine;

/// Whose file a [`Step::WriteFile`] touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A drop-in whose name the profile chose: a link found there (a mask) is replaced itself.
    Ours,
    /// A file others edit too (fstab, crictl.yaml): a link is followed to the file it names.
    Shared,
}

/// One thing done to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Replace a file's content atomically; mode, owner and attributes of an existing file stay,
    /// a new one is root's with mode 0644.
    WriteFile {
        /// Absolute path on the host.
        path: PathBuf,
        /// The whole new content.
        #[serde(with = "content")]
        content: Vec<u8>,
        /// Whose file it is.
        owner: Owner,
    },
    /// Make a symbolic link, replacing what has the name; a link to `/dev/null` masks.
    WriteLink {
        /// Absolute path of the link.
        path: PathBuf,
        /// What it names.
        target: PathBuf,
    },
    /// Remove a file or link.
    RemoveFile {
        /// Absolute path on the host.
        path: PathBuf,
    },
    /// Make a directory (mode 0755, root's).
    MakeDirectory {
        /// Absolute path on the host.
        path: PathBuf,
    },
    /// Write a value below `/proc/sys`, or SELinux's `enforce`, and read it back.
    WriteKernel {
        /// Absolute path of the value.
        path: PathBuf,
        /// The text written, without a final newline.
        value: String,
    },
    /// Load a kernel module with the modules it needs.
    LoadModule {
        /// The module's name.
        name: String,
    },
    /// Stop swapping on one area.
    SwapOff {
        /// The area as `/proc/swaps` names it.
        area: PathBuf,
    },
    /// Add rules to a running firewall, its others left as they are.
    Firewall {
        /// What is asked to.
        tool: FirewallTool,
        /// What is asked of it: firewall-cmd's arguments, the others' lines on standard input.
        change: Vec<String>,
        /// The same for taking just that back.
        undo: Vec<String>,
    },
}

/// What changes a running firewall's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum FirewallTool {
    /// firewalld's client.
    FirewallCmd,
    /// iptables-restore or ip6tables-restore.
    Iptables {
        /// Whose tables are meant.
        engine: Engine,
        /// IPv6, else IPv4.
        ipv6: bool,
    },
    /// nft.
    Nft,
}

impl FirewallTool {
    /// The program, by the names it may have, the surest first.
    #[must_use]
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::FirewallCmd => &["firewall-cmd"],
            Self::Nft => &["nft"],
            Self::Iptables { engine, ipv6 } => match (engine, ipv6) {
                (Engine::Nft, false) => &["iptables-nft-restore", "iptables-restore"],
                (Engine::Nft, true) => &["ip6tables-nft-restore", "ip6tables-restore"],
                (Engine::Legacy, false) => &["iptables-legacy-restore", "iptables-restore"],
                (Engine::Legacy, true) => &["ip6tables-legacy-restore", "ip6tables-restore"],
            },
        }
    }

    /// The arguments by which it adds to what is there and reads its standard input.
    #[must_use]
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::FirewallCmd => &[],
            Self::Iptables { .. } => &["--noflush"],
            Self::Nft => &["-f", "-"],
        }
    }
}

/// What is due once after a stage's steps, however many steps ask for it; in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "due", rename_all = "snake_case")]
pub enum Due {
    /// systemd reads its unit files and runs its generators again.
    DaemonReload,
    /// systemd-tmpfiles gives a directory that was made the modes, owners and ACLs it has for it.
    Tmpfiles {
        /// The directory.
        prefix: PathBuf,
    },
    /// A unit is restarted, or started, and waited for. Where it does not come back, the files that
    /// were written for it get their old content, and it is restarted once more.
    Restart {
        /// The unit's name.
        unit: String,
        /// By what it is known to be back, where systemd's word is not enough.
        ready: Option<Probe>,
    },
    /// journald opens its journal on disk. It does so by itself only where it was told to since the
    /// boot, and forgets that where the directory was taken away (journalctl(1), --flush).
    FlushJournal,
}

/// By what a restarted daemon is known to be back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "snake_case")]
pub enum Probe {
    /// It answers a CRI Status, and can run containers.
    Cri {
        /// Where it listens.
        socket: PathBuf,
    },
}

/// Which truth of the host a step changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// The running system.
    Live,
    /// What the next boot will make.
    Boot,
}

/// How well a step can be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "undo", content = "text", rename_all = "snake_case")]
pub enum Undo {
    /// The prior state comes back, to the byte.
    Exact,
    /// Something close comes back; the text says what may not.
    BestEffort(String),
}

impl Step {
    /// How well this step can be taken back.
    #[must_use]
    pub fn undo(&self) -> Undo {
        match self {
            Self::WriteFile { .. }
            | Self::WriteLink { .. }
            | Self::RemoveFile { .. }
            | Self::MakeDirectory { .. }
            | Self::WriteKernel { .. } => Undo::Exact,
            Self::LoadModule { name } => Undo::BestEffort(format!(
                "modprobe -r {name} refuses while anything uses the module"
            )),
            Self::SwapOff { .. } => Undo::BestEffort(
                "the area is switched on again, what was swapped out stays in memory".into(),
            ),
            Self::Firewall { .. } => Undo::BestEffort(
                "what was added is taken out again, if it is still there; the others stay".into(),
            ),
        }
    }

    /// The file system path the step changes, where it is a file, link or directory.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::WriteFile { path, .. }
            | Self::WriteLink { path, .. }
            | Self::RemoveFile { path }
            | Self::MakeDirectory { path } => Some(path),
            Self::WriteKernel { .. }
            | Self::LoadModule { .. }
            | Self::SwapOff { .. }
            | Self::Firewall { .. } => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteFile {
                path,
                owner: Owner::Ours,
                ..
            } => write!(f, "write {}", path.display()),
            Self::WriteFile { path, .. } => write!(f, "edit {}", path.display()),
            Self::WriteLink { path, target } => {
                write!(f, "link {} to {}", path.display(), target.display())
            }
            Self::RemoveFile { path } => write!(f, "remove {}", path.display()),
            Self::MakeDirectory { path } => write!(f, "make directory {}", path.display()),
            Self::WriteKernel { path, value } => {
                write!(f, "write \"{value}\" to {}", path.display())
            }
            Self::LoadModule { name } => write!(f, "load module {name}"),
            Self::SwapOff { area } => write!(f, "swap off {}", area.display()),
            Self::Firewall { tool, change, .. } => {
                // In iptables-restore's input these two only frame the rules.
                let framing = |line: &&String| !line.starts_with('*') && *line != "COMMIT";
                let rules: Vec<&str> = change.iter().filter(framing).map(|s| s.as_str()).collect();
                let program = tool.programs().last().copied().unwrap_or_default();
                match tool {
                    FirewallTool::FirewallCmd => write!(f, "{program} {}", rules.join(" ")),
                    _ => write!(f, "{program}: {}", rules.join("; ")),
                }
            }
        }
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DaemonReload => f.write_str("systemd daemon-reload"),
            Self::Tmpfiles { prefix } => write!(f, "systemd-tmpfiles for {}", prefix.display()),
            Self::Restart { unit, ready } => {
                write!(f, "restart {unit}")?;
                match ready {
                    Some(Probe::Cri { socket }) => {
                        write!(
                            f,
                            " (containers keep running), wait for {}",
                            socket.display()
                        )
                    }
                    None => Ok(()),
                }
            }
            Self::FlushJournal => f.write_str("journalctl --flush"),
        }
    }
}

/// A file's content in JSON: text where it is UTF-8, else its bytes as numbers.
pub(crate) mod content {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Content {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.serialize(to),
            Err(_) => bytes.serialize(to),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(match Content::deserialize(from)? {
            Content::Text(text) => text.into_bytes(),
            Content::Bytes(bytes) => bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_a_running_firewall_are_kept_and_shown() {
        let lines = |rule: &str| ["*filter", rule, "COMMIT"].map(str::to_owned).into();
        let step = Step::Firewall {
            tool: FirewallTool::Iptables {
                engine: Engine::Nft,
                ipv6: true,
            },
            change: lines("-A INPUT -p tcp --dport 80 -j ACCEPT"),
            undo: lines("-D INPUT -p tcp --dport 80 -j ACCEPT"),
        };
        assert_eq!(
            step.to_string(),
            "ip6tables-restore: -A INPUT -p tcp --dport 80 -j ACCEPT"
        );
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step, "{text}");
        let plain = Step::Firewall {
            tool: FirewallTool::FirewallCmd,
            change: vec!["--zone=public".into(), "--add-port=80/tcp".into()],
            undo: Vec::new(),
        };
        assert_eq!(
            plain.to_string(),
            "firewall-cmd --zone=public --add-port=80/tcp"
        );
        let text = serde_json::to_string(&plain).unwrap();
        assert_eq!(
            serde_json::from_str::<Step>(&text).unwrap(),
            plain,
            "{text}"
        );
    }
}
