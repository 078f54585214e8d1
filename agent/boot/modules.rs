//! Which kernel modules the next boot loads: modules-load.d and the kernel command line name them,
//! blacklists and `install` lines take them away again, and the kernel that boots must have them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{cmdline, dropins};
use crate::error::Result;
use crate::finding::Origin;
use crate::host::Host;

/// `-` and `_` are one in module names (modprobe(8)).
#[must_use]
pub fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// What the next boot does about one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Load {
    /// Loads it, or has it built in.
    Loaded,
    /// Would load it, but this stands against it; `true` where modprobe by hand is stopped as well.
    Refused(Origin, bool),
    /// Nothing asks for it.
    NotListed,
}

/// The module configuration of the next boot.
#[derive(Debug)]
pub struct BootModules {
    /// Modules that systemd-modules-load is told to load.
    listed: BTreeMap<String, Origin>,
    /// `blacklist`: systemd-modules-load skips them, as dependencies they still come
    /// (libkmod, KMOD_PROBE_APPLY_BLACKLIST).
    blacklisted: BTreeMap<String, Origin>,
    /// `install NAME /bin/false` and `module_blacklist=`: not even as a dependency.
    refused: BTreeMap<String, Origin>,
}

impl BootModules {
    /// Reads it.
    ///
    /// # Errors
    /// Where one of the files cannot be read.
    pub fn read(host: &Host) -> Result<Self> {
        let mut boot = Self {
            listed: BTreeMap::new(),
            blacklisted: BTreeMap::new(),
            refused: BTreeMap::new(),
        };
        for file in dropins::read(host, "modules-load.d")? {
            for (line, name) in dropins::lines(&file.text) {
                boot.listed
                    .entry(normal(name))
                    .or_insert_with(|| Origin::line(&file.path, line));
            }
        }
        boot.add_scripts(host)?;
        for file in dropins::read(host, "modprobe.d")? {
            boot.add_modprobe(&file);
        }
        boot.add_arguments(&cmdline::arguments(host)?);
        Ok(boot)
    }

    /// What the boot does about `name`, its dependencies by `known`.
    #[must_use]
    pub fn load(&self, name: &str, known: &Modules) -> Load {
        if known.built_in(name) {
            return Load::Loaded;
        }
        if let Some(origin) = self.refused.get(name) {
            return Load::Refused(origin.clone(), true);
        }
        let comes_with = self
            .listed
            .keys()
            .filter(|listed| !self.blacklisted.contains_key(*listed));
        let mut failed = None;
        for listed in comes_with {
            let all = known.with_dependencies(listed);
            if !all.contains(name) {
                continue;
            }
            match all.iter().find_map(|module| self.refused.get(module)) {
                None => return Load::Loaded,
                Some(origin) => failed = Some(origin.clone()),
            }
        }
        match (failed, self.blacklisted.get(name)) {
            (Some(origin), _) => Load::Refused(origin, true),
            (None, Some(origin)) => Load::Refused(origin.clone(), false),
            (None, None) => Load::NotListed,
        }
    }

    /// CentOS 7's rhel-loadmodules.service runs the executable scripts of this directory; the
    /// `modprobe` lines in them are what can be told without running them.
    fn add_scripts(&mut self, host: &Host) -> Result<()> {
        let dir = Path::new("/etc/sysconfig/modules");
        for name in host
            .list(dir)?
            .iter()
            .filter(|name| name.ends_with(".modules"))
        {
            let path = dir.join(name);
            let text = host.text(&path)?.unwrap_or_default();
            for (line, text) in dropins::lines(&text) {
                let mut words = text
                    .split_whitespace()
                    .skip_while(|word| !word.ends_with("modprobe"));
                if words.next().is_some()
                    && let Some(module) = words.find(|word| !word.starts_with('-'))
                {
                    self.listed
                        .entry(normal(module))
                        .or_insert_with(|| Origin::line(&path, line));
                }
            }
        }
        Ok(())
    }

    /// `blacklist` and `install` lines (modprobe.d(5)). An `install` command other than the two that
    /// do nothing is taken to load its module.
    fn add_modprobe(&mut self, file: &dropins::DropIn) {
        for (line, text) in dropins::lines(&file.text) {
            let words: Vec<&str> = text.split_whitespace().collect();
            let origin = || Origin::line(&file.path, line);
            match words.as_slice() {
                ["blacklist", name, ..] => {
                    self.blacklisted.entry(normal(name)).or_insert_with(origin);
                }
                ["install", name, command, ..]
                    if command.ends_with("/false") || command.ends_with("/true") =>
                {
                    self.refused.entry(normal(name)).or_insert_with(origin);
                }
                _ => {}
            }
        }
    }

    /// `modules_load=` (systemd-modules-load(8)), `modprobe.blacklist=` (modprobe(8)) and
    /// `module_blacklist=` (kernel-parameters.txt).
    fn add_arguments(&mut self, arguments: &[(String, Option<String>)]) {
        let into: [(&str, &mut BTreeMap<String, Origin>); 3] = [
            ("modules_load", &mut self.listed),
            ("modprobe.blacklist", &mut self.blacklisted),
            ("module_blacklist", &mut self.refused),
        ];
        for (argument, map) in into {
            let values = cmdline::values(arguments, argument).flat_map(|value| value.split(','));
            for name in values.filter(|name| !name.is_empty()) {
                let origin = || Origin::Other(format!("kernel argument {argument}={name}"));
                map.entry(normal(name)).or_insert_with(origin);
            }
        }
    }
}

/// The modules one installed kernel has: name to the names it needs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Modules {
    /// Whether its modules.dep is there; without it nothing says what is built in.
    pub known: bool,
    files: BTreeMap<String, Vec<String>>,
    built_in: BTreeSet<String>,
}

impl Modules {
    /// Reads modules.dep and modules.builtin of a kernel release (depmod(8)); empty where that
    /// kernel is not installed.
    ///
    /// # Errors
    /// Where a file exists and cannot be read.
    pub fn read(host: &Host, release: &str) -> Result<Self> {
        let dir = directory(release);
        let files = host.text(&dir.join("modules.dep"))?;
        let known = files.is_some();
        let files = files.unwrap_or_default();
        let built_in = host.text(&dir.join("modules.builtin"))?.unwrap_or_default();
        Ok(Self {
            known,
            files: files.lines().filter_map(dependency_line).collect(),
            built_in: built_in.lines().map(module_name).collect(),
        })
    }

    /// Whether the kernel has it, as a file or built in.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.built_in(name)
    }

    /// Whether it is part of the kernel image.
    #[must_use]
    pub fn built_in(&self, name: &str) -> bool {
        self.built_in.contains(name)
    }

    /// A module and all it needs; modules.dep lists dependencies of dependencies too.
    #[must_use]
    pub fn with_dependencies(&self, name: &str) -> BTreeSet<String> {
        let needed = self.files.get(name).into_iter().flatten().cloned();
        needed.chain([name.to_owned()]).collect()
    }

    /// The name that this kernel has for what `name` means: kernels before 4.19 (and EL 8 before
    /// 8.3) have connection tracking for IPv4 in nf_conntrack_ipv4, later ones in nf_conntrack.
    #[must_use]
    pub fn resolve(&self, name: &str) -> String {
        let name = normal(name);
        match name.as_str() {
            "nf_conntrack" | "nf_conntrack_ipv4" if self.has("nf_conntrack_ipv4") => {
                "nf_conntrack_ipv4".into()
            }
            "nf_conntrack_ipv4" if self.has("nf_conntrack") => "nf_conntrack".into(),
            _ => name,
        }
    }
}

/// A module and all the running kernel would load with it.
///
/// # Errors
/// Where modules.dep cannot be read.
pub fn with_dependencies(host: &Host, name: &str) -> Result<BTreeSet<String>> {
    let release = host.kernel_release()?.unwrap_or_default();
    Ok(Modules::read(host, &release)?.with_dependencies(name))
}

/// The kernels that are installed with their modules, newest first.
///
/// # Errors
/// Where `/lib/modules` or `/boot` cannot be read.
pub fn installed_kernels(host: &Host) -> Result<Vec<String>> {
    let boot = host.list(Path::new("/boot"))?;
    let mut releases = Vec::new();
    for release in host.list(Path::new("/lib/modules"))?.iter() {
        let image = format!("vmlinuz-{release}");
        if boot.contains(&image) || host.kind(&directory(release).join("vmlinuz"))?.is_some() {
            releases.push(release.clone());
        }
    }
    releases.sort_by(|a, b| compare_releases(b, a));
    Ok(releases)
}

/// The kernel the next boot takes: the newest installed one, as boot loaders do by default; the
/// running one where none is found (a kernel that the machine's maker boots from outside).
///
/// # Errors
/// As [`installed_kernels`].
pub fn boot_kernel(host: &Host) -> Result<Option<String>> {
    match installed_kernels(host)?.into_iter().next() {
        Some(release) => Ok(Some(release)),
        None => host.kernel_release(),
    }
}

/// Where a kernel's modules are.
#[must_use]
pub fn directory(release: &str) -> PathBuf {
    Path::new("/lib/modules").join(release)
}

/// Compares release strings number by number, as `sort -V` and boot loaders do.
fn compare_releases(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u64, String)> {
        text.split(['.', '-', '+', '_', '~'])
            .map(|part| {
                let digits = part.bytes().take_while(u8::is_ascii_digit).count();
                let (number, rest) = part.split_at(digits);
                (number.parse().unwrap_or(0), rest.to_owned())
            })
            .collect()
    };
    parts(a).cmp(&parts(b))
}

/// `kernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz …`
fn dependency_line(line: &str) -> Option<(String, Vec<String>)> {
    let (file, needs) = line.split_once(':')?;
    Some((
        module_name(file),
        needs.split_whitespace().map(module_name).collect(),
    ))
}

/// The module a file holds: its base name up to `.ko`.
fn module_name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    normal(base.split(".ko").next().unwrap_or(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dependencies() {
        let line = "kernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz kernel/net/802/stp.ko";
        let (name, needs) = dependency_line(line).unwrap();
        assert_eq!(
            (name.as_str(), needs),
            ("br_netfilter", vec!["bridge".into(), "stp".into()])
        );
    }

    #[test]
    fn conntrack_goes_by_what_the_kernel_has() {
        let kernel = |names: &[&str]| Modules {
            known: true,
            files: names
                .iter()
                .map(|name| ((*name).to_owned(), Vec::new()))
                .collect(),
            built_in: BTreeSet::new(),
        };
        let old = kernel(&["nf_conntrack", "nf_conntrack_ipv4"]);
        assert_eq!(old.resolve("nf-conntrack"), "nf_conntrack_ipv4");
        assert_eq!(
            kernel(&["nf_conntrack"]).resolve("nf_conntrack_ipv4"),
            "nf_conntrack"
        );
        assert_eq!(
            kernel(&[]).resolve("nf_conntrack_ipv4"),
            "nf_conntrack_ipv4"
        );
    }

    #[test]
    fn newest_release_first() {
        assert_eq!(
            compare_releases("6.1.0-9-amd64", "6.1.0-21-amd64"),
            Ordering::Less
        );
        assert_eq!(
            compare_releases("5.14.0-503.el9", "5.14.0-70.el9"),
            Ordering::Greater
        );
    }
}
