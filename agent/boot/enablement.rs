//! Whether the boot starts a unit, and what `systemctl enable`, `disable` and `mask` would do about it:
//! all of that is links, and reading them needs no systemd.

mod links;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::links::{generator_made, install_links, names_unit};
use super::services::{self, Service};
use super::units;
use crate::error::Result;
use crate::finding::{Origin, State};
use crate::host::Host;
use crate::step::Step;

/// Where an administrator's units and links are.
const OURS: &str = "/etc/systemd/system";
/// What is gone with the next boot.
const RUNTIME: &str = "/run";
/// What starts another unit of its name unless it says which (systemd.socket(5), systemd.timer(5)).
pub const TRIGGERS: [&str; 3] = [".socket", ".timer", ".path"];
/// An alias of an alias is rare, a ring of them a mistake.
const MOST_ALIASES: usize = 4;

/// What the boot is to do with a unit, in systemctl's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// It is started.
    Enabled,
    /// Nothing starts it.
    Disabled,
    /// Nothing can start it.
    Masked,
}

/// A unit with the links that decide about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// As systemd calls it, where the profile has one of its other names.
    pub name: String,
    /// Its unit file, one below a mask too; none where it has none, or a generator makes it.
    pub service: Option<Service>,
    /// What a generator has made it of: its file of this boot, or a script for SysV's init.
    pub generated: Option<PathBuf>,
    mask: Option<PathBuf>,
    /// Links by which another unit starts it, and its other names.
    links: Vec<PathBuf>,
    /// Other names that lead to its file without naming it: a template's (`autovt@.service`).
    names: Vec<PathBuf>,
    /// What is where a link would have to be: another unit's other name, or an own file.
    taken: Vec<PathBuf>,
    /// Units that start it when something happens.
    pub triggers: Vec<Unit>,
    /// Those that are enabled with it.
    also: Vec<Unit>,
}

impl Unit {
    /// The unit of this name, or of which this is another name.
    ///
    /// # Errors
    /// Where a unit file or directory cannot be read.
    pub fn read(host: &Host, name: &str) -> Result<Self> {
        let mut unit = Self::alone(host, name)?;
        let Some(service) = &unit.service else {
            return Ok(unit);
        };
        for name in &service.install.also {
            unit.also.push(Self::alone(host, name)?);
        }
        let (stem, _) = unit.name.rsplit_once('.').unwrap_or((&unit.name, ""));
        let is_trigger = |name: &String| TRIGGERS.iter().any(|kind| name.ends_with(kind));
        let listed = service.install.also.iter().chain(&service.sockets);
        let mut names: Vec<String> = listed.filter(|name| is_trigger(name)).cloned().collect();
        names.extend(TRIGGERS.iter().map(|kind| format!("{stem}{kind}")));
        names.sort_unstable();
        names.dedup();
        for name in names.iter().filter(|name| **name != unit.name) {
            let trigger = Self::alone(host, name)?;
            if trigger.starts(&unit.name) {
                unit.triggers.push(trigger);
            }
        }
        Ok(unit)
    }

    fn alone(host: &Host, name: &str) -> Result<Self> {
        let name = resolve(host, name)?;
        let mask = services::mask(host, &name)?;
        let mut file = units::masked_file(host, &name)?;
        if file.is_none()
            && let Some(template) = units::template(&name)
        {
            file = units::file(host, &template)?;
        }
        let service = match file {
            Some(file) => Some(services::read_file(host, &name, file)?),
            None => None,
        };
        let alias = service.iter().flat_map(|service| &service.install.alias);
        let names: Vec<&str> = alias.map(String::as_str).chain([name.as_str()]).collect();
        let mut links: Vec<PathBuf> = units::links(host, |unit| names.contains(&unit))?
            .into_iter()
            .map(|(_, link)| link)
            .collect();
        for path in names.iter().map(|alias| Path::new(OURS).join(alias)) {
            if path.file_name() != Some(name.as_ref()) && names_unit(host, &path, &name)? {
                links.push(path);
            }
        }
        let mut generated = None;
        if service.is_none() {
            (generated, links) = generator_made(host, &name, links)?;
        }
        links.retain(|link| !link.starts_with(RUNTIME) || generated.is_some());
        let (mut names, mut taken) = (Vec::new(), Vec::new());
        if let Some(service) = &service {
            let wanted = install_links(&name, &service.install).into_iter();
            for link in wanted.filter(|link| !links.contains(link)) {
                let leads = host
                    .link(&link)?
                    .is_some_and(|to| to.file_name() == service.file.file_name());
                match host.kind(&link)? {
                    None => {}
                    Some(_) if leads => names.push(link),
                    Some(_) => taken.push(link),
                }
            }
        }
        Ok(Self {
            names,
            taken,
            name,
            service,
            generated,
            mask,
            links,
            ..Self::default()
        })
    }

    /// Whether there is anything to start.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.service.is_some() || self.generated.is_some()
    }

    /// Its mask, be it for this boot only.
    #[must_use]
    pub fn mask(&self) -> Option<&Path> {
        self.mask.as_deref()
    }

    /// The link that makes the boot start it, or one of its triggers; none where nothing does.
    #[must_use]
    pub fn enabled_by(&self) -> Option<&Path> {
        let own = self.links.first().filter(|_| self.lasting_mask().is_none());
        let triggers = self.triggers.iter().filter_map(|unit| unit.enabled_by());
        own.map(PathBuf::as_path).or(triggers.into_iter().next())
    }

    /// How the boot stands to what is wanted, and the steps that `systemctl` would do for it.
    #[must_use]
    pub fn boot(&self, wanted: Boot) -> (State, Vec<Step>) {
        match wanted {
            Boot::Enabled if !self.is_installed() => (self.absent(), Vec::new()),
            _ if !self.is_installed() => {
                let reason = format!("{} is not installed", self.name);
                (State::not_applicable(reason), Vec::new())
            }
            Boot::Enabled => self.enable(),
            Boot::Disabled => self.disable(),
            Boot::Masked => self.make_masked(),
        }
    }

    /// The state of what waits for its package.
    #[must_use]
    pub fn absent(&self) -> State {
        State::blocked(format!(
            "{} is not installed: install its package",
            self.name
        ))
    }

    fn enable(&self) -> (State, Vec<Step>) {
        let mut steps = Vec::new();
        let mut state = State::InSync;
        if let Some(mask) = self.lasting_mask() {
            state = State::differs("masked", "enabled", Some(Origin::file(mask)));
            if !mask.starts_with(OURS) {
                return (state, steps);
            }
            let path = mask.to_owned();
            steps.push(Step::RemoveFile { path });
        }
        if !self.links.is_empty() {
            return (state, steps);
        }
        let also = self.also.iter();
        if let Some(path) = also
            .clone()
            .chain([self])
            .flat_map(|unit| &unit.taken)
            .next()
        {
            let to = "enabled (what is in the place of this link is not ours to replace)";
            return (
                State::differs("disabled", to, Some(Origin::file(path))),
                steps,
            );
        }
        let new: Vec<Step> = also.chain([self]).flat_map(Self::missing_links).collect();
        let origin = self
            .service
            .as_ref()
            .map(|service| Origin::file(&service.file));
        match (&state, new.is_empty()) {
            (State::InSync, false) => state = State::differs("disabled", "enabled", None),
            (State::InSync, true) => {
                // systemctl(1), is-enabled: static, generated.
                let kind = self.generated.as_ref().map_or("static", |_| "generated");
                let from = format!("{kind} (no [Install] section: only another unit can want it)");
                let origin = origin.or(self.generated.as_deref().map(Origin::file));
                state = State::differs(from, "enabled", origin);
            }
            _ => {}
        }
        steps.extend(new);
        (state, steps)
    }

    /// The links of its `[Install]` section that are not there.
    fn missing_links(&self) -> Vec<Step> {
        let Some(service) = &self.service else {
            return Vec::new();
        };
        let links = install_links(&self.name, &service.install);
        let is_there = |link: &PathBuf| self.links.contains(link) || self.names.contains(link);
        let missing = links.into_iter().filter(|link| !is_there(link));
        let target = &service.file;
        let link = |path| Step::WriteLink {
            path,
            target: target.clone(),
        };
        missing.map(link).collect()
    }

    fn disable(&self) -> (State, Vec<Step>) {
        let Some(link) = self.enabled_by() else {
            return (State::InSync, Vec::new());
        };
        let own = self.links.iter().filter(|_| self.lasting_mask().is_none());
        let all = own.chain(self.triggers.iter().flat_map(|unit| &unit.links));
        let (ours, others): (Vec<&PathBuf>, Vec<_>) = all.partition(|link| link.starts_with(OURS));
        let state = match others.first() {
            None => State::differs("enabled", "disabled", Some(Origin::file(link))),
            // A package's link, or one of SysV's init.
            Some(link) => {
                let to = "disabled (this link is not systemctl's to remove: masked would hold)";
                State::differs("enabled", to, Some(Origin::file(link)))
            }
        };
        let remove = |path: &PathBuf| Step::RemoveFile { path: path.clone() };
        (state, ours.into_iter().map(remove).collect())
    }

    fn make_masked(&self) -> (State, Vec<Step>) {
        if self.lasting_mask().is_some() {
            return (State::InSync, Vec::new());
        }
        let path = units::mask_path(&self.name);
        let from = self.enabled_by().map_or("disabled", |_| "enabled");
        if self.service.as_ref().is_some_and(|unit| unit.file == path) {
            let to = "masked (not while its unit file has the mask's place: disable it)";
            return (
                State::differs(from, to, Some(Origin::file(&path))),
                Vec::new(),
            );
        }
        let origin = self.enabled_by().map(Origin::file);
        let triggers = self.triggers.iter().flat_map(|unit| unit.disable().1);
        let target = PathBuf::from("/dev/null");
        let steps = triggers.chain([Step::WriteLink { path, target }]);
        (State::differs(from, "masked", origin), steps.collect())
    }

    /// Its mask, if it will be there after a boot.
    fn lasting_mask(&self) -> Option<&Path> {
        let mask = self.mask.as_deref();
        mask.filter(|path| !path.starts_with(RUNTIME))
    }

    fn starts(&self, unit: &str) -> bool {
        let Some(service) = &self.service else {
            return false;
        };
        match &service.starts {
            Some(other) => other == unit,
            None => {
                let stem = |name: &str| name.rsplit_once('.').map(|(stem, _)| stem.to_owned());
                stem(&self.name) == stem(unit) && unit.ends_with(".service")
            }
        }
    }
}

/// The name that systemd knows a unit by: an alias is a link to another unit's file.
fn resolve(host: &Host, name: &str) -> Result<String> {
    let mut name = name.to_owned();
    for _ in 0..MOST_ALIASES {
        let file = units::file(host, &name)?;
        let target = file.map(|file| host.link(&file)).transpose()?.flatten();
        let Some(other) = target.as_deref().and_then(Path::file_name) else {
            break;
        };
        match other.to_str() {
            // An instance's file may be a link to its template.
            Some(other) if other != name && units::template(&name).as_deref() != Some(other) => {
                other.clone_into(&mut name);
            }
            _ => break,
        }
    }
    Ok(name)
}
