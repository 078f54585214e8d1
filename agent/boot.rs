//! Boot truth: what the next boot will really make of the files that are there, whoever wrote them.

pub mod cmdline;
pub mod dropins;
pub mod enablement;
pub mod kernels;
pub mod loader;
pub mod modules;
pub mod packages;
pub mod services;
pub mod units;
