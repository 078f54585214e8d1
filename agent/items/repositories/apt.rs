//! apt's repositories, in both forms apt reads (sources.list(5)): a line each, and stanzas.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Stands;
use crate::error::Result;
use crate::finding::{Origin, State};
use crate::host::Host;
use crate::step::Owner;
use crate::template;

const LIST: &str = "/etc/apt/sources.list";
const DIRECTORY: &str = "/etc/apt/sources.list.d";

/// `[repositories.NAME.apt]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apt {
    /// Where it is.
    uri: Word,
    /// Its suites; `/` for a repository without any.
    suites: Vec<Word>,
    /// Their components.
    #[serde(default)]
    components: Vec<Word>,
    /// The architectures whose lists are read; the host's where none is named.
    #[serde(default)]
    architectures: Vec<Word>,
}

/// Something without blanks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Word(pub String);

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || "#[]\"'".contains(c);
        match text.is_empty() || text.contains(odd) {
            false => Ok(Self(text)),
            true => Err(format!("\"{text}\": expected one word without blanks")),
        }
    }
}

/// A repository that apt reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    line: usize,
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// Whether it is for packages, not for sources alone, and switched on.
    counts: bool,
    /// Whether what is not signed is taken.
    trusted: bool,
}

/// What apt reads.
///
/// # Errors
/// Where a file exists and cannot be read.
pub fn read(host: &Host) -> Result<Vec<Source>> {
    let mut paths = vec![PathBuf::from(LIST)];
    let names = host.list(Path::new(DIRECTORY))?;
    paths.extend(names.iter().map(|name| Path::new(DIRECTORY).join(name)));
    let mut sources = Vec::new();
    for path in paths {
        let parse = match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => lines,
            Some("sources") => stanzas,
            _ => continue,
        };
        let text = host.text(&path)?.unwrap_or_default();
        sources.extend(parse(&text).into_iter().map(|source| Source {
            path: path.clone(),
            ..source
        }));
    }
    Ok(sources)
}

/// `deb [option=value ...] URI SUITE [COMPONENT ...]`, a line each.
fn lines(text: &str) -> Vec<Source> {
    let parse = |(index, line): (usize, &str)| {
        let line = line.split('#').next()?.trim();
        let rest = line.strip_prefix("deb")?;
        let (options, rest) = match rest.trim_start().strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        // `deb-src` begins so as well.
        let is_binary = line.starts_with(|_: char| true) && !line.starts_with("deb-");
        let uri = words.next()?.to_owned();
        Some(Source {
            line: index + 1,
            uris: vec![uri],
            suites: vec![words.next()?.to_owned()],
            components: words.map(str::to_owned).collect(),
            counts: is_binary,
            trusted: options
                .split_whitespace()
                .any(|option| matches!(option.split_once('='), Some(("trusted", value)) if is_yes(value))),
            ..Source::default()
        })
    };
    text.lines().enumerate().filter_map(parse).collect()
}

/// Stanzas of `Field: value`, with further lines of a value indented.
fn stanzas(text: &str) -> Vec<Source> {
    let mut all = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut begin = 0;
    for (index, line) in text.lines().chain([""]).enumerate() {
        match line.split_once(':') {
            _ if line.starts_with('#') => {}
            _ if line.trim().is_empty() => {
                all.extend(stanza(&fields, begin));
                fields.clear();
            }
            _ if line.starts_with([' ', '\t']) => {
                if let Some((_, value)) = fields.last_mut() {
                    value.push(' ');
                    value.push_str(line);
                }
            }
            Some((name, value)) => {
                if fields.is_empty() {
                    begin = index + 1;
                }
                fields.push((name.trim().to_ascii_lowercase(), value.to_owned()));
            }
            None => {}
        }
    }
    all
}

fn stanza(fields: &[(String, String)], line: usize) -> Option<Source> {
    let value = |name: &str| {
        fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    };
    let words = |name: &str| -> Vec<String> {
        let value = value(name).map_or("", String::as_str);
        value.split_whitespace().map(str::to_owned).collect()
    };
    let is_on = value("enabled").is_none_or(|value| is_yes(value.trim()));
    Some(Source {
        line,
        uris: Some(words("uris")).filter(|uris| !uris.is_empty())?,
        suites: words("suites"),
        components: words("components"),
        counts: is_on && words("types").iter().any(|kind| kind == "deb"),
        trusted: value("trusted").is_some_and(|value| is_yes(value.trim())),
        ..Source::default()
    })
}

/// apt-pkg/contrib/strutl.cc, `StringToBool`.
fn is_yes(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    ["yes", "true", "with", "on", "enable", "1"].contains(&value.as_str())
}

impl Source {
    fn origin(&self) -> Origin {
        Origin::line(&self.path, self.line)
    }
}

impl Apt {
    /// Against what apt reads.
    pub(super) fn stands(
        &self,
        host: &Host,
        name: &str,
        key: Option<&Path>,
        unsigned: bool,
        sources: &[Source],
    ) -> Result<Stands> {
        let ours = Path::new(DIRECTORY).join(format!("{name}.sources"));
        let text = self.text(key, unsigned);
        let is = host.text(&ours)?;
        if is.as_deref() == Some(&text) {
            return Ok(Stands::as_it_is(State::InSync));
        }
        let header = template::header("apt.sources");
        let is_foreign = is.as_deref().is_some_and(|is| !is.starts_with(&header));
        let others: Vec<&Source> = sources
            .iter()
            .filter(|source| source.path != ours || is_foreign)
            .collect();
        let covering = self.suites.iter().map(|suite| self.covers(&others, suite));
        let covering: Option<Vec<&Source>> = covering.collect();
        if let Some(covering) = covering.filter(|_| is.is_none() || is_foreign) {
            let open = covering.iter().find(|source| source.trusted && !unsigned);
            let state = open.map_or(State::InSync, |source| {
                let from = "defined with trusted=yes, so nobody's signature is asked for";
                State::differs(from, "signed", Some(source.origin()))
            });
            return Ok(Stands::theirs(state));
        }
        if is_foreign {
            let reason = format!("{} is somebody else's: choose another name", ours.display());
            return Ok(Stands::theirs(State::blocked(reason)));
        }
        let from = match is {
            Some(_) => "defined otherwise",
            None => "not defined",
        };
        let origin = sources
            .iter()
            .find(|source| source.path == ours || self.is_off(source));
        let to = format!("{} {}", self.uri.0, words(&self.suites));
        Ok(Stands {
            state: State::differs(from, to, origin.map(Source::origin)),
            theirs: false,
            writes: vec![(ours, text, Owner::Ours)],
        })
    }

    fn covers<'a>(&self, sources: &[&'a Source], suite: &Word) -> Option<&'a Source> {
        let has = |all: &[String], one: &Word| all.contains(&one.0);
        let covers = |source: &&&Source| {
            source.counts
                && self.is_at(source)
                && has(&source.suites, suite)
                && self
                    .components
                    .iter()
                    .all(|one| has(&source.components, one))
        };
        sources.iter().find(covers).copied()
    }

    fn is_at(&self, source: &Source) -> bool {
        let plain = |uri: &str| uri.trim_end_matches('/').to_owned();
        source
            .uris
            .iter()
            .any(|uri| plain(uri) == plain(&self.uri.0))
    }

    fn is_off(&self, source: &Source) -> bool {
        !source.counts && self.is_at(source)
    }

    fn text(&self, key: Option<&Path>, unsigned: bool) -> String {
        let mut text = template::header("apt.sources");
        let mut add = |field: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("{field}: {value}\n"));
            }
        };
        add("Types", "deb");
        add("URIs", &self.uri.0);
        add("Suites", &words(&self.suites));
        add("Components", &words(&self.components));
        add("Architectures", &words(&self.architectures));
        add(
            "Signed-By",
            &key.map(|key| key.display().to_string()).unwrap_or_default(),
        );
        add("Trusted", if unsigned { "yes" } else { "" });
        text
    }
}

fn words(words: &[Word]) -> String {
    let words: Vec<&str> = words.iter().map(|word| word.0.as_str()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms() {
        let text = "# deb http://off x main\ndeb-src http://a x main\n\
                    deb [ arch=amd64 trusted=yes ] http://a/ x main contrib # c\n";
        let list = lines(text);
        assert_eq!(list.len(), 2);
        assert!(!list[0].counts && list[1].counts && list[1].trusted);
        assert_eq!((list[1].line, list[1].components.len()), (3, 2));
        let text = "# c\nTypes: deb deb-src\nURIs: http://a\n http://b\nSuites: x x-updates\n\
                    Components: main\n\nEnabled: no\nTypes: deb\nURIs: http://c\nSuites: /\n";
        let stanzas = stanzas(text);
        assert_eq!(stanzas[0].uris, ["http://a", "http://b"]);
        assert!(stanzas[0].counts && !stanzas[1].counts);
        assert_eq!((stanzas[0].line, stanzas[1].line), (2, 8));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(deb|Types:|[a-z\\[\\]=:# \n])*") {
            lines(&text);
            stanzas(&text);
        }
    }
}
