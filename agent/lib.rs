//! Makes a Linux host ready for kubeadm and containerd, and keeps it ready.
//!
//! The path of the data, which is also the order of the modules:
//!
//! ```text
//! profile.toml ─► tree, merged and expanded ─► Profile ─► [Item]
//!                                                │ observe(&Host)   reads only
//!                                                ▼
//!                                             Observed ── diff ──► ItemPlan { findings, steps }
//!                                                = Plan
//! check: Plan ─► Report
//! apply: for each stage: Plan ─► journal ─► perform ─► what is due once; one last Plan ─► Report
//! daemon: the same, of what events say may have changed
//! ```

pub mod error;
pub mod secret;

pub mod profile;

pub mod finding;
pub mod step;
pub mod template;
pub mod text;

pub mod boot;
pub mod firewall;
pub mod host;
pub mod items;
pub mod kubernetes;

pub mod journal;
pub mod runs;

pub mod plan;
pub mod undo;

pub mod performer;
pub mod reconcile;
pub mod report;

pub mod daemon;

pub mod cli;
