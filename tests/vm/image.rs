//! Base images, made once a recipe and kept outside the checkout.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What an image is made of; another text is another image.
const RECIPE: [&str; 3] = [
    include_str!("image/build.sh"),
    include_str!("image/lab.sh"),
    include_str!("image/lab.service"),
];

/// Where the root file system begins on a disk, bytes; `image/build.sh` puts it there.
pub const PARTITION: u64 = 1 << 20;

/// A file whose time says when an image was last used.
const USED: &str = "used";
/// An image has some 600 MB; nobody comes back to an old recipe after a week.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);

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
    let cache = cache();
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut hash = DefaultHasher::new();
    RECIPE.hash(&mut hash);
    let dir = cache.join(format!("{suite}-{:016x}", hash.finish()));
    if !dir.exists() {
        forget_unused(&cache);
        build(suite, &dir, lock)?;
    }
    File::create(dir.join(USED)).unwrap();
    Ok(Image { suite, dir })
}

fn build(suite: &str, dir: &Path, lock: File) -> Result<(), String> {
    eprintln!("making the {suite} image in {} (once)", dir.display());
    let unfinished = dir.with_extension("unfinished");
    let _ = fs::remove_dir_all(&unfinished); // of a build that was cut off
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/image/build.sh");
    // Owners, device nodes and SELinux labels need root; what comes out anyone may read.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut make = Command::new(if is_root { "env" } else { "sudo" });
    let status = make
        .arg("bash")
        .arg(script)
        .arg(suite)
        .arg(&unfinished)
        // It holds the lock for as long as it runs, should this process be killed.
        .stdin(lock)
        .status()
        .unwrap();
    if !status.success() {
        return Err(format!("the {suite} image could not be made: see above"));
    }
    fs::rename(unfinished, dir).unwrap();
    Ok(())
}

/// Removes images that no checkout has used for a while: another one may have another recipe.
fn forget_unused(cache: &Path) {
    for entry in fs::read_dir(cache).unwrap().map(Result::unwrap) {
        let used = fs::metadata(entry.path().join(USED)).and_then(|used| used.modified());
        if used.is_ok_and(|used| used.elapsed().is_ok_and(|since| since > UNUSED)) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

fn cache() -> PathBuf {
    let home =
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    cache.join("nodeprep/vm")
}
