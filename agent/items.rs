//! The registry of item kinds. Its order is the apply order, and each line of it says why it stands
//! there.

use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::profile::de;
use crate::profile::diagnostic::ProfileError;
use crate::profile::tree::Node;

/// When an item is applied: each stage is planned on the host as the one before really left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What brings programs: what they read and do is planned once they are there.
    Install,
    /// Everything that writes files and kernel state.
    Configure,
    /// What asks a configured daemon.
    Use,
}

impl Stage {
    /// In the order they are applied.
    pub const ALL: [Self; 3] = [Self::Install, Self::Configure, Self::Use];
}

/// What an item kind is: its typed section of the profile, that can look and compare, never act.
pub trait Kind {
    /// What [`Kind::observe`] finds, enough for [`Kind::diff`] to decide without the host.
    type Observed;
    /// The stage it is applied in.
    const STAGE: Stage = Stage::Configure;
    /// Whether its boot truth is made by systemd; a file that programs read themselves is true
    /// without.
    const BOOTS_BY_SYSTEMD: bool = true;
    /// What `nodeprep explain` says.
    const EXPLAIN: Explain;

    /// Reads what the host has.
    ///
    /// # Errors
    /// Where something that decides cannot be read: the item is then Unknown.
    fn observe(&self, host: &Host) -> Result<Self::Observed>;

    /// Whether a subject that an earlier run did something for is still wanted. Where it is not, that
    /// is taken back.
    fn wants(&self, _subject: &str) -> bool {
        true
    }

    /// Whether a file that an earlier run made for a subject, or a directory above it, is still the one
    /// for it: the profile may name another.
    fn wants_file(&self, _path: &Path) -> bool {
        true
    }

    /// Whether a change for this subject could take a node out of its cluster, or its pods down: on a
    /// member it waits for `--on-member`.
    #[must_use]
    fn hurts_member(_subject: &str) -> bool {
        false
    }

    /// Compares, and says what would be done. Pure.
    fn diff(&self, observed: &Self::Observed) -> ItemPlan;
}

/// The four answers of `nodeprep explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Explain {
    /// Why a node needs it.
    pub why: &'static str,
    /// What is looked at, live and boot.
    pub looks_at: &'static str,
    /// What is changed.
    pub changes: &'static str,
    /// How to undo it by hand.
    pub undo: &'static str,
}

/// One line a kind: its module, its type and (as the module's name) its section of the profile.
macro_rules! registry {
    ($($module:ident :: $kind:ident),* $(,)?) => {
        $(pub mod $module;)*

        /// One item of a profile.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Item {
            $(
                #[doc = concat!("`[", stringify!($module), "]`")]
                $kind($module::$kind),
            )*
        }

        impl Item {
            /// The sections a profile can have, in apply order.
            pub const NAMES: &[&str] = &[$(stringify!($module)),*];

            /// Reads the section `name`; none where there is no such kind.
            ///
            /// # Errors
            /// Where the section's content is not what the kind expects.
            pub fn from_section(name: &str, node: &Node) -> Option<std::result::Result<Self, ProfileError>> {
                match name {
                    $(stringify!($module) => Some(de::from_node(node, name).map(Self::$kind)),)*
                    _ => None,
                }
            }

            /// The section's name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => stringify!($module),)* }
            }

            /// When it is applied.
            #[must_use]
            pub fn stage(&self) -> Stage {
                match self { $(Self::$kind(_) => $module::$kind::STAGE,)* }
            }

            /// Whether its boot truth is made by systemd.
            #[must_use]
            pub fn boots_by_systemd(&self) -> bool {
                match self { $(Self::$kind(_) => $module::$kind::BOOTS_BY_SYSTEMD,)* }
            }

            /// Looks and compares.
            ///
            /// # Errors
            /// As [`Kind::observe`].
            pub fn plan(&self, host: &Host) -> Result<ItemPlan> {
                match self { $(Self::$kind(kind) => Ok(kind.diff(&kind.observe(host)?)),)* }
            }

            /// Whether a subject is still wanted.
            #[must_use]
            pub fn wants(&self, subject: &str) -> bool {
                match self { $(Self::$kind(kind) => kind.wants(subject),)* }
            }

            /// Whether a file that was made is still the one for its subjects.
            #[must_use]
            pub fn wants_file(&self, path: &Path) -> bool {
                match self { $(Self::$kind(kind) => kind.wants_file(path),)* }
            }

            /// Whether a change for this subject of the item called `name` could hurt a member of a
            /// cluster.
            #[must_use]
            pub fn hurts_member(name: &str, subject: &str) -> bool {
                match name {
                    $(stringify!($module) => <$module::$kind as Kind>::hurts_member(subject),)*
                    _ => false,
                }
            }

            /// What a kind is about; none where there is no such kind.
            #[must_use]
            pub fn explain(name: &str) -> Option<Explain> {
                match name {
                    $(stringify!($module) => Some(<$module::$kind as Kind>::EXPLAIN),)*
                    _ => None,
                }
            }
        }
    };
}

registry! {
    // A stage of their own: what they bring decides what the others find.
    repositories::Repositories,
    packages::Packages,
    // After a package whose file a newer one takes the place of.
    archives::Archives,
    // First: everything later may need memory.
    swap::Swap,
    // Before all that a policy could refuse.
    selinux::Selinux,
    // What only the next boot reads.
    kernel::Kernel,
    cgroups::Cgroups,
    // Before sysctls: a module brings its keys.
    modules::Modules,
    sysctl::Sysctl,
    // Needs none of them.
    journald::Journald,
    // The host's name before /etc/hosts, where it is to resolve, and both before what looks names up.
    hostname::Hostname,
    hosts::Hosts,
    // Before images are pulled.
    dns::Dns,
    // Before a runtime makes interfaces.
    network_manager::NetworkManager,
    // Before containerd, whose restart then serves both.
    limits::Limits,
    // Needs the modules and keys.
    containerd::Containerd,
    time::Time,
    // After all that might edit a file it is not to edit as well.
    files::Files,
    // Before the file by which it will join.
    kubelet::Kubelet,
    // Nobody reads its file yet.
    kubeadm::Kubeadm,
    // Starts what all of these are read by.
    services::Services,
    // From here on they ask what the others made. Nothing here needs the ports open.
    ports::Ports,
    crictl::Crictl,
    images::Images,
}
