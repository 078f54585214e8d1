//! The root file while it is edited: each wanted key is judged as the daemon reads it and set where
//! that helps; what came out is compared with what was there before it may be written.

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::config::{Config, Found};
use super::edit;
use super::key::{Dialect, Key, Version};
use super::{RUNC_SHIM, Setting, mirror};
use crate::finding::{Origin, State};
use crate::plan::ItemPlan;
use crate::step::{Owner, Step};
use crate::template;

/// The text so far.
#[derive(Debug)]
pub struct Draft<'a> {
    config: &'a Config,
    /// None until a key is set.
    dialect: Option<Dialect>,
    /// The text before the first key was set.
    base: String,
    text: String,
    set: Vec<(Vec<String>, Value)>,
    serves: Vec<String>,
}

impl<'a> Draft<'a> {
    /// The file as it is.
    pub fn new(config: &'a Config) -> Self {
        let text = config.root().and_then(|file| file.text.clone());
        let text = text.unwrap_or_default();
        Self {
            config,
            dialect: None,
            base: text.clone(),
            text,
            set: Vec::new(),
            serves: Vec::new(),
        }
    }

    /// Whether CRI is enabled; takes it out of the list that disables it, if that is the root's.
    pub fn enable_cri(&mut self) -> State {
        let Some((file, origin)) = self.config.disabled() else {
            return State::InSync;
        };
        if self.is_root(&file.path) {
            let Some(text) = edit::enable_cri(&self.text) else {
                return self.stuck();
            };
            self.base.clone_from(&text);
            self.text = text;
            self.serves.push("cri".into());
        }
        State::differs("disabled", "enabled", Some(origin))
    }

    /// Whether the daemon will find what is wanted; sets it where the root file decides.
    pub fn judge(&mut self, setting: &Setting) -> State {
        let found = self.config.find(&setting.key);
        if found.as_ref().is_some_and(|found| setting.is_met_by(found)) {
            return State::InSync;
        }
        if let Some(reason) = self.hinders(&setting.key) {
            return State::blocked(reason);
        }
        let wanted = Found::text(&setting.wanted);
        let outranked = self.config.outranked(&setting.key);
        let (from, origin) = match (&found, outranked, self.config.dialect()) {
            (Some(found), _, _) => (found.shown(), Some(found.origin())),
            (None, Some(import), _) => (
                "not set: the import replaces the whole plugin".into(),
                Some(Origin::file(&import.path)),
            ),
            (None, None, None) => (self.ignored(), None),
            (None, None, Some(_)) => ("not set".into(), None),
        };
        if outranked.is_none() && !self.set(setting) {
            return self.stuck();
        }
        State::differs(from, wanted, origin)
    }

    /// Adds the step that writes the file, if it is another now; tells whether it is.
    pub fn add_to(self, plan: &mut ItemPlan) -> bool {
        let Some(file) = self.config.root().filter(|_| !self.serves.is_empty()) else {
            return false;
        };
        if !self.is_kept() {
            let ours = |subject: &String| self.serves.contains(subject);
            let findings = plan.findings.iter_mut();
            for finding in findings.filter(|finding| ours(&finding.subject)) {
                finding.boot = self.stuck();
            }
            return false;
        }
        let step = Step::write(&file.path, self.text, Owner::Shared);
        plan.boot(step, self.serves);
        true
    }

    fn set(&mut self, setting: &Setting) -> bool {
        let Some(dialect) = self.begin() else {
            return false;
        };
        let shim = match &setting.key {
            // A runtime that is made by its options alone has no shim.
            Key::SystemdCgroup(name) if name == "runc" => Key::RuntimeType(name.clone()),
            key => key.clone(),
        };
        let mut done = true;
        if shim != setting.key && self.config.find(&shim).is_none() {
            done &= self.put(&shim.path(dialect), RUNC_SHIM.into());
        }
        done &= self.put(&setting.key.path(dialect), setting.wanted.clone());
        if done {
            self.serves.push(setting.subject.clone());
        }
        done
    }

    fn put(&mut self, path: &[&str], value: Value) -> bool {
        let Some(text) = edit::set(&self.text, path, &value) else {
            return false;
        };
        self.text = text;
        let path = path.iter().map(|name| (*name).to_owned()).collect();
        self.set.push((path, value));
        true
    }

    /// Makes the text one whose keys the daemon reads: a version-1 file where containerd 2 may read
    /// it becomes version 2, which every containerd since 1.3 reads.
    fn begin(&mut self) -> Option<Dialect> {
        if self.dialect.is_some() {
            return self.dialect;
        }
        let new = self
            .config
            .daemon()
            .is_some_and(|daemon| daemon >= Version(2, 0));
        let (text, dialect) = match self.config.root()?.text {
            None if new => (
                template::header("containerd.toml") + "version = 3\n",
                Dialect::Split,
            ),
            None => (
                template::header("containerd.toml") + "version = 2\n",
                Dialect::One,
            ),
            Some(_) => match (self.config.dialect(), self.config.daemon()) {
                (None, _) => (edit::convert(&self.text)?, Dialect::One),
                (Some(Dialect::Bare), None) => match edit::convert(&self.text) {
                    Some(text) => (text, Dialect::One),
                    None => (self.text.clone(), Dialect::Bare),
                },
                (Some(dialect), _) => (self.text.clone(), dialect),
            },
        };
        self.base.clone_from(&text);
        self.text = text;
        self.dialect = Some(dialect);
        self.dialect
    }

    /// What stands in the way of a key, whatever the file says.
    fn hinders(&self, key: &Key) -> Option<String> {
        if *key != Key::ConfigPath {
            return None;
        }
        if let Some(daemon) = self
            .config
            .daemon()
            .filter(|daemon| *daemon < Version(1, 5))
        {
            return Some(format!(
                "{daemon} knows no config_path: use containerd 1.5 or later, or write \
                 registry.mirrors by hand"
            ));
        }
        let inline = self.config.find(&Key::Mirrors)?;
        inline
            .item
            .as_table_like()
            .filter(|table| !table.is_empty())?;
        Some(format!(
            "{} has registry.mirrors, and with both CRI does not start: move them to \
             [containerd.mirrors]",
            inline.origin()
        ))
    }

    /// Our keys set, all else as before.
    fn is_kept(&self) -> bool {
        let parse = |text: &str| text.parse::<DocumentMut>().ok();
        let (Some(mut before), Some(mut after)) = (parse(&self.base), parse(&self.text)) else {
            return false;
        };
        for (path, value) in &self.set {
            let set = take(after.as_table_mut(), path);
            let same = |item: &Item| item.as_value().is_some_and(|v| Found::same(v, value));
            if !set.as_ref().is_some_and(same) {
                return false;
            }
            take(before.as_table_mut(), path);
        }
        tables(before.as_item()) == tables(after.as_item())
    }

    fn is_root(&self, path: &std::path::Path) -> bool {
        self.config.root().is_some_and(|file| file.path == path)
    }

    fn ignored(&self) -> String {
        let daemon = self.config.daemon().map(|daemon| daemon.to_string());
        format!(
            "not read: {} ignores CRI settings in a file of version 1",
            daemon.unwrap_or_default()
        )
    }

    fn stuck(&self) -> State {
        let path = self
            .config
            .root()
            .map(|file| file.path.display().to_string());
        State::unknown(format!(
            "{} is written in a way we can't edit: `containerd config migrate` prints it in a \
             common form",
            path.unwrap_or_default()
        ))
    }
}

impl Setting {
    fn is_met_by(&self, found: &Found<'_>) -> bool {
        match (&self.key, found.item.as_str()) {
            // A list of directories.
            (Key::ConfigPath, Some(paths)) => {
                paths.split(':').any(|path| path == mirror::DIRECTORY)
            }
            _ => found
                .item
                .as_value()
                .is_some_and(|value| Found::same(value, &self.wanted)),
        }
    }
}

/// Takes a key out, with the tables it leaves empty.
fn take(table: &mut dyn TableLike, path: &[String]) -> Option<Item> {
    let (name, rest) = path.split_first()?;
    if rest.is_empty() {
        return table.remove(name);
    }
    let inner = table.get_mut(name)?.as_table_like_mut()?;
    let taken = take(inner, rest);
    if inner.is_empty() {
        table.remove(name);
    }
    taken
}

/// What is said, without how it is written.
fn tables(item: &Item) -> Option<toml::Value> {
    let text = item.to_string();
    toml::from_str(&text).ok()
}

#[cfg(test)]
#[path = "draft_test.rs"]
mod tests;
