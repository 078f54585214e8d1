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
}
