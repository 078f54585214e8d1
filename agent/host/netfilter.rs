//! The packet filter that runs now, asked of the kernel by its own interfaces and without a trace: a
//! question to a module that is not loaded would load it, and one for a legacy table make it.

mod legacy;
mod nftables;

use std::path::Path;
use std::rc::Rc;

use super::{Host, Origin, Source};
use crate::error::Result;
use crate::firewall::{Family, Ruleset};

impl Host {
    /// All rules of the running packet filter, of nf_tables and of legacy iptables; those of a
    /// captured host are `rules` in its answers, an image has none.
    ///
    /// # Errors
    /// Where they cannot be read: not root, rules that change all the time, bytes we don't know.
    pub fn rules(&self) -> Result<Rc<Ruleset>> {
        if let Some(rules) = self.rules.get() {
            return Ok(rules.clone());
        }
        let rules = Rc::new(match self.origin {
            Origin::Image => Ruleset::default(),
            Origin::Captured => self.answers()?.rules,
            Origin::Live => self.observe_rules()?,
        });
        Ok(self.rules.get_or_init(|| rules).clone())
    }

    fn observe_rules(&self) -> Result<Ruleset> {
        let mut rules = Ruleset::default();
        if self.has_nftables()? {
            // Only then: to listen would load it as to ask would.
            self.note(Source::Rules);
            rules = nftables::read()?;
        }
        for (family, list) in [
            (Family::Ip, "/proc/net/ip_tables_names"),
            (Family::Ip6, "/proc/net/ip6_tables_names"),
        ] {
            // The file is there where the module is; a table is in it once something has used it.
            let names = self.text(Path::new(list))?.unwrap_or_default();
            if !names.trim().is_empty() {
                self.note(Source::LegacyRules);
            }
            rules.chains.extend(legacy::read(family, &names)?);
        }
        Ok(rules)
    }

    /// Whether nf_tables is in the kernel, loaded or built in. Where it is not loaded, opening a
    /// netlink socket for it loads nfnetlink (`netlink_create` in net/netlink/af_netlink.c), and a
    /// request nf_tables (`nfnetlink_rcv_msg` in net/netfilter/nfnetlink.c).
    fn has_nftables(&self) -> Result<bool> {
        let is_ours = |line: &str| line.starts_with("nf_tables ");
        if self.kind(Path::new("/sys/module/nf_tables"))?.is_some() {
            return Ok(true);
        }
        match self.text(Path::new("/proc/modules"))? {
            // A kernel that can load nothing: whatever answers is built in.
            None => return Ok(true),
            // /sys may not be mounted.
            Some(modules) if modules.lines().any(is_ours) => return Ok(true),
            Some(_) => {}
        }
        let release = self.kernel_release()?.unwrap_or_default();
        let list = Path::new("/lib/modules")
            .join(release)
            .join("modules.builtin");
        match self.text(&list)? {
            Some(modules) => Ok(modules.lines().any(|line| line.ends_with("/nf_tables.ko"))),
            // A container without its host's modules: the kernel's own symbols tell.
            None => Ok(self
                .text(Path::new("/proc/kallsyms"))?
                .is_some_and(|all| has_symbol(&all))),
        }
    }
}

/// Whether the kernel's symbols (kernel/kallsyms.c) have the function that lists nf_tables' tables.
fn has_symbol(symbols: &str) -> bool {
    symbols
        .lines()
        .any(|line| line.ends_with(" nf_tables_gettable"))
}
