//! Which unit files systemd has and which of them the boot will start, read from the file system:
//! the answer is the same whether systemd runs or not.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::Host;

/// Unit directories from the strongest to the weakest (systemd.unit(5)); generated and transient
/// ones belong to the running boot and are made anew by the next.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Directories of links, by their unit's name before (systemd.unit(5)).
const WANTS: [&str; 3] = [".wants", ".requires", ".upholds"];
/// Where system generators are (systemd.generator(7)), strongest first.
const GENERATORS: [&str; 5] = [
    "/run/systemd/system-generators",
    "/etc/systemd/system-generators",
    "/usr/local/lib/systemd/system-generators",
    "/usr/lib/systemd/system-generators",
    "/lib/systemd/system-generators",
];

/// Where a mask of a unit goes.
#[must_use]
pub fn mask_path(unit: &str) -> PathBuf {
    Path::new("/etc/systemd/system").join(unit)
}

/// Where a mask of a generator goes.
#[must_use]
pub fn generator_mask_path(generator: &str) -> PathBuf {
    Path::new("/etc/systemd/system-generators").join(generator)
}

/// The unit's file, if it has one that is not a mask.
///
/// # Errors
/// Where a directory cannot be looked into.
pub fn file(host: &Host, unit: &str) -> Result<Option<PathBuf>> {
    first(host, &DIRECTORIES, unit)
}

/// The unit's file below a mask.
///
/// # Errors
/// Where a directory cannot be looked into.
pub fn masked_file(host: &Host, unit: &str) -> Result<Option<PathBuf>> {
    for path in DIRECTORIES.iter().map(|dir| Path::new(dir).join(unit)) {
        if host.kind(&path)?.is_some() && !is_mask(host, &path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Whether a path is a link that masks.
///
/// # Errors
/// Where it cannot be looked up.
pub fn is_mask(host: &Host, path: &Path) -> Result<bool> {
    let target = host.link(path)?;
    Ok(target.is_some_and(|target| target == Path::new("/dev/null")))
}

/// The generator's program, if it has one that is not masked.
///
/// # Errors
/// Where a directory cannot be looked into.
pub fn generator(host: &Host, name: &str) -> Result<Option<PathBuf>> {
    first(host, &GENERATORS, name)
}

/// Links by which some unit wants, requires or upholds one whose name `is_meant`, with that name:
/// what the boot may start. Masked units and those without a file are left out.
///
/// # Errors
/// Where a directory cannot be looked into.
pub fn wanted(host: &Host, is_meant: impl Fn(&str) -> bool) -> Result<Vec<(String, PathBuf)>> {
    let mut wanted = Vec::new();
    for (unit, link) in links(host, is_meant)? {
        if file(host, &unit)?.is_some() {
            wanted.push((unit, link));
        }
    }
    Ok(wanted)
}

/// The same links, whether there is anything to start or not.
///
/// # Errors
/// Where a directory cannot be looked into.
pub fn links(host: &Host, is_meant: impl Fn(&str) -> bool) -> Result<Vec<(String, PathBuf)>> {
    let mut links = Vec::new();
    for directory in DIRECTORIES.iter().map(Path::new) {
        if directory.starts_with("/lib") && host.is_usr_merged()? {
            continue;
        }
        let names = host.list(directory)?;
        let wants = |name: &&String| WANTS.iter().any(|end| name.ends_with(end));
        for dir in names.iter().filter(wants).map(|name| directory.join(name)) {
            for unit in host.list(&dir)?.iter().filter(|unit| is_meant(unit)) {
                links.push((unit.clone(), dir.join(unit)));
            }
        }
    }
    Ok(links)
}

/// The template that an instance is made of: `getty@.service` for getty@tty1.service.
#[must_use]
pub fn template(unit: &str) -> Option<String> {
    let (name, rest) = unit.split_once('@')?;
    let (instance, kind) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{name}@.{kind}"))
}

/// systemd's version by the name of the library its programs share; 0 where there is none to see
/// (before 231).
///
/// # Errors
/// Where a directory cannot be looked into.
pub fn systemd_version(host: &Host) -> Result<u32> {
    let lib = Path::new("/usr/lib");
    let multiarch = host.list(lib)?;
    let multiarch = multiarch.iter().filter(|name| name.contains("-linux-gnu"));
    let dirs = multiarch.map(|name| lib.join(name).join("systemd"));
    let fixed = ["/usr/lib/systemd", "/lib/systemd", "/usr/lib64/systemd"].map(PathBuf::from);
    for dir in fixed.into_iter().chain(dirs) {
        for name in host.list(&dir)?.iter() {
            let Some(rest) = name.strip_prefix("libsystemd-shared-") else {
                continue;
            };
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if let Some(Ok(version)) = rest.get(..digits).map(str::parse) {
                return Ok(version);
            }
        }
    }
    Ok(0)
}

fn first(host: &Host, directories: &[&str], name: &str) -> Result<Option<PathBuf>> {
    for path in directories.iter().map(|dir| Path::new(dir).join(name)) {
        if host.kind(&path)?.is_none() {
            continue;
        }
        return Ok((!is_mask(host, &path)?).then_some(path));
    }
    Ok(None)
}

/// A path as a unit name: `/dev/disk/by-uuid/x-y` is `dev-disk-by\x2duuid-x\x2dy` (systemd.unit(5),
/// string escaping).
#[must_use]
pub fn escape_path(path: &str) -> String {
    let trimmed = path
        .split('/')
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("/");
    let mut name = String::new();
    for (index, byte) in trimmed.bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if index == 0 => name.push_str("\\x2e"),
            byte if byte.is_ascii_alphanumeric() || b":_.".contains(&byte) => {
                name.push(char::from(byte));
            }
            byte => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes_as_systemd_escape_does() {
        assert_eq!(
            super::escape_path("/dev/disk/by-uuid/ab-c"),
            "dev-disk-by\\x2duuid-ab\\x2dc"
        );
        assert_eq!(super::escape_path("//swap.img/"), "swap.img");
    }
}
