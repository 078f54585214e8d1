//! What must be true of a disk after the power failed while the agent worked on it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use nodeprep::host::Prior;
use nodeprep::journal::{self, Record};

use super::record::{is_fine, nodeprep};
use super::tree::{self, Node, Tree};

/// Where a run's journal is, from the top of the file system.
const JOURNALS: &str = "var/lib/nodeprep/journal";
/// What the name of a file has that is not in its place yet, before the process's number.
const TEMPORARY: &str = ".nodeprep-";

/// A file system before a run.
#[derive(Debug)]
pub struct Before {
    tree: Tree,
    /// What the first ending makes of it.
    finished: Tree,
    /// The journals of other runs.
    journals: BTreeMap<OsString, Vec<Record>>,
}

/// A run that nothing disturbed: what was there before, and after.
#[derive(Debug)]
pub struct Undisturbed {
    /// `apply` or `rollback`.
    command: &'static str,
    before: Before,
    /// When all of it was on the disk.
    after: Tree,
    /// Once it was finished as every other is. A tree tells less than a host that runs: one file of a
    /// machine's has a line more then, in its order where the file is made anew and else at its end.
    finished: Tree,
    /// What is done after it, in order.
    endings: &'static [&'static str],
    /// What all journals hold then.
    records: BTreeMap<OsString, Vec<Record>>,
}

/// What was found on a disk.
#[derive(Debug, Default)]
pub struct Found {
    /// Changed files that were there in their new form.
    pub new: usize,
    /// Files that were not in their place yet.
    pub temporaries: usize,
    /// Journals whose last record was torn.
    pub torn_journals: usize,
    /// Whether the run had returned.
    pub returned: bool,
    /// Whether the file system had to be repaired before it could be mounted.
    pub repaired: bool,
    /// What must not be.
    pub faults: Vec<String>,
}

impl Before {
    /// What there is now; then the first ending is done.
    pub fn new(ending: &str, top: &Path) -> Self {
        let tree = tree::photograph(top);
        let journals = Journals::read(top, &BTreeMap::new()).records;
        nodeprep(&[], ending, top);
        let finished = tree::photograph(top);
        Self {
            tree,
            finished,
            journals,
        }
    }
}

impl Undisturbed {
    /// What there is now is what the command made of it, once it is proved that it did what its
    /// journal says, and that what follows a power cut does nothing here.
    pub fn new(
        command: &'static str,
        endings: &'static [&'static str],
        before: Before,
        top: &Path,
    ) -> Self {
        let journals = Journals::read(top, &before.journals);
        let after = tree::photograph(top);
        nodeprep(&[], endings[0], top);
        let undisturbed = Self {
            command,
            before,
            after,
            finished: tree::photograph(top),
            endings,
            records: journals.records,
        };
        let changed = tree::changed(&undisturbed.before.tree, &undisturbed.after);
        let others: Vec<_> = changed
            .iter()
            .filter(|path| !journals.paths.contains(*path))
            .collect();
        assert!(others.is_empty(), "changed by something else: {others:?}");
        assert!(changed.len() > 5, "too little to lose: {changed:?}");
        let more = tree::changed(&undisturbed.after, &undisturbed.finished);
        assert!(more.iter().all(|path| changed.contains(path)), "{more:?}");
        let mut found = Found::default();
        undisturbed.finish(top, &mut found);
        assert_eq!(found.faults, [""; 0], "undisturbed");
        undisturbed
    }

    /// How many files and directories it changed.
    pub fn changed(&self) -> usize {
        tree::changed(&self.before.tree, &self.after).len()
    }

    /// Looks at a disk as it was found: every file is the old one or the new one, and what is new is
    /// in the journal. Where the run had returned, all is new.
    pub fn look(&self, top: &Path, found: &mut Found) {
        let tree = tree::photograph(top);
        let journals = Journals::read(top, &self.before.journals);
        found.faults.extend(journals.damage);
        found.torn_journals += journals.torn;
        for (name, records) in &journals.records {
            let all = self.records.get(name);
            if !all.is_none_or(|all| all.starts_with(records)) {
                let fault = format!("{}: not what was written", name.display());
                found.faults.push(fault);
            }
        }
        for path in tree::changed(&self.before.tree, &tree) {
            let target = target(&path);
            let node = tree.get(&path);
            if target != path {
                found.temporaries += 1;
            } else if node == self.after.get(&path) {
                found.new += 1;
            } else {
                let [was, now] = [self.before.tree.get(&path), node].map(Node::shown);
                let fault = format!("{}: neither old ({was}) nor new: {now}", path.display());
                found.faults.push(fault);
            }
            if !journals.paths.contains(&target) {
                let fault = format!("{}: changed, and no journal says so", path.display());
                found.faults.push(fault);
            }
        }
        if found.returned && tree != self.after {
            let lost = tree::changed(&self.after, &tree);
            let fault = format!("apply had returned; lost: {lost:?}");
            found.faults.push(fault);
        }
    }

    /// Finishes the run as an administrator would, and the disk is as if nothing had happened; takes
    /// it back, and the disk is as it was before.
    pub fn finish(&self, top: &Path, found: &mut Found) {
        for command in self.endings {
            let wanted = match (self.command, *command) {
                ("apply", "apply" | "check") | ("rollback", "rollback") => {
                    [&self.finished, &self.before.finished]
                }
                _ => [&self.before.tree; 2],
            };
            let output = nodeprep(&[], command, top);
            if !is_fine(&output) {
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said);
                let fault = format!("{command} --root: {}: {said}", output.status);
                found.faults.push(fault);
            }
            let tree = tree::photograph(top);
            let changed = tree::changed(wanted[0], &tree).into_iter();
            for path in changed.filter(|path| tree.get(path) != wanted[1].get(path)) {
                let [wanted, is] = [wanted[0], &tree].map(|tree| Node::shown(tree.get(&path)));
                let fault = format!("{}: {is} after {command}, not {wanted}", path.display());
                found.faults.push(fault);
            }
        }
        let journals = Journals::read(top, &BTreeMap::new());
        found.faults.extend(journals.damage);
    }
}

/// The journals of a disk.
#[derive(Debug, Default)]
struct Journals {
    /// What the steps change that are not of older runs, from the top of the file system.
    paths: BTreeSet<PathBuf>,
    records: BTreeMap<OsString, Vec<Record>>,
    torn: usize,
    /// Those that can't be read.
    damage: Vec<String>,
}

impl Journals {
    fn read(top: &Path, older: &BTreeMap<OsString, Vec<Record>>) -> Self {
        let mut journals = Self::default();
        // Without the directory there was no run.
        for entry in fs::read_dir(top.join(JOURNALS)).into_iter().flatten() {
            let path = entry.unwrap().path();
            let text = fs::read(&path).unwrap();
            let (records, damage) = journal::read(&text);
            let lines = text.split_inclusive(|byte| *byte == b'\n').count();
            journals.torn += usize::from(damage.is_none() && records.len() < lines);
            let damage = damage.map(|damage| format!("{}: {damage}", path.display()));
            journals.damage.extend(damage);
            let name = path.file_name().unwrap().to_owned();
            if !older.contains_key(&name) {
                journals.paths.extend(records.iter().flat_map(changes));
            }
            journals.records.insert(name, records);
        }
        journals
    }
}

/// What a record's step changes: its file, and where that is a link what it names.
fn changes(record: &Record) -> Vec<PathBuf> {
    let Record::Step { step, prior, .. } = record else {
        return Vec::new();
    };
    let named = match prior {
        Prior::File { path, .. } => Some(path.as_path()),
        _ => None,
    };
    let paths = step.file().into_iter().chain(named);
    let from_the_top = |path: &Path| path.strip_prefix("/").ok().map(Path::to_owned);
    paths.filter_map(from_the_top).collect()
}

/// The file that a file becomes when it is in its place, else itself.
fn target(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let target = name
        .strip_prefix('.')
        .and_then(|name| name.rsplit_once(TEMPORARY));
    target.map_or_else(|| path.to_owned(), |(name, _)| path.with_file_name(name))
}
