//! The arguments the boot loader will give to the next kernel: /proc/cmdline has those of the last
//! boot, and a line that somebody changed since then is found only here.

pub mod edit;

use std::path::{Path, PathBuf};

use super::cmdline;
use crate::error::Result;
use crate::finding::Origin;
use crate::host::Host;

use edit::{Format, Place};

/// Where GRUB's menu is, by the distribution.
const MENUS: [&str; 2] = ["/boot/grub2/grub.cfg", "/boot/grub/grub.cfg"];
/// Where EFI's boot loaders are, a directory a vendor.
const EFI: &str = "/boot/efi/EFI";
/// Boot loader entries (the Boot Loader Specification), used by EL 8 and later.
const ENTRIES: &str = "/boot/loader/entries";
/// What later installed kernels get, where there is such a file (kernel-install(8)).
const COMMAND_LINE: &str = "/etc/kernel/cmdline";
/// Where EL 8 keeps what its entries call `$kernelopts`.
const ENVIRONMENT: &str = "/boot/grub2/grubenv";
/// What the next grub-mkconfig makes its menu of; Debian reads the directory after the file.
const DEFAULTS: &str = "/etc/default/grub";
const DEFAULTS_DIRECTORY: &str = "/etc/default/grub.d";
/// In the order that grub-mkconfig's 10_linux puts them in.
const VARIABLES: [&str; 2] = ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"];

/// One kernel argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub key: String,
    /// What follows `=`, if there is one.
    pub value: Option<String>,
    /// Where it is written.
    pub origin: Origin,
}

/// The arguments of one kernel's start.
pub type Line = Vec<Argument>;

/// The arguments that the next boot can get: those of each menu entry, those that the next menu will
/// be made of, and where there is no menu to be found those of the running kernel.
///
/// # Errors
/// Where a file of the boot loader cannot be read.
pub fn lines(host: &Host) -> Result<Vec<Line>> {
    let mut lines = present(host)?;
    if lines.is_empty() {
        let text = host.text(Path::new("/proc/cmdline"))?.unwrap_or_default();
        lines.push(running(&text));
    }
    lines.push(defaults(host)?);
    Ok(lines)
}

/// The arguments of each menu entry that there is, and those that the next menu will be made of; none
/// where this machine's kernel is started by something else.
///
/// # Errors
/// As [`lines`].
pub fn known(host: &Host) -> Result<Vec<Line>> {
    let mut lines = present(host)?;
    if host.kind(Path::new(DEFAULTS))?.is_some() {
        lines.push(defaults(host)?);
    }
    Ok(lines)
}

/// The files in which arguments are changed.
///
/// # Errors
/// As [`lines`], and where one is no text.
pub fn places(host: &Host) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    let mut add = |path: PathBuf, format| -> Result<()> {
        if let Some(text) = host.exact_text(&path)? {
            places.push(Place { path, text, format });
        }
        Ok(())
    };
    // First those that the next boot does not read: a run that is cut off behind them is not taken for
    // done, as one would be that has changed what decides and not what the next menu is made of.
    add(DEFAULTS.into(), Format::Defaults)?;
    add(COMMAND_LINE.into(), Format::CommandLine)?;
    for path in entry_files(host)? {
        add(path, Format::Entry)?;
    }
    for path in menu_files(host)? {
        add(path, Format::Menu)?;
    }
    if places.iter().any(Place::uses_environment) {
        let path = PathBuf::from(ENVIRONMENT);
        if let Some(text) = host.exact_text(&path)? {
            let format = Format::Environment;
            places.push(Place { path, text, format });
        }
    }
    Ok(places)
}

fn present(host: &Host) -> Result<Vec<Line>> {
    let mut lines = entries(host)?;
    for path in menu_files(host)? {
        let text = host.text(&path)?.unwrap_or_default();
        lines.extend(menu(&path, &text));
    }
    Ok(lines)
}

/// GRUB's menus: EL 7 with EFI has its own beside the loader, elsewhere what is there only leads to the
/// others.
pub(super) fn menu_files(host: &Host) -> Result<Vec<PathBuf>> {
    let efi = Path::new(EFI);
    let vendors = host.list(efi)?;
    let efi = vendors
        .iter()
        .map(|vendor| efi.join(vendor).join("grub.cfg"));
    Ok(MENUS.iter().map(PathBuf::from).chain(efi).collect())
}

pub(super) fn entry_files(host: &Host) -> Result<Vec<PathBuf>> {
    let names = host.list(Path::new(ENTRIES))?;
    let counts = |name: &&String| name.ends_with(".conf") && !name.contains("-rescue");
    let names = names.iter().filter(counts);
    Ok(names.map(|name| Path::new(ENTRIES).join(name)).collect())
}

/// The arguments of the running kernel.
#[must_use]
pub fn running(text: &str) -> Line {
    let argument = |(key, value): (String, Option<String>)| {
        let shown = match &value {
            Some(value) => format!("kernel argument {key}={value}"),
            None => format!("kernel argument {key}"),
        };
        Argument {
            key,
            value,
            origin: Origin::Other(shown),
        }
    };
    cmdline::parse(text).into_iter().map(argument).collect()
}

fn entries(host: &Host) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for path in entry_files(host)? {
        let text = host.text(&path)?.unwrap_or_default();
        if !starts_kernel(&text) {
            continue;
        }
        let mut line = assigned(&path, &text, entry_options);
        if line.iter().any(|argument| argument.key == "$kernelopts") {
            let path = Path::new(ENVIRONMENT);
            let text = host.text(path)?.unwrap_or_default();
            let kernelopts = assigned(path, &text, |line| line.strip_prefix("kernelopts="));
            line.splice(0..0, kernelopts);
        }
        lines.push(line);
    }
    Ok(lines)
}

/// The arguments that lines have of which `of` gives them.
fn assigned(path: &Path, text: &str, of: impl Fn(&str) -> Option<&str>) -> Line {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| Some((index + 1, of(line)?)))
        .flat_map(|(number, text)| arguments(path, number, text))
        .collect()
}

/// Whether an entry of the Boot Loader Specification starts a kernel, not another program.
fn starts_kernel(entry: &str) -> bool {
    let key = |line: &str| line.split_whitespace().next() == Some("linux");
    entry.lines().any(key)
}

/// The arguments in an entry's line `options ARGUMENTS`, its words apart by blanks or tabs.
fn entry_options(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("options")?;
    let value = rest.trim_start();
    (rest.is_empty() || value.len() < rest.len()).then_some(value)
}

/// `linux /vmlinuz-… arguments` (also linux16, linuxefi) of every entry but the rescue ones, which
/// keep the arguments of the day they were made.
fn menu(path: &Path, text: &str) -> Vec<Line> {
    let entry =
        |(index, line): (usize, &str)| Some(arguments(path, index + 1, linux_arguments(line)?));
    text.lines().enumerate().filter_map(entry).collect()
}

/// What a line of a menu gives the kernel it starts, if it starts one.
fn linux_arguments(line: &str) -> Option<&str> {
    let (command, rest) = line.trim_start().split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (kernel, rest) = rest
        .split_once(char::is_whitespace)
        .unwrap_or_else(|| rest.split_at(rest.len()));
    let starts = ["linux", "linux16", "linuxefi"].contains(&command);
    let other = ["-rescue", "memtest"]
        .iter()
        .any(|name| kernel.contains(name));
    (starts && !other).then_some(rest)
}

fn defaults(host: &Host) -> Result<Line> {
    let mut files = vec![Path::new(DEFAULTS).to_owned()];
    let directory = Path::new(DEFAULTS_DIRECTORY);
    let names = host.list(directory)?;
    files.extend(
        names
            .iter()
            .filter(|name| name.ends_with(".cfg"))
            .map(|name| directory.join(name)),
    );
    let mut texts = Vec::new();
    for path in files {
        let text = host.text(&path)?.unwrap_or_default();
        texts.push((path, text));
    }
    Ok(defaults_of(&texts))
}

fn defaults_of(files: &[(PathBuf, String)]) -> Line {
    let mut all = [Line::new(), Line::new()];
    for (path, text) in files {
        for (line, variable) in all.iter_mut().zip(VARIABLES) {
            assign(line, variable, path, text);
        }
    }
    all.concat()
}

/// Shell assignments to `variable`; one that names it (`"$GRUB_CMDLINE_LINUX quiet"`) adds to it.
fn assign(to: &mut Line, variable: &str, path: &Path, text: &str) {
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let itself = [format!("${variable}"), format!("${{{variable}")];
        let adds = name.ends_with('+') || itself.iter().any(|name| value.contains(name));
        if name.trim_end_matches('+') != variable {
            continue;
        }
        if !adds {
            to.clear();
        }
        to.extend(arguments(path, index + 1, edit::word(value).0));
    }
}

fn arguments(path: &Path, number: usize, text: &str) -> Line {
    let argument = |(key, value)| Argument {
        key,
        value,
        origin: Origin::line(path, number),
    };
    cmdline::parse(text).into_iter().map(argument).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &Line) -> Vec<String> {
        let shown = |argument: &Argument| {
            let value = argument.value.as_deref().unwrap_or("-");
            format!("{}={value} {}", argument.key, argument.origin)
        };
        line.iter().map(shown).collect()
    }

    #[test]
    fn menu_entries() {
        let text = "set x=1\nmenuentry 'A' {\n\tlinux\t/vmlinuz-1 root=/dev/a selinux=0\n\
                    \tlinux16 /vmlinuz-0-rescue-ab enforcing=0\n\tlinuxefi /v quiet\n linux_x /v a\n";
        let found: Vec<_> = menu(Path::new("/g"), text).iter().map(shown).collect();
        assert_eq!(
            found,
            [
                vec!["root=/dev/a /g:3", "selinux=0 /g:3"],
                vec!["quiet=- /g:5"]
            ]
        );
    }

    #[test]
    fn assignments_replace_or_add() {
        let text = "# GRUB_CMDLINE_LINUX=\"selinux=0\"\nGRUB_CMDLINE_LINUX=\"a b=1\"\n\
                    GRUB_CMDLINE_LINUX_DEFAULT=quiet\nGRUB_CMDLINE_LINUX='c' # \"d\"\n\
                    GRUB_CMDLINE_LINUX=\"${GRUB_CMDLINE_LINUX} enforcing=0\"\n";
        let mut line = Line::new();
        assign(&mut line, "GRUB_CMDLINE_LINUX", Path::new("/d"), text);
        assert_eq!(
            shown(&line),
            [
                "c=- /d:4",
                "${GRUB_CMDLINE_LINUX}=- /d:5",
                "enforcing=0 /d:5"
            ]
        );
    }

    #[allow(clippy::disallowed_methods, reason = "tests")]
    #[test]
    fn entries_and_their_environment() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put(
            "boot/loader/entries/a-1.conf",
            "linux /v\noptions $kernelopts quiet\n",
        );
        put("boot/loader/entries/a-0-rescue.conf", "options selinux=0\n");
        put(
            "boot/grub2/grubenv",
            "# GRUB\nkernelopts=root=/dev/a enforcing=0\n####",
        );
        put("proc/cmdline", "selinux=0\n");
        let host = Host::captured(dir.path()).unwrap();
        let found: Vec<_> = lines(&host).unwrap().iter().map(shown).collect();
        let entry = [
            "root=/dev/a /boot/grub2/grubenv:2",
            "enforcing=0 /boot/grub2/grubenv:2",
            "$kernelopts=- /boot/loader/entries/a-1.conf:2",
            "quiet=- /boot/loader/entries/a-1.conf:2",
        ];
        assert_eq!(found, [entry.to_vec(), vec![]]);
    }
}
