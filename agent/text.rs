//! Editing texts that others edit too: what is ours in them has bounds, every other byte stays.

pub mod block;
pub mod section;
