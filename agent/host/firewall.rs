//! Changing a running firewall's rules through its own tool.

use super::Host;
use crate::error::{Result, trouble};
use crate::step::FirewallTool;

/// firewall-cmd's exit status where firewalld does not run (firewall-cmd(1), NOT_RUNNING).
const NOT_RUNNING: i32 = 252;

impl Host {
    /// Adds to the rules that are there.
    ///
    /// # Errors
    /// Where the tool is not installed or refuses; nft and iptables-restore have then changed
    /// nothing.
    pub(super) fn change_rules(&self, tool: FirewallTool, change: &[String]) -> Result<()> {
        let mut argv = vec![super::commands::first_of(tool.programs())];
        argv.extend(tool.arguments());
        let input = match tool {
            FirewallTool::FirewallCmd => {
                argv.extend(change.iter().map(String::as_str));
                None
            }
            _ => Some(
                change
                    .iter()
                    .map(|line| format!("{line}\n"))
                    .collect::<String>(),
            ),
        };
        match self.ended(&argv, input.as_deref().map(str::as_bytes))? {
            Ok(_) => Ok(()),
            Err(failure) if failure.status.code() == Some(NOT_RUNNING) => Err(trouble!(
                "firewalld has stopped since it was looked at: start it and run apply again"
            )),
            Err(failure) => Err(failure.into_error(&argv)),
        }
    }

    /// Takes rules out, one by one, as one that is gone must not keep the others.
    ///
    /// # Errors
    /// Where the tool is not installed or refuses.
    pub(super) fn remove_rules(&self, tool: FirewallTool, rules: &[String]) -> Result<()> {
        match tool {
            FirewallTool::FirewallCmd => match self.change_rules(tool, rules) {
                // Its rules went with it.
                Err(_) if !self.has_processes("firewalld.service")? => Ok(()),
                removed => removed,
            },
            FirewallTool::Iptables { .. } => self.remove_by_iptables(tool, rules),
            FirewallTool::Nft => self.remove_by_nft(rules),
        }
    }

    fn remove_by_iptables(&self, tool: FirewallTool, rules: &[String]) -> Result<()> {
        let restore = super::commands::first_of(tool.programs());
        let program = restore.replace("-restore", "");
        let mut table = "filter";
        for line in rules {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if let Some(rule) = line.strip_prefix("-D ") {
                let argv = |verb| -> Vec<&str> {
                    [program.as_str(), "-w", "-t", table, verb]
                        .into_iter()
                        .chain(rule.split_whitespace())
                        .collect()
                };
                // Exit status 1 is a rule that is not there (iptables(8), -C).
                if self.ended(&argv("-C"), None)?.is_ok() {
                    self.run(&argv("-D"))?;
                }
            }
        }
        Ok(())
    }

    /// nft deletes by number: looks up those our rules have now.
    fn remove_by_nft(&self, rules: &[String]) -> Result<()> {
        let ruleset = self.rules()?;
        let mut lines = Vec::new();
        for chain in &ruleset.chains {
            let start = format!("delete rule {} {} ", chain.table, chain.name);
            let texts: Vec<&str> = rules
                .iter()
                .filter_map(|line| line.strip_prefix(&start))
                .collect();
            let ours = chain.rules.iter().filter(|r| texts.contains(&&*r.text));
            lines.extend(ours.filter_map(|r| Some(format!("{start}handle {}", r.handle?))));
        }
        match lines.is_empty() {
            true => Ok(()),
            false => self.change_rules(FirewallTool::Nft, &lines),
        }
    }
}
