//! The files dnf and yum are told by: sections of `key=value` lines (dnf.conf(5), yum.conf(5)).

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::Host;

/// Where the files of repositories are.
pub const REPOSITORIES: &str = "/etc/yum.repos.d";
/// What counts for all of them is in the section `main` of one of these.
const MAIN: [&str; 2] = ["/etc/dnf/dnf.conf", "/etc/yum.conf"];
/// Packages that are not taken; the second name is dnf's for the same.
const EXCLUDE: [&str; 2] = ["exclude", "excludepkgs"];

/// A file of yum.repos.d.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// The files of repositories.
///
/// # Errors
/// Where a file exists and cannot be read, or can't be edited as it is no text.
pub fn read(host: &Host) -> Result<Vec<File>> {
    let directory = Path::new(REPOSITORIES);
    let mut files = Vec::new();
    for name in host
        .list(directory)?
        .iter()
        .filter(|name| name.ends_with(".repo"))
    {
        let path = directory.join(name);
        if let Some(text) = host.exact_text(&path)? {
            files.push(File { path, text });
        }
    }
    Ok(files)
}

/// One `key=value` of a section, with the lines it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The section it is in.
    pub section: &'a str,
    /// Its key.
    pub key: &'a str,
    /// Its value, all its lines in one.
    pub value: String,
    /// Its first line from 0, and the one behind its last.
    pub lines: (usize, usize),
}

/// The section that begins with a line: its bracket is the first character.
#[must_use]
pub fn section_of(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix('[')?.split_once(']')?;
    Some(name)
}

/// The settings of a file. A line that is indented goes on with the one before.
#[must_use]
pub fn settings(text: &str) -> Vec<Setting<'_>> {
    let mut all: Vec<Setting<'_>> = Vec::new();
    let mut section = "";
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            open = open && !trimmed.is_empty();
        } else if line.starts_with([' ', '\t']) && open {
            if let Some(last) = all.last_mut() {
                last.value.push(' ');
                last.value.push_str(trimmed);
                last.lines.1 = index + 1;
            }
        } else if let Some(name) = section_of(line) {
            (section, open) = (name, false);
        } else if let Some((key, value)) = trimmed.split_once('=') {
            open = true;
            all.push(Setting {
                section,
                key: key.trim_end(),
                value: value.trim().to_owned(),
                lines: (index, index + 1),
            });
        } else {
            open = false;
        }
    }
    all
}

/// The sections that exclude one of these packages, `main` for all repositories.
///
/// # Errors
/// Where a file exists and cannot be read.
pub fn excluding(host: &Host, names: &[&str]) -> Result<Vec<String>> {
    let mut files = read(host)?;
    for path in MAIN.map(PathBuf::from) {
        if let Some(text) = host.text(&path)? {
            files.push(File { path, text });
        }
    }
    let mut sections: Vec<String> = Vec::new();
    for file in &files {
        let excludes = |one: &Setting<'_>| {
            EXCLUDE.contains(&one.key) && names.iter().any(|name| has(&one.value, name))
        };
        let all = settings(&file.text).into_iter().filter(excludes);
        sections.extend(all.map(|one| one.section.to_owned()));
    }
    sections.sort_unstable();
    sections.dedup();
    Ok(sections)
}

/// Whether patterns of names, with version and architecture behind or not, have a package of this name.
fn has(patterns: &str, name: &str) -> bool {
    let words = patterns.split([' ', '\t', ',']);
    let mut words = words.filter(|word| !word.is_empty());
    words.any(|word| {
        let is_behind = |rest: &str| rest.starts_with(['-', '.']);
        let with_version = word.strip_prefix(name).is_some_and(is_behind);
        with_version || glob::Pattern::new(word).is_ok_and(|pattern| pattern.matches(name))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "tests")]
    fn who_excludes_a_package() {
        let top = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("etc/dnf/dnf.conf", "[main]\nexcludepkgs=kernel*\n"),
            (
                "etc/yum.repos.d/kubernetes.repo",
                "[kubernetes]\nexclude=kubelet kubeadm,\n  cri-tools\n[other]\nexclude=kube-*\n",
            ),
        ] {
            std::fs::create_dir_all(top.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(top.path().join(path), text).unwrap();
        }
        let host = Host::captured(top.path()).unwrap();
        let by = |names: &[&str]| excluding(&host, names).unwrap();
        assert_eq!(by(&["cri-tools"]), ["kubernetes"]);
        assert_eq!(by(&["kernel-core", "kubeadm"]), ["kubernetes", "main"]);
        assert_eq!(by(&["socat"]), [""; 0]);
    }

    #[test]
    fn patterns() {
        for (patterns, name, expected) in [
            ("kubelet", "kubelet", true),
            ("kubelet-1.31*", "kubelet", true),
            ("kubelet.x86_64", "kubelet", true),
            ("kube*", "kubelet", true),
            ("*", "kubelet", true),
            ("kubelets, [", "kubelet", false),
            ("", "kubelet", false),
        ] {
            assert_eq!(has(patterns, name), expected, "{patterns} {name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text: String, name: String) {
            let _ = settings(&text);
            has(&text, &name);
        }
    }
}
