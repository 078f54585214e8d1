//! The kernel: a node's manual names the oldest that will do, an argument of its command line undoes
//! what files say, and kubeadm refuses one that was built without what containers are made of.

pub mod arguments;
mod configuration;
mod version;

use serde::Deserialize;

use super::{Explain, Kind};
use crate::error::Result;
use crate::host::Host;
use crate::plan::ItemPlan;

use arguments::{Argument, Arguments};
use configuration::Configuration;
use version::{Minimum, Version};

/// Subjects; an argument is its own, one that is not wanted has this before it.
const VERSION: &str = "version";
const CONFIGURATION: &str = "configuration";
const WITHOUT: &str = "without ";

/// `[kernel]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// The oldest that will do.
    minimum: Option<Minimum>,
    /// Arguments its command line has.
    #[serde(default)]
    arguments: Vec<Argument>,
    /// Arguments it has not; a name alone stands for every value.
    #[serde(default)]
    absent: Vec<Argument>,
    /// Whether it has to be built with what kubeadm's preflight wants. Only `true` is looked after.
    #[serde(default)]
    configuration: bool,
}

/// What the host has of what is wanted.
#[derive(Debug)]
pub struct Observed {
    version: Option<Version>,
    arguments: Option<Arguments>,
    configuration: Option<Configuration>,
}

impl Kind for Kernel {
    type Observed = Observed;
    const BOOTS_BY_SYSTEMD: bool = false;
    const EXPLAIN: Explain = Explain {
        why: "CentOS 7's own kernel knows no cgroup v2 and leaks under containers; an argument such as \
              selinux=0 or cgroup_disable=memory decides before any file is read; kubeadm's preflight \
              refuses a kernel without the parts that containers are made of.",
        looks_at: "live: the running kernel's release, /proc/cmdline, /proc/config.gz. boot: the \
                   installed kernels and which of them the boot loader takes (GRUB's saved entry, else \
                   the newest); the arguments of every menu entry (grub.cfg, entries of the Boot Loader \
                   Specification with grubenv) and those the next menu will be made of \
                   (/etc/default/grub, /etc/kernel/cmdline); the configuration that came with it.",
        changes: "GRUB's saved entry, where that is what keeps an older kernel; the arguments in all of \
                  those files, every other byte kept, so that neither a new menu nor a new kernel loses \
                  them. No kernel is installed or removed here: that is [packages]. True after a reboot.",
        undo: "`grubby --update-kernel=ALL --remove-args=…`, or take them out of /etc/default/grub and \
               run `update-grub`; `grub-set-default`.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let minimum = self.minimum.as_ref();
        let any = !(self.arguments.is_empty() && self.absent.is_empty());
        Ok(Observed {
            version: minimum
                .map(|minimum| Version::read(host, minimum))
                .transpose()?,
            arguments: any.then(|| Arguments::read(host)).transpose()?,
            configuration: self
                .configuration
                .then(|| Configuration::read(host))
                .transpose()?,
        })
    }

    fn wants(&self, subject: &str) -> bool {
        let one_of = |all: &[Argument], text: &str| all.iter().any(|one| one.as_str() == text);
        match (subject, subject.strip_prefix(WITHOUT)) {
            (VERSION, _) => self.minimum.is_some(),
            (CONFIGURATION, _) => self.configuration,
            (_, Some(argument)) => one_of(&self.absent, argument),
            (argument, None) => one_of(&self.arguments, argument),
        }
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        if let (Some(minimum), Some(version)) = (&self.minimum, &observed.version) {
            version.add(VERSION, minimum, &mut plan);
        }
        if let Some(arguments) = &observed.arguments {
            let with = self
                .arguments
                .iter()
                .map(|one| (one.as_str().to_owned(), one));
            let without = self.absent.iter();
            let without = without.map(|one| (format!("{WITHOUT}{}", one.as_str()), one));
            arguments.add(with.collect(), without.collect(), &mut plan);
        }
        if let Some(configuration) = &observed.configuration {
            configuration.add(CONFIGURATION, &mut plan);
        }
        plan
    }
}

#[cfg(test)]
#[path = "kernel/kernel_test.rs"]
mod tests;
