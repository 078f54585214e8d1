//! The repositories of dnf and yum: sections of `key=value` lines in yum.repos.d (dnf.conf(5),
//! yum.conf(5)). A section has one place: a second one with its name would be ignored.

use std::path::Path;

use serde::Deserialize;

use super::Stands;
use super::apt::Word;
use crate::boot::packages::dnf::{File, REPOSITORIES, section_of, settings};
use crate::finding::{Origin, State};
use crate::step::Owner;
use crate::template;

/// A section has one of them; the others would be asked as well, or instead.
const PLACES: [&str; 3] = ["baseurl", "mirrorlist", "metalink"];

/// `[repositories.NAME.dnf]`, by the names the file has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Section")]
pub struct Dnf(Section);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    baseurl: Option<Word>,
    mirrorlist: Option<Word>,
    metalink: Option<Word>,
    /// Packages that come from it only where they are asked for by name with --disableexcludes.
    #[serde(default)]
    exclude: Vec<Word>,
}

impl TryFrom<Section> for Dnf {
    type Error = String;

    fn try_from(section: Section) -> std::result::Result<Self, String> {
        let places = [&section.baseurl, &section.mirrorlist, &section.metalink];
        match places.iter().filter(|place| place.is_some()).count() {
            1 => Ok(Self(section)),
            _ => Err("expected one of baseurl, mirrorlist and metalink".into()),
        }
    }
}

/// The line of a section's name, from 0.
fn head(text: &str, section: &str) -> Option<usize> {
    text.lines()
        .position(|line| section_of(line) == Some(section))
}

/// The text with a section's key set, or taken out where no value is given; every other byte stays.
fn set(text: &str, section: &str, key: &str, value: Option<&str>) -> String {
    let found = settings(text)
        .into_iter()
        .rfind(|one| one.section == section && one.key == key)
        .map(|one| one.lines);
    let Some(begin) = found.map(|(begin, _)| begin).or(head(text, section)) else {
        return text.to_owned();
    };
    // What goes on from a line above is not made to go on from ours.
    let goes_on = |line: &&str| line.starts_with([' ', '\t']);
    let after = text.split_inclusive('\n').skip(begin + 1);
    let begin = match found {
        Some(_) => begin,
        None => begin + after.take_while(goes_on).count(),
    };
    let mut new = String::with_capacity(text.len() + 80);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let is_old = found.is_some_and(|(from, to)| (from..to).contains(&index));
        if !is_old {
            new.push_str(line);
        }
        if index != begin {
            continue;
        }
        if !new.is_empty() && !new.ends_with('\n') {
            new.push('\n');
        }
        if let Some(value) = value {
            new.push_str(&format!("{key}={value}\n"));
        }
    }
    if value.is_none() && found.is_some() {
        // One before it would count now.
        return set(&new, section, key, None);
    }
    new
}

impl Dnf {
    /// Against what dnf reads.
    pub(super) fn stands(
        &self,
        name: &str,
        key: Option<&Path>,
        unsigned: bool,
        files: &[File],
    ) -> Stands {
        let wanted = self.wanted(key, unsigned);
        let place = wanted
            .first()
            .and_then(|(key, value)| Some((*key, value.as_deref()?)));
        let there = files.iter().find(|file| head(&file.text, name).is_some());
        let Some(file) = there else {
            if let Some((file, other)) = place.and_then(|(key, url)| elsewhere(files, key, url)) {
                // By another name: it is theirs, and is judged by what it has.
                return judged(&other, &wanted, file, false);
            }
            let path = Path::new(REPOSITORIES).join(format!("{name}.repo"));
            let ours = files.iter().find(|file| file.path == path);
            let mut text =
                ours.map_or_else(|| template::header("yum.repo"), |ours| ours.text.clone());
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&format!("[{name}]\nname={name}\n"));
            for (key, value) in wanted.iter().rev() {
                if let Some(value) = value {
                    text = set(&text, name, key, Some(value));
                }
            }
            let to = place.map_or("", |(_, url)| url);
            return Stands {
                state: State::differs("not defined", to, None),
                theirs: false,
                writes: vec![(path, text, Owner::Ours)],
            };
        };
        judged(name, &wanted, file, true)
    }

    /// Keys with their values, the place first; none where a key has to go.
    fn wanted(&self, key: Option<&Path>, unsigned: bool) -> Vec<(&'static str, Option<String>)> {
        let Self(section) = self;
        let places = [&section.baseurl, &section.mirrorlist, &section.metalink];
        let mut wanted: Vec<(&'static str, Option<String>)> = PLACES
            .into_iter()
            .zip(places)
            .map(|(key, value)| (key, value.as_ref().map(|value| value.0.clone())))
            .collect();
        wanted.sort_by_key(|(_, value)| value.is_none());
        wanted.push(("enabled", Some("1".into())));
        wanted.push(("gpgcheck", Some(if unsigned { "0" } else { "1" }.into())));
        wanted.extend(key.map(|key| ("gpgkey", Some(format!("file://{}", key.display())))));
        if !section.exclude.is_empty() {
            let names: Vec<&str> = section.exclude.iter().map(|word| word.0.as_str()).collect();
            wanted.push(("exclude", Some(names.join(" "))));
        }
        wanted
    }
}

/// A section against what is wanted of it.
fn judged(
    name: &str,
    wanted: &[(&'static str, Option<String>)],
    file: &File,
    ours: bool,
) -> Stands {
    let all = settings(&file.text);
    let now = |key: &str| {
        all.iter()
            .rfind(|one| one.section == name && one.key == key)
    };
    let mut text = file.text.clone();
    let mut first = None;
    for (key, value) in wanted {
        let found = now(key);
        let same = match (found, value) {
            (Some(found), Some(value)) => same(key, &found.value, value),
            // Without the line it is on (dnf.conf(5), enabled).
            (None, Some(value)) => *key == "enabled" && value == "1",
            (found, None) => found.is_none(),
        };
        // Of what is called otherwise only this is asked: it is not ours to name its key.
        if same || !ours && !["enabled", "gpgcheck"].contains(key) {
            continue;
        }
        let line = found.map(|found| found.lines.0).or(head(&text, name));
        let shown = |value: Option<&str>| format!("{key}={}", value.unwrap_or("(none)"));
        let state = State::differs(
            shown(found.map(|found| found.value.as_str())),
            shown(value.as_deref()),
            line.map(|line| Origin::line(&file.path, line + 1)),
        );
        first = first.or(Some(state));
        text = set(&text, name, key, value.as_deref());
    }
    match first {
        None => Stands {
            theirs: !ours,
            ..Stands::as_it_is(State::InSync)
        },
        Some(state) => Stands {
            state,
            theirs: !ours,
            writes: vec![(file.path.clone(), text, Owner::Shared)],
        },
    }
}

fn same(key: &str, found: &str, wanted: &str) -> bool {
    match key {
        "enabled" | "gpgcheck" => {
            let on = |value: &str| {
                ["1", "yes", "true", "on"].contains(&value.to_ascii_lowercase().as_str())
            };
            on(found) == on(wanted)
        }
        "baseurl" => found.trim_end_matches('/') == wanted.trim_end_matches('/'),
        _ => found == wanted,
    }
}

/// The section, by whatever name, that has this place.
fn elsewhere<'a>(files: &'a [File], key: &str, url: &str) -> Option<(&'a File, String)> {
    files.iter().find_map(|file| {
        let all = settings(&file.text);
        // Keys above the first section are nobody's.
        let mut of_sections = all.iter().filter(|one| !one.section.is_empty());
        let found = of_sections.find(|one| one.key == key && same(key, &one.value, url))?;
        Some((file, found.section.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: &str = "# CentOS-Base.repo\n\n[base]\nname=CentOS-$releasever - Base\n\
        mirrorlist=http://mirrorlist.centos.org/?release=$releasever\n#baseurl=http://mirror.centos.org/\n\
        gpgcheck=1\ngpgkey=file:///etc/pki/x\n\n[updates]\nbaseurl=http://a/\n   http://b/\nenabled=0\n";

    fn dnf(text: &str) -> Dnf {
        toml::from_str(text).unwrap()
    }

    fn file(text: &str) -> File {
        File {
            path: "/etc/yum.repos.d/CentOS-Base.repo".into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_mirror_list_that_is_gone_is_replaced_where_it_is() {
        let vault = dnf("baseurl = \"https://vault.centos.org/7.9.2009/os/$basearch/\"");
        let stands = vault.stands("base", None, false, &[file(BASE)]);
        let [(path, text, Owner::Shared)] = stands.writes.as_slice() else {
            panic!("{stands:?}")
        };
        assert_eq!(path.to_str(), Some("/etc/yum.repos.d/CentOS-Base.repo"));
        let old = "mirrorlist=http://mirrorlist.centos.org/?release=$releasever\n";
        let new = BASE.replace(old, "").replace(
            "[base]\n",
            "[base]\nbaseurl=https://vault.centos.org/7.9.2009/os/$basearch/\n",
        );
        assert_eq!(*text, new);
        let again = vault.stands("base", None, false, &[file(text)]);
        assert_eq!(again.state, State::InSync);
    }

    #[test]
    fn values_of_several_lines_and_of_other_names() {
        let one = dnf("baseurl = \"http://a/ \"".replace(' ', "").as_str());
        let stands = one.stands("updates", None, false, &[file(BASE)]);
        let text = &stands.writes[0].1;
        assert!(
            text.ends_with("[updates]\ngpgcheck=1\nbaseurl=http://a/\nenabled=1\n"),
            "{text}"
        );
        let other = "[theirs]\nbaseurl=http://a\ngpgcheck=0\n";
        let stands = one.stands("mine", None, false, &[file(other)]);
        assert_eq!(
            stands.writes[0].1,
            "[theirs]\nbaseurl=http://a\ngpgcheck=1\n"
        );
        let unsigned = one.stands("mine", None, true, &[file(other)]);
        assert_eq!(unsigned.state, State::InSync);
    }

    #[test]
    fn a_key_that_is_there_twice_goes_twice() {
        let text =
            "[a]\nmirrorlist=http://m/1\nenabled=1\nmirrorlist=http://m/2\n[b]\nmirrorlist=x\n";
        let gone = "[a]\nenabled=1\n[b]\nmirrorlist=x\n";
        assert_eq!(set(text, "a", "mirrorlist", None), gone);
    }

    #[test]
    fn a_new_one_is_complete() {
        let one = dnf("baseurl = \"http://a/\"\nexclude = [\"kubelet\"]");
        let stands = one.stands("k8s", Some(Path::new("/etc/k")), false, &[]);
        let (path, text, _) = &stands.writes[0];
        assert_eq!(path.to_str(), Some("/etc/yum.repos.d/k8s.repo"));
        let body = "[k8s]\nbaseurl=http://a/\nenabled=1\ngpgcheck=1\ngpgkey=file:///etc/k\nexclude=kubelet\nname=k8s\n";
        assert!(text.ends_with(body), "{text}");
        let found = File {
            path: path.clone(),
            text: text.clone(),
        };
        assert_eq!(
            one.stands("k8s", Some(Path::new("/etc/k")), false, &[found])
                .state,
            State::InSync
        );
    }

    proptest! {
        #[test]
        fn what_is_not_ours_survives(text in "([a-z\\[\\]=#;] ?\n?){0,60}", value in "[a-z]{1,3}") {
            let new = set(&text, "a", "b", Some(&value));
            let ours = settings(&text).into_iter().rfind(|one| one.section == "a" && one.key == "b");
            let lines: Vec<&str> = text.lines().collect();
            let gone = ours.map_or(0..0, |one| one.lines.0..one.lines.1);
            let mut left = new.lines();
            for (index, line) in lines.iter().enumerate() {
                prop_assert!(gone.contains(&index) || left.any(|other| other == *line));
            }
        }
    }
}
