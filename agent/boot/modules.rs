//! Which kernel modules the next boot loads: modules-load.d and the kernel command line name them,
//! blacklists and `install` lines take them away again, and the kernel that boots must have them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use super::kernels::directory;
use super::{cmdline, dropins, units};
use crate::error::Result;
use crate::finding::Origin;
use crate::host::Host;

/// A line of modules.dep has about so many bytes.
const LINE: usize = 128;

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
    /// Only a script loads it, and systemd-sysctl does not wait for scripts.
    Scripted(Origin),
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
    /// Modules that scripts load with modprobe, which no blacklist stops.
    scripted: BTreeMap<String, Origin>,
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
            scripted: BTreeMap::new(),
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
        let refused = |module: &str| {
            let needed = known.with_dependencies(module);
            needed.iter().find_map(|needed| self.refused.get(needed))
        };
        if let Some(origin) = refused(name) {
            return Load::Refused(origin.clone(), true);
        }
        let comes_with = |listed: &str| {
            known.can_load(listed)
                && refused(listed).is_none()
                && known.with_dependencies(listed).iter().any(|of| of == name)
        };
        let mut listed = self.listed.keys();
        if listed.any(|listed| !self.blacklisted.contains_key(listed) && comes_with(listed)) {
            return Load::Loaded;
        }
        if let Some((_, origin)) = self.scripted.iter().find(|(module, _)| comes_with(module)) {
            return Load::Scripted(origin.clone());
        }
        match self.blacklisted.get(name) {
            Some(origin) => Load::Refused(origin.clone(), false),
            None => Load::NotListed,
        }
    }

    /// rhel-loadmodules.service (EL 7; loadmodules.service on EL 8) runs the executable scripts of
    /// this directory; the `modprobe` lines in them are what can be told without running them.
    fn add_scripts(&mut self, host: &Host) -> Result<()> {
        if units::wanted(host, |unit| unit.ends_with("loadmodules.service"))?.is_empty() {
            return Ok(());
        }
        let dir = Path::new("/etc/sysconfig/modules");
        for name in host
            .list(dir)?
            .iter()
            .filter(|name| name.ends_with(".modules"))
        {
            let path = dir.join(name);
            if !host.is_executable(&path)? {
                continue;
            }
            let text = host.text(&path)?.unwrap_or_default();
            for (line, text) in dropins::lines(&text) {
                let mut words = text
                    .split_whitespace()
                    .skip_while(|word| !word.ends_with("modprobe"));
                if words.next().is_some()
                    && let Some(module) = words.find(|word| !word.starts_with('-'))
                {
                    self.scripted
                        .entry(normal(module.trim_end_matches(';')))
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
#[derive(Debug, Default)]
pub struct Modules {
    /// Whether its modules.dep is there; without it nothing says what is built in.
    pub known: bool,
    /// modules.dep, some thousand lines of which a few are asked for.
    text: String,
    /// Where in it the needs of each module are.
    files: HashMap<String, Range<usize>>,
    built_in: HashSet<String>,
}

impl Modules {
    /// Reads modules.dep and modules.builtin of a kernel release (depmod(8)); empty where that
    /// kernel is not installed.
    ///
    /// # Errors
    /// Where a file exists and cannot be read.
    pub fn read(host: &Host, release: &str) -> Result<Rc<Self>> {
        host.modules(release, || {
            let dir = directory(release);
            let files = host.text(&dir.join("modules.dep"))?;
            let built_in = host.text(&dir.join("modules.builtin"))?;
            Ok(Self::parse(files, &built_in.unwrap_or_default()))
        })
    }

    fn parse(files: Option<String>, built_in: &str) -> Self {
        let known = files.is_some();
        let text = files.unwrap_or_default();
        let mut files = HashMap::with_capacity(text.len() / LINE);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let end = start + line.len();
            // `kernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz …`
            if let Some((file, _)) = line.split_once(':') {
                files.insert(module_name(file), start + file.len() + 1..end);
            }
            start = end;
        }
        let built_in = built_in.lines().map(module_name).collect();
        Self {
            known,
            text,
            files,
            built_in,
        }
    }

    /// Whether the kernel has it, as a file or built in.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.built_in(name)
    }

    /// Whether asking for it can work: where nothing is known of the kernel, it is taken to.
    fn can_load(&self, name: &str) -> bool {
        !self.known || self.has(name)
    }

    /// Whether it is part of the kernel image.
    #[must_use]
    pub fn built_in(&self, name: &str) -> bool {
        self.built_in.contains(name)
    }

    /// A module and all it needs, in the order in which they can be unloaded: modules.dep lists
    /// dependencies of dependencies too, each behind what needs it (modules.dep(5), modprobe(8)).
    #[must_use]
    pub fn with_dependencies(&self, name: &str) -> Vec<String> {
        let needed = self
            .files
            .get(name)
            .and_then(|place| self.text.get(place.clone()));
        let needed = needed.unwrap_or_default().split_whitespace();
        let needed = needed.map(module_name);
        std::iter::once(name.to_owned()).chain(needed).collect()
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

    /// What other kernels call this module, where this one has none of that name.
    #[must_use]
    pub fn other_name(&self, name: &str) -> Option<String> {
        let other = "nf_conntrack_ipv4";
        let is_it = self.known && name == self.resolve(other) && !self.has(other);
        (is_it && name != other).then(|| other.to_owned())
    }
}

/// A module and all the running kernel would load with it.
///
/// # Errors
/// Where modules.dep cannot be read.
pub fn with_dependencies(host: &Host, name: &str) -> Result<Vec<String>> {
    let release = host.kernel_release()?.unwrap_or_default();
    Ok(Modules::read(host, &release)?.with_dependencies(name))
}

/// The module a file holds: its base name up to `.ko`; no module's name has a dot.
fn module_name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    normal(base.split('.').next().unwrap_or(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(files: &str) -> Modules {
        Modules::parse(Some(files.to_owned()), "")
    }

    #[test]
    fn reads_dependencies() {
        let text = "a/x-y.ko:\nkernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz \
                    kernel/net/802/stp.ko\nno line\nb/z.ko:";
        let modules = kernel(text);
        let needs = modules.with_dependencies("br_netfilter");
        assert_eq!(needs, ["br_netfilter", "bridge", "stp"]);
        assert!(modules.has("x_y") && modules.has("z") && !modules.has("no line"));
        assert_eq!(modules.with_dependencies("z").len(), 1);
    }

    #[test]
    fn conntrack_goes_by_what_the_kernel_has() {
        let old = kernel("a/nf_conntrack.ko:\na/nf_conntrack_ipv4.ko:\n");
        assert_eq!(old.resolve("nf-conntrack"), "nf_conntrack_ipv4");
        assert_eq!(
            kernel("a/nf_conntrack.ko:\n").resolve("nf_conntrack_ipv4"),
            "nf_conntrack"
        );
        assert_eq!(kernel("").resolve("nf_conntrack_ipv4"), "nf_conntrack_ipv4");
        assert_eq!(old.other_name("nf_conntrack_ipv4"), None);
        let new = kernel("a/nf_conntrack.ko:\n");
        let other = new.other_name("nf_conntrack");
        assert_eq!(other.as_deref(), Some("nf_conntrack_ipv4"));
        assert_eq!(new.other_name("overlay"), None);
    }

    fn boot(listed: &[&str], refused: &[&str]) -> BootModules {
        let map = |names: &[&str]| {
            let line = |name: &&str| ((*name).to_owned(), Origin::Other("a line".into()));
            names.iter().map(line).collect()
        };
        BootModules {
            listed: map(listed),
            scripted: BTreeMap::new(),
            blacklisted: BTreeMap::new(),
            refused: map(refused),
        }
    }

    #[test]
    fn what_a_module_needs_can_be_refused() {
        let known = kernel("b/br.ko: b/bridge.ko c/stp.ko\nb/bridge.ko: c/stp.ko\nc/stp.ko:\n");
        let refused = boot(&[], &["stp"]).load("br", &known);
        assert!(matches!(refused, Load::Refused(_, true)));
        assert_eq!(boot(&["br"], &[]).load("stp", &known), Load::Loaded);
        assert_eq!(boot(&[], &[]).load("stp", &known), Load::NotListed);
        let absent = boot(&["br_netfilter"], &[]).load("br_netfilter", &known);
        assert_eq!(absent, Load::NotListed);
    }
}
