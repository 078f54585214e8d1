//! rpm's packages. Its database is sqlite, Berkeley DB or its own: none of them is read without rpm, so
//! what rpm says is remembered for as long as the database stays as it is.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Installed, Stands};
use crate::error::{Result, trouble};
use crate::host::Host;
use crate::step::Manager;

/// Lists of what no upgrade touches: dnf4's and yum's plugin (`versionlock.list`), dnf 5's own.
const DNF_LOCKS: &str = "/etc/dnf/plugins/versionlock.list";
const YUM_LOCKS: &str = "/etc/yum/pluginconf.d/versionlock.list";
const DNF5_LOCKS: &str = "/etc/dnf/versionlock.toml";

/// How these packages stand, in their order.
///
/// # Errors
/// Where rpm can't be asked, or the list of locks can't be read.
pub fn installed(host: &Host, manager: Manager, names: &[&str]) -> Result<Vec<Installed>> {
    let database = host.rpm_database()?;
    let held = held(host, manager, names)?;
    let one = |(name, held): (&&str, bool)| match database.packages.get(*name) {
        Some(version) => Installed {
            version: version.clone(),
            stands: Stands::Installed,
            held,
        },
        None => Installed::default(),
    };
    Ok(names.iter().zip(held).map(one).collect())
}

/// `NAME VERSION` a line, as rpm was asked for it; of a package installed more than once, as kernels
/// are, the last. Keys that were imported are in that database too, all by one name.
#[must_use]
pub fn parse(said: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?);
        // Anything longer is a warning.
        let is_package = words.next().is_none() && name != "gpg-pubkey";
        is_package.then(|| (name.to_owned(), version.to_owned()))
    };
    said.lines().filter_map(pair).collect()
}

fn held(host: &Host, manager: Manager, names: &[&str]) -> Result<Vec<bool>> {
    if manager == Manager::Dnf5 {
        let text = host.text(Path::new(DNF5_LOCKS))?.unwrap_or_default();
        let locks = toml_locks(&text)
            .map_err(|error| trouble!("{DNF5_LOCKS}: {error}: mend it by hand"))?;
        return Ok(names
            .iter()
            .map(|name| locks.iter().any(|lock| lock == name))
            .collect());
    }
    let path = match manager {
        Manager::Yum => YUM_LOCKS,
        _ => DNF_LOCKS,
    };
    let text = host.text(Path::new(path))?.unwrap_or_default();
    Ok(names.iter().map(|name| list_has(&text, name)).collect())
}

/// `name-epoch:version-release.arch` as dnf 4 writes it, `epoch:name-version-release.arch` as yum does;
/// `!` before it keeps a version out instead.
fn list_has(text: &str, name: &str) -> bool {
    let is_it = |line: &str| {
        let line = line.trim();
        let behind = match line.split_once(':') {
            Some((epoch, rest)) if epoch.chars().all(|c| c.is_ascii_digit()) => rest,
            _ => line,
        };
        let rest = behind
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '*'))
    };
    text.lines().any(is_it)
}

/// The names in dnf 5's `[[packages]]` (dnf5-versionlock(8)).
fn toml_locks(text: &str) -> std::result::Result<Vec<String>, toml::de::Error> {
    #[derive(Deserialize)]
    struct Locks {
        #[serde(default)]
        packages: Vec<Lock>,
    }
    #[derive(Deserialize)]
    struct Lock {
        name: String,
    }
    let locks: Locks = toml::from_str(text)?;
    Ok(locks.packages.into_iter().map(|lock| lock.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rpm_says() {
        let said = "warning: rpmdb: BDB2053 Freeing read locks\nbash 5.1.8-9.el9\nkernel 5.14-1\nkernel 5.14-2\n\
                    gpg-pubkey 8483c65d-5ccc5b19\n";
        let all = parse(said);
        assert_eq!(all.get("kernel").map(String::as_str), Some("5.14-2"));
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn locks_of_each_kind() {
        let dnf =
            "# Added lock on Sat Nov 21\nkubelet-0:1.30.4-150500.1.1.*\n!kubeadm-0:1.31.0-1.*\n";
        assert!(list_has(dnf, "kubelet") && !list_has(dnf, "kubeadm") && !list_has(dnf, "kube"));
        assert!(list_has("0:kubelet-1.24.0-0.*\n", "kubelet"));
        let dnf5 = "version = \"1.0\"\n[[packages]]\nname = \"kubelet\"\ncomment = \"x\"\n";
        assert_eq!(toml_locks(dnf5).unwrap(), ["kubelet"]);
        assert_eq!(toml_locks("").unwrap(), [""; 0]);
    }
}
