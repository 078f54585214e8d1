//! The scenarios, each on a machine of its own.

mod break_each;
mod pristine;

use crate::image::Image;

/// Name and body of each.
pub const ALL: [(&str, fn(&Image)); 2] =
    [("pristine", pristine::run), ("break_each", break_each::run)];
