//! What takes long to make of packages: made once a recipe and kept outside the checkout.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A file whose time says when it was last used.
const USED: &str = "used";
/// They have some 600 MB; nobody comes back to an old recipe after a week.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);

/// The directory that `script SUITE DIRECTORY` makes of a suite, made now if it is not there yet.
/// Another `recipe` is another directory. Nothing may write to it.
///
/// # Errors
/// Where it can't be made (no mirror, no root, packages that don't fit together).
pub fn made(kind: &str, suite: &str, recipe: &[&str], script: &str) -> Result<PathBuf, String> {
    let cache = home().join("nodeprep").join(kind);
    fs::create_dir_all(&cache).unwrap();
    let lock = File::create(cache.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut hash = DefaultHasher::new();
    recipe.hash(&mut hash);
    let dir = cache.join(format!("{suite}-{:016x}", hash.finish()));
    if !dir.exists() {
        forget_unused(&cache);
        make(suite, &dir, script, lock)?;
    }
    File::create(dir.join(USED)).unwrap();
    Ok(dir)
}

fn make(suite: &str, dir: &Path, script: &str, lock: File) -> Result<(), String> {
    eprintln!("making {} by {script} (once)", dir.display());
    let unfinished = dir.with_extension("unfinished");
    let _ = fs::remove_dir_all(&unfinished); // of one that was cut off
    // Owners, device nodes and SELinux labels need root; what comes out anyone may read.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut make = Command::new(if is_root { "env" } else { "sudo" });
    let status = make
        .arg("bash")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .arg(suite)
        .arg(&unfinished)
        // It holds the lock for as long as it runs, should this process be killed.
        .stdin(lock)
        .status()
        .unwrap();
    if !status.success() {
        return Err(format!("{script} {suite} failed: see above"));
    }
    fs::rename(unfinished, dir).unwrap();
    Ok(())
}

/// Removes what no checkout has used for a while: another one may have another recipe.
fn forget_unused(cache: &Path) {
    for entry in fs::read_dir(cache).unwrap().map(Result::unwrap) {
        let used = fs::metadata(entry.path().join(USED)).and_then(|used| used.modified());
        if used.is_ok_and(|used| used.elapsed().is_ok_and(|since| since > UNUSED)) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

fn home() -> PathBuf {
    let home =
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from)
}
