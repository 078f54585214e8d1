//! The profile language: what a user writes about a host, checked so closely that a typo is
//! answered with its line and the word that was meant, and never with a host half prepared.
//!
//! ```text
//! word on the command line ─ load ─► files in line ─ merge ─► vars, sections ─ expand ─► Resolved
//!                                                                    section ─ de ─► [Item] = Profile
//! ```
//!
//! Only [`Profile::load`] knows of a host: [`load()`] is given a reader and a source of facts.

pub mod builtin;
pub mod de;
pub mod diagnostic;
mod document;
mod expand;
mod fault;
pub mod lint;
mod load;
mod mention;
mod merge;
mod parse;
mod print;
mod resolved;
mod set;
pub mod tree;
mod typed;

pub use diagnostic::ProfileError;
pub use document::SCHEMAS;
pub use expand::Facts;
pub use load::{MAX_PROFILE_BYTES, Read, load};
pub use resolved::{Resolved, unknown_section};
pub use tree::{Node, Source, Span, Table, Value};
pub use typed::{History, Profile, bad};
