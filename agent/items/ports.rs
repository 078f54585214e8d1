//! The firewalls that keep ports open by configuration of their own.

pub mod firewalld;
pub mod iptables_rule;
pub mod opening;
pub mod sequence;
pub mod ufw;
