//! The programs that change a running firewall's rules.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::firewall::Engine;

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

    /// What it is given, for people.
    pub(super) fn show(self, lines: &[String], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In iptables-restore's input these two only frame the rules.
        let framing = |line: &&String| !line.starts_with('*') && *line != "COMMIT";
        let rules: Vec<&str> = lines.iter().filter(framing).map(|s| s.as_str()).collect();
        let program = self.programs().last().copied().unwrap_or_default();
        match self {
            Self::FirewallCmd => write!(f, "{program} {}", rules.join(" ")),
            _ => write!(f, "{program}: {}", rules.join("; ")),
        }
    }
}
