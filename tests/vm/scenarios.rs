//! The scenarios, each on a machine of its own.

mod break_each;
mod containerd;
mod pristine;
mod selinux;

use crate::image::Image;

/// What a scenario does with machines made from an image.
pub type Body = fn(&Image);

/// Name and body of each.
pub const ALL: [(&str, Body); 3] = [
    ("pristine", pristine::run),
    ("containerd", containerd::run),
    ("selinux", selinux::run),
];
