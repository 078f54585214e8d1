//! Changing kernel arguments where the boot loader keeps them, every other byte kept: grubby and
//! update-grub need the running system, and an image has none.

use std::path::PathBuf;

use super::{ENTRIES, entry_options, linux_arguments, starts_kernel};
use crate::boot::cmdline;
use crate::error::{Result, trouble};

/// GRUB writes into its environment at boot, so the file has this size for ever
/// (grub-core/lib/envblk.c; grub-editenv(1)).
const ENVIRONMENT_BYTES: usize = 1024;
/// Arguments of which each counts, not only the last (kernel-parameters.txt, dracut.cmdline(7),
/// kernel-command-line(7)).
const REPEATED: [&str; 10] = [
    "console",
    "earlycon",
    "module_blacklist",
    "modprobe.blacklist",
    "cgroup_disable",
    "cgroup_no_v1",
    "systemd.mask",
    "systemd.wants",
    "hugepagesz",
    "hugepages",
];

/// A changed text, or why it can't be changed.
type Edited<T> = std::result::Result<T, &'static str>;

/// What is wanted of a kernel's command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Arguments it has, as `name` or `name=value`.
    pub with: Vec<String>,
    /// Arguments it has not; a name alone stands for every value.
    pub without: Vec<String>,
}

impl Change {
    /// Whether a command line has this argument, and nothing behind it takes it back.
    #[must_use]
    pub fn has(&self, line: &[(String, Option<String>)], argument: &str) -> bool {
        let (name, value) = split(argument);
        let mut values = line.iter().filter(|(key, _)| same_name(key, name));
        let is_it = |(_, found): &(String, Option<String>)| found.as_deref() == value;
        if REPEATED.contains(&name) || name.starts_with("rd.") {
            return values.any(is_it);
        }
        values.next_back().is_some_and(is_it)
    }

    /// The argument that should not be there, if it is.
    #[must_use]
    pub fn forbids(argument: &str, key: &str, value: Option<&str>) -> bool {
        let (name, unwanted) = split(argument);
        same_name(key, name) && (unwanted.is_none() || unwanted == value)
    }

    /// A command line with what is wanted.
    ///
    /// # Errors
    /// Where an argument would be added behind a quote that is not closed, and be part of another.
    pub fn edit(&self, line: &str) -> Edited<String> {
        let mut kept = String::with_capacity(line.len());
        let mut rest = line;
        while !rest.is_empty() {
            let blank = rest
                .find(|c: char| !c.is_whitespace())
                .unwrap_or(rest.len());
            let (space, tail) = rest.split_at(blank);
            let end = tail.find(char::is_whitespace).unwrap_or(tail.len());
            let (word, tail) = tail.split_at(end);
            rest = tail;
            let (key, value) = split(word);
            let goes = |unwanted: &String| Self::forbids(unwanted, key, value);
            if word.is_empty() || !self.without.iter().any(goes) {
                // A first word that went has left its blanks to the next.
                let space = if kept.is_empty() && line.trim_start() == line {
                    space.trim_start()
                } else {
                    space
                };
                kept.push_str(space);
                kept.push_str(word);
            }
        }
        for argument in &self.with {
            if !self.has(&cmdline::parse(&kept), argument) {
                if kept.matches('"').count() % 2 == 1 {
                    return Err("a quote among a kernel's arguments is not closed");
                }
                let end = kept.trim_end().len();
                let blank = if end == 0 { "" } else { " " };
                kept.insert_str(end, &format!("{blank}{argument}"));
            }
        }
        Ok(kept)
    }
}

/// A file of the boot loader with kernel arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where it is.
    pub path: PathBuf,
    /// What it has.
    pub text: String,
    /// How it is written.
    pub format: Format,
}

/// How a file of the boot loader is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// GRUB's menu: `linux KERNEL ARGUMENTS`.
    Menu,
    /// An entry of the Boot Loader Specification: `options ARGUMENTS`.
    Entry,
    /// GRUB's environment: `kernelopts=ARGUMENTS`.
    Environment,
    /// Shell assignments that the next menu is made of.
    Defaults,
    /// The arguments alone, for kernels that are installed later (kernel-install(8)).
    CommandLine,
}

impl Place {
    /// The text with the change; as it is where nothing is to be done.
    ///
    /// # Errors
    /// Where it is written in a way that can't be edited.
    pub fn edited(&self, change: &Change) -> Result<String> {
        let edited = match self.format {
            Format::CommandLine => change.edit(&self.text),
            Format::Menu => lines(&self.text, |line| {
                let at = line.len() - linux_arguments(line)?.len();
                Some((at, change.edit(line.get(at..)?)))
            }),
            Format::Entry => self.edited_entry(change),
            Format::Environment => {
                set_in_environment(&self.text, "kernelopts", |old| change.edit(old))
            }
            Format::Defaults => defaults(&self.text, change),
        };
        edited.map_err(|why| trouble!("{}: {why}: edit it by hand", self.path.display()))
    }

    fn edited_entry(&self, change: &Change) -> Edited<String> {
        if !starts_kernel(&self.text) {
            return Ok(self.text.clone());
        }
        let new = lines(&self.text, |line| {
            let at = line.len() - entry_options(line)?.len();
            let arguments = line.get(at..)?;
            // The rest of it is in the environment.
            let whole = !arguments.contains("$kernelopts");
            let with = if whole {
                change.with.clone()
            } else {
                Vec::new()
            };
            let without = change.without.clone();
            Some((at, Change { with, without }.edit(arguments)))
        })?;
        let arguments = change.edit("")?;
        if arguments.is_empty() || self.text.lines().any(|line| entry_options(line).is_some()) {
            return Ok(new);
        }
        let newline = if new.ends_with('\n') { "" } else { "\n" };
        Ok(format!("{new}{newline}options {arguments}\n"))
    }

    /// Whether it is an entry whose arguments are in the environment.
    #[must_use]
    pub fn uses_environment(&self) -> bool {
        self.path.starts_with(ENTRIES) && self.text.contains("$kernelopts")
    }
}

/// GRUB's environment with one variable set, of the size it has to have.
///
/// # Errors
/// Where it is full or has no such variable, or the value can't be set.
pub fn set_in_environment(
    text: &str,
    name: &str,
    set: impl Fn(&str) -> Edited<String>,
) -> Edited<String> {
    let no_room = "GRUB's environment has no room";
    let body = text.trim_end_matches('#');
    let mut found = false;
    let mut new = String::with_capacity(ENVIRONMENT_BYTES);
    for line in body.split_inclusive('\n') {
        match line
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
        {
            Some(value) => {
                found = true;
                let old = value.trim_end_matches('\n');
                new.push_str(&format!("{name}={}\n", set(old)?));
            }
            None => new.push_str(line),
        }
    }
    let room = ENVIRONMENT_BYTES.checked_sub(new.len()).ok_or(no_room)?;
    if !found {
        return Err("GRUB's environment lacks what is to be set");
    }
    if new == body {
        // One that is too short already is not ours to mend.
        return Ok(text.to_owned());
    }
    new.push_str(&"#".repeat(room));
    Ok(new)
}

/// The text with some lines changed from a place on.
fn lines(text: &str, edit: impl Fn(&str) -> Option<(usize, Edited<String>)>) -> Edited<String> {
    let mut new = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let (begin, ending) = line.split_at(bare.len());
        match edit(begin) {
            Some((at, arguments)) => {
                let arguments = arguments?;
                let before = begin.get(..at).unwrap_or_default();
                new.push_str(before);
                if !arguments.is_empty() && !before.ends_with(char::is_whitespace) {
                    new.push(' ');
                }
                new.push_str(&arguments);
            }
            None => new.push_str(begin),
        }
        new.push_str(ending);
    }
    Ok(new)
}

/// `/etc/default/grub`: GRUB_CMDLINE_LINUX goes before GRUB_CMDLINE_LINUX_DEFAULT, and only the former
/// into the entries for mending.
fn defaults(text: &str, change: &Change) -> Edited<String> {
    let [all, normal] = super::VARIABLES;
    let without = Change {
        with: Vec::new(),
        without: change.without.clone(),
    };
    let mut text = assign(text, all, &without)?.unwrap_or_else(|| text.to_owned());
    text = assign(&text, normal, &without)?.unwrap_or(text);
    for argument in &change.with {
        let add = Change {
            with: vec![argument.clone()],
            without: Vec::new(),
        };
        if change.has(&assigned(&text), argument) {
            continue;
        }
        text = match assign(&text, all, &add)? {
            Some(text) => text,
            None => {
                let newline = if text.is_empty() || text.ends_with('\n') {
                    ""
                } else {
                    "\n"
                };
                format!("{text}{newline}{all}=\"{argument}\"\n")
            }
        };
        if !change.has(&assigned(&text), argument) {
            text = assign(&text, normal, &add)?.unwrap_or(text);
        }
    }
    Ok(text)
}

fn assigned(text: &str) -> Vec<(String, Option<String>)> {
    let line = super::defaults_of(&[(PathBuf::new(), text.to_owned())]);
    line.into_iter()
        .map(|argument| (argument.key, argument.value))
        .collect()
}

/// The text with its assignments to a variable edited; none where there is none. Each may count, so that
/// what goes is taken out of all; what is added goes into the last.
fn assign(text: &str, variable: &str, change: &Change) -> Edited<Option<String>> {
    let values = assignments(text, variable);
    let Some(last) = values.last().copied() else {
        return Ok(None);
    };
    let mut new = String::with_capacity(text.len() + 80);
    let mut done = 0;
    for (at, value) in values {
        let is_last = (at, value) == last;
        if is_last || change.with.is_empty() && !change.without.is_empty() {
            new.push_str(text.get(done..at).unwrap_or_default());
            new.push_str(&edited_value(value, change)?);
            done = at + value.len();
        }
    }
    new.push_str(text.get(done..).unwrap_or_default());
    Ok(Some(new))
}

/// The values that a variable is given, each to the end of its line, with where they begin.
fn assignments<'a>(text: &'a str, variable: &str) -> Vec<(usize, &'a str)> {
    let mut all = Vec::new();
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let named = bare.trim_start();
        let named = named.strip_prefix("export ").unwrap_or(named);
        let value = named
            .strip_prefix(variable)
            .and_then(|rest| rest.trim_start_matches('+').strip_prefix('='));
        all.extend(value.map(|value| (end + bare.len() - value.len(), value)));
        end += line.len();
    }
    all
}

fn edited_value(value: &str, change: &Change) -> Edited<String> {
    let (arguments, rest) = word(value);
    let quote = value.chars().next().filter(|c| ['"', '\''].contains(c));
    if rest.is_empty() && quote.is_some() {
        return Err("GRUB_CMDLINE_LINUX is no assignment on one line");
    }
    let new = change.edit(arguments)?;
    if new == arguments {
        return Ok(value.to_owned());
    }
    // The closing one of a quoted word is in the rest.
    let (opening, closing) = quote.map_or(('"', "\""), |quote| (quote, ""));
    Ok(format!("{opening}{new}{closing}{rest}"))
}

/// The first word of a shell's line without its quotes, and what is after it, the closing quote
/// included; without that the word goes to the end of the line.
pub(super) fn word(line: &str) -> (&str, &str) {
    let (inner, end) = match line.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inner = line.get(1..).unwrap_or_default();
            (inner, end_of_quote(inner, quote))
        }
        _ => (line, line.find(char::is_whitespace)),
    };
    inner.split_at(end.unwrap_or(inner.len()))
}

fn end_of_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == quote && !escaped;
        escaped = c == '\\' && quote == '"' && !escaped;
        ends.then_some(at)
    })
}

fn split(argument: &str) -> (&str, Option<&str>) {
    match argument.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (argument, None),
    }
}

/// `-` and `_` are one in a name (kernel/params.c, `parameq`).
fn same_name(a: &str, b: &str) -> bool {
    let plain = |name: &str| name.replace('-', "_");
    a == b || plain(a) == plain(b)
}

#[cfg(test)]
#[path = "edit_test.rs"]
mod tests;
