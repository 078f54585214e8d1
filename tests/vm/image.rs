//! Base images.

use std::path::PathBuf;

use crate::cache;

/// What an image is made of; another text is another image.
const RECIPE: [&str; 3] = [
    include_str!("image/build.sh"),
    include_str!("image/lab.sh"),
    include_str!("image/lab.service"),
];

/// Where the root file system begins on a disk, bytes; `image/build.sh` puts it there.
pub const PARTITION: u64 = 1 << 20;

/// A base image: `disk.raw`, `vmlinuz` and `initrd.img` in one directory. Nothing writes to it.
#[derive(Debug, Clone)]
pub struct Image {
    /// The suite it is made of.
    pub suite: &'static str,
    /// The directory.
    pub dir: PathBuf,
}

impl Image {
    /// The disk, whole.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk.raw")
    }
}

/// The image of a suite, made now if it is not there yet.
///
/// # Errors
/// Where it can't be made (no mirror, no root, packages that don't fit together).
pub fn of(suite: &'static str) -> Result<Image, String> {
    let dir = cache::made("vm", suite, &RECIPE, "tests/vm/image/build.sh")?;
    Ok(Image { suite, dir })
}
