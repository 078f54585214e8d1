//! What containerd makes of its configuration file and what that imports: the file alone says one
//! thing where the daemon does another (containerd's cmd/containerd/server/config/config.go,
//! before 2.0 in services/server/config).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, Value};

use super::edit;
use super::key::{Dialect, Key, Version};
use crate::error::{Result, trouble};
use crate::finding::Origin;
use crate::host::Host;

/// The file a daemon reads that is told of no other.
pub const ROOT: &str = "/etc/containerd/config.toml";
/// Files that import each other by the thousand are no configuration.
const MOST_FILES: usize = 100;

/// All files, in the order the daemon merges them.
#[derive(Debug)]
pub struct Config {
    files: Vec<File>,
    /// The daemon that will read them, where that is known.
    daemon: Option<Version>,
    /// The files and directories that were read.
    pub paths: Vec<PathBuf>,
}

/// One file.
#[derive(Debug)]
pub struct File {
    /// Its path.
    pub path: PathBuf,
    /// Its text; none where it is not there.
    pub text: Option<String>,
    document: Document<String>,
}

/// A value with the place it stands at.
#[derive(Debug)]
pub struct Found<'a> {
    /// The value.
    pub item: &'a Item,
    /// Its file.
    pub file: &'a File,
}

impl Config {
    /// Reads the file at `root` and all it imports.
    ///
    /// # Errors
    /// Where a file can't be read or parsed: nothing can be said then, and nothing must be touched.
    pub fn read(host: &Host, root: &Path) -> Result<Self> {
        let mut config = Self {
            files: Vec::new(),
            daemon: None,
            paths: Vec::new(),
        };
        let mut pending = VecDeque::from([root.to_owned()]);
        while let Some(path) = pending.pop_front() {
            if config.files.iter().any(|file| file.path == path) {
                continue;
            }
            if config.files.len() == MOST_FILES {
                return Err(trouble!(
                    "{}: more than {MOST_FILES} imports",
                    root.display()
                ));
            }
            let file = File::read(host, &path)?;
            if file.text.is_none() && path != root {
                return Err(trouble!(
                    "{} is imported and not there: containerd does not start without it",
                    path.display()
                ));
            }
            for import in file.imports() {
                pending.extend(config.resolve(host, &path, &import)?);
            }
            config.paths.push(path);
            config.files.push(file);
        }
        Ok(config)
    }

    /// The same files in the eyes of a daemon of this version.
    ///
    /// # Errors
    /// Where it would not start with them.
    pub fn for_daemon(mut self, daemon: Option<Version>) -> Result<Self> {
        self.daemon = daemon;
        self.check_versions()?;
        Ok(self)
    }

    /// The daemon, where its version is known.
    pub fn daemon(&self) -> Option<Version> {
        self.daemon
    }

    /// The file that is edited.
    pub fn root(&self) -> Option<&File> {
        self.files.first()
    }

    /// How the root file spells settings, in the eyes of its daemon.
    pub fn dialect(&self) -> Option<Dialect> {
        let file = self.root()?;
        self.dialect_of(file)
    }

    /// The value that counts. Before containerd 2.0 an import replaces the tables of whole plugins,
    /// since then it is merged key by key.
    pub fn find(&self, key: &Key) -> Option<Found<'_>> {
        let merges = self.daemon.is_some_and(|daemon| daemon >= Version(2, 0));
        self.files.iter().rev().find_map(|file| {
            let path = key.path(self.dialect_of(file)?);
            let whole = if merges { path.len() } else { 2 };
            file.item(path.get(..whole)?)?;
            Some(file.item(&path).map(|item| Found { item, file }))
        })?
    }

    /// Whether another file decides a key, whatever the root file says.
    pub fn outranked(&self, key: &Key) -> Option<&File> {
        let merges = self.daemon.is_some_and(|daemon| daemon >= Version(2, 0));
        self.files.iter().skip(1).rev().find(|file| {
            let Some(dialect) = self.dialect_of(file) else {
                return false;
            };
            let path = key.path(dialect);
            let whole = if merges { path.len() } else { 2 };
            path.get(..whole)
                .is_some_and(|path| file.item(path).is_some())
        })
    }

    /// Where CRI is switched off: lists of all files are united.
    pub fn disabled(&self) -> Option<(&File, Origin)> {
        self.files.iter().find_map(|file| {
            let plugins = file.item(&["disabled_plugins"])?.as_array()?;
            let plugin = plugins.iter().find(|plugin| edit::is_cri(plugin))?;
            let line = plugin.span().map(|span| file.line(span.start));
            Some((file, file.origin(line)))
        })
    }

    /// Where the daemon listens.
    pub fn address(&self) -> Option<&str> {
        let places: [&[&str]; 2] = [
            &["plugins", "io.containerd.server.v1.grpc", "address"],
            &["grpc", "address"],
        ];
        let mut all = self.files.iter().rev().flat_map(|file| {
            let text = |path: &&[&str]| file.item(path).and_then(Item::as_str);
            places.iter().find_map(text)
        });
        all.find(|address| !address.is_empty())
    }

    /// A daemon before 2.0 takes all files for the last version that one of them names; later ones
    /// ask each.
    fn dialect_of(&self, file: &File) -> Option<Dialect> {
        let old = self.daemon.is_some_and(|daemon| daemon < Version(2, 0));
        let version = match old {
            true => self
                .files
                .iter()
                .map(File::version)
                .rfind(|version| *version > 0),
            false => Some(file.version()),
        };
        Dialect::of(version.unwrap_or(0), self.daemon)
    }

    fn check_versions(&self) -> Result<()> {
        let root = self.root().map_or(0, File::version);
        for file in &self.files {
            let (version, shown) = (file.version(), file.path.display());
            if let Some(daemon) = self.daemon.filter(|daemon| version > daemon.reads()) {
                return Err(trouble!(
                    "{shown} is version {version}, {daemon} reads up to {}: mend it by hand",
                    daemon.reads()
                ));
            }
            if self.daemon.is_some_and(|daemon| daemon >= Version(2, 0)) && version > root.max(1) {
                return Err(trouble!(
                    "{shown} is version {version}, newer than the file that imports it: containerd \
                     does not start with that"
                ));
            }
        }
        Ok(())
    }

    /// The paths an import means. Names with a `*` that match nothing are no error.
    fn resolve(&mut self, host: &Host, parent: &Path, import: &str) -> Result<Vec<PathBuf>> {
        let path = parent.parent().unwrap_or(Path::new("/")).join(import);
        if !import.contains('*') {
            return Ok(vec![path]);
        }
        let (directory, pattern) = (path.parent(), path.file_name().and_then(|n| n.to_str()));
        let pattern = pattern.and_then(|pattern| glob::Pattern::new(pattern).ok());
        let plain = directory.filter(|dir| !dir.to_string_lossy().contains(['*', '?', '[']));
        let (Some(directory), Some(pattern)) = (plain, pattern) else {
            return Err(trouble!(
                "{} imports \"{import}\", a pattern we do not follow: name the files",
                parent.display()
            ));
        };
        self.paths.push(directory.to_owned());
        let names = host.list(directory)?;
        let matching = names.iter().filter(|name| pattern.matches(name));
        Ok(matching.map(|name| directory.join(name)).collect())
    }
}

impl File {
    fn read(host: &Host, path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = match host.bytes(path)? {
            None => None,
            Some(bytes) => Some(String::from_utf8(bytes.to_vec()).map_err(|error| {
                let good = bytes
                    .get(..error.utf8_error().valid_up_to())
                    .unwrap_or_default();
                let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
                trouble!("{shown}:{line} is not UTF-8: mend it by hand, it is left as it is")
            })?),
        };
        Self::parse(path, text)
    }

    fn parse(path: &Path, text: Option<String>) -> Result<Self> {
        let raw = text.clone().unwrap_or_default();
        let document = Document::parse(raw).map_err(|error| {
            let before = error
                .span()
                .and_then(|span| text.as_deref()?.get(..span.start));
            trouble!(
                "{}:{} is no TOML ({}): containerd does not start with it; mend it by hand, it is \
                 left as it is",
                path.display(),
                before.unwrap_or_default().matches('\n').count() + 1,
                error.message().trim()
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            text,
            document,
        })
    }

    fn imports(&self) -> Vec<String> {
        let imports = self.item(&["imports"]).and_then(Item::as_array);
        let names = imports.into_iter().flatten();
        names
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect()
    }

    /// 0 where the file names none.
    fn version(&self) -> i64 {
        self.item(&["version"])
            .and_then(Item::as_integer)
            .unwrap_or(0)
    }

    fn item(&self, path: &[&str]) -> Option<&Item> {
        path.iter().try_fold(self.document.as_item(), |item, name| {
            item.as_table_like()?.get(name)
        })
    }

    fn line(&self, at: usize) -> usize {
        let before = self.document.raw().get(..at).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    fn origin(&self, line: Option<usize>) -> Origin {
        match line {
            Some(line) => Origin::line(&self.path, line),
            None => Origin::file(&self.path),
        }
    }
}

impl Found<'_> {
    /// The file and line.
    pub fn origin(&self) -> Origin {
        let span = self.item.span();
        self.file
            .origin(span.map(|span| self.file.line(span.start)))
    }

    /// The value as people write it.
    pub fn shown(&self) -> String {
        match self.item.as_value() {
            Some(value) => Self::text(value),
            None => "a table".into(),
        }
    }

    /// A value without its quotes.
    pub fn text(value: &Value) -> String {
        match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string().trim().to_owned(),
        }
    }

    /// Whether two values, texts or truths, are one.
    pub fn same(one: &Value, other: &Value) -> bool {
        match (one, other) {
            (Value::String(one), Value::String(other)) => one.value() == other.value(),
            (Value::Boolean(one), Value::Boolean(other)) => one.value() == other.value(),
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "config_test.rs"]
mod tests;
