//! What is fuzzed: every parser of text or bytes that a host or a user gives, one function each, with
//! what must hold of it beside not to panic. libfuzzer.rs looks for inputs that break one of them;
//! replay.rs, an ordinary test, gives them those that are known.

mod facts;
mod host;
mod items;
mod journal;
mod node;
mod ports;
mod profile;
mod rules;

/// A parser by its name, which is also that of its directory of seeds.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const ALL: &[Target] = &[
    ("profile", profile::loads),
    ("facts", facts::told),
    ("cri", facts::cri),
    ("journal", journal::read),
    ("swap", items::swap),
    ("selinux", items::selinux),
    ("modules", items::modules),
    ("sysctl", items::sysctl),
    ("journald", items::journald),
    ("containerd", items::containerd),
    ("crictl", items::crictl),
    ("ports-iptables", ports::iptables),
    ("ports-nft", ports::nft),
    ("ports-ufw", ports::ufw),
    ("ports-firewalld", ports::firewalld),
    ("ports-live", ports::live),
    ("hosts", node::hosts),
    ("dns", node::dns),
    ("network-manager", node::network_manager),
    ("limits", node::limits),
    ("kernel", node::kernel),
    ("kubelet", node::kubelet),
    ("services", node::services),
    ("time", node::time),
    ("files", node::files),
    ("repositories", node::repositories),
    ("netlink", rules::netlink),
    ("xtables", rules::xtables),
];

/// Between the parts of an input that stands for several files: ASCII's record separator.
pub const SEPARATOR: u8 = 0x1e;

/// The parts of an input.
fn parts(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    input.split(|byte| *byte == SEPARATOR)
}
