//! From the word on the command line to a resolved profile: finds the files, puts them in line,
//! merges and expands them.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::builtin;
use super::diagnostic::{ProfileError, nearest, suggestion};
use super::document::Document;
use super::expand::{self, Facts};
use super::merge::{self, Layer};
use super::resolved::Resolved;
use super::set;
use super::tree::{Source, Span};

/// Whoever reads a profile's file must not read more bytes than this: profiles of ten thousand
/// sysctl keys have half a megabyte, and an agent that runs as root must not fill the memory
/// because it was pointed at a disk image.
pub const MAX_PROFILE_BYTES: usize = 1024 * 1024;

/// Files one profile may be made of; a chain of files that never closes (`../a/../a/x.toml`) ends
/// here.
const MAX_FILES: usize = 32;

/// Reads a file of at most [`MAX_PROFILE_BYTES`]; the error is a cause in words.
pub type Read<'a> = dyn FnMut(&Path) -> Result<Vec<u8>, String> + 'a;

/// Loads `profile`, a path (it has a `/` or ends in `.toml`), the name of a built-in profile or
/// else the name of a file here, with `sets` (`PATH=VALUE`) on top.
///
/// # Errors
/// Everything that can be wrong with a profile; see the modules called.
pub fn load(
    profile: &str,
    sets: &[String],
    read: &mut Read<'_>,
    facts: &Facts<'_>,
) -> Result<Resolved, ProfileError> {
    let mut loader = Loader {
        read,
        loaded: Vec::new(),
        chain: Vec::new(),
        layers: Vec::new(),
    };
    let origin = Origin::named(profile, None);
    let top = loader.load(&origin, profile, None)?;
    for setting in sets {
        loader.layers.push(set::layer(setting)?);
    }
    let (mut vars, mut sections) = merge::merge(loader.layers)?;
    expand::expand(&mut vars, &mut sections, facts)?;
    Ok(Resolved {
        name: top.0.unwrap_or_else(|| origin.stem()),
        description: top.1,
        vars,
        sections,
        sources: loader
            .loaded
            .into_iter()
            .map(|(_, source)| source)
            .collect(),
    })
}

/// Where a profile comes from.
#[derive(Debug, Clone, PartialEq)]
enum Origin {
    Builtin(&'static str, &'static str),
    File(PathBuf),
}

impl Origin {
    /// `from` is the file that extends it: paths are relative to that file's directory.
    fn named(name: &str, from: Option<&Origin>) -> Self {
        if !looks_like_path(name)
            && let Some((name, text)) = builtin::find(name)
        {
            return Self::Builtin(name, text);
        }
        let directory = match from {
            Some(Self::File(from)) => from.parent().unwrap_or(Path::new("")),
            _ => Path::new(""),
        };
        // Without `./`, so that one file has one name. `..` stays: a link may stand before it.
        let path = directory.join(name);
        Self::File(
            path.components()
                .filter(|part| *part != Component::CurDir)
                .collect(),
        )
    }

    fn shown(&self) -> String {
        match self {
            Self::Builtin(name, _) => (*name).to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    fn stem(&self) -> String {
        match self {
            Self::Builtin(name, _) => (*name).to_owned(),
            Self::File(path) => path
                .file_stem()
                .unwrap_or(path.as_os_str())
                .to_string_lossy()
                .into_owned(),
        }
    }
}

fn looks_like_path(name: &str) -> bool {
    name.contains('/') || name.ends_with(".toml")
}

type Header = (Option<String>, Option<String>);

struct Loader<'a, 'r> {
    read: &'a mut Read<'r>,
    loaded: Vec<(Origin, Arc<Source>)>,
    /// The files that wait for the one being loaded.
    chain: Vec<Origin>,
    layers: Vec<Layer>,
}

impl Loader<'_, '_> {
    /// Loads a file after those it extends. `word` is what called it, at `at` if in a file.
    fn load(
        &mut self,
        origin: &Origin,
        word: &str,
        at: Option<&Span>,
    ) -> Result<Header, ProfileError> {
        if self.chain.contains(origin) {
            return Err(self.endless("profiles extend each other", origin, at));
        }
        if self.loaded.iter().any(|(known, _)| known == origin) {
            return Ok((None, None)); // two parents extend it; it is in line already
        }
        if self.loaded.len() >= MAX_FILES {
            return Err(self.endless("more than 32 files extend each other", origin, at));
        }
        let source = self.source(origin, word).map_err(|error| match at {
            Some(span) if error.at.is_none() => error.at(span.clone()),
            _ => error,
        })?;
        self.loaded.push((origin.clone(), Arc::clone(&source)));
        let document = Document::parse(&source)?;
        self.chain.push(origin.clone());
        for (parent, at) in &document.extends {
            self.load(&self.parent_of(origin, parent, at)?, parent, Some(at))?;
        }
        self.chain.pop();
        self.layers.push(document.layer);
        Ok((document.name, document.description))
    }

    fn parent_of(&self, origin: &Origin, parent: &str, at: &Span) -> Result<Origin, ProfileError> {
        let found = Origin::named(parent, Some(origin));
        let is_file = matches!(found, Origin::File(_));
        if is_file && (matches!(origin, Origin::Builtin(..)) || !looks_like_path(parent)) {
            return Err(no_such_builtin(parent).at(at.clone()));
        }
        Ok(found)
    }

    fn source(&mut self, origin: &Origin, word: &str) -> Result<Arc<Source>, ProfileError> {
        let path = match origin {
            Origin::Builtin(name, text) => return Ok(Source::new(*name, *text)),
            Origin::File(path) => path,
        };
        let bytes = (self.read)(path).map_err(|cause| {
            let unreadable = ProfileError::new(format!("cannot read {}: {cause}", path.display()));
            if looks_like_path(word) {
                unreadable
            } else {
                no_such_builtin(word)
            }
        })?;
        text_of(&origin.shown(), bytes)
    }

    fn endless(&self, message: &str, last: &Origin, at: Option<&Span>) -> ProfileError {
        let chain: Vec<_> = self.chain.iter().chain([last]).map(Origin::shown).collect();
        let mut error = ProfileError::new(format!("{message}: {}", chain.join(" -> ")));
        error.at = at.cloned();
        error
    }
}

fn no_such_builtin(name: &str) -> ProfileError {
    let names: Vec<_> = builtin::names().collect();
    let mut error = ProfileError::new(format!("there is no profile called `{name}`"));
    error.hint = match nearest(name, &names) {
        Some(_) => suggestion(name, names),
        None => Some(format!(
            "built in: {}; a file needs a / or .toml in its name",
            names.join(", ")
        )),
    };
    error
}

fn text_of(name: &str, bytes: Vec<u8>) -> Result<Arc<Source>, ProfileError> {
    String::from_utf8(bytes)
        .map(|text| Source::new(name, text))
        .map_err(|error| {
            let (valid, bytes) = (error.utf8_error().valid_up_to(), error.as_bytes());
            let byte = bytes.get(valid).copied().unwrap_or_default();
            // The lossy text is the same up to there.
            let lossy = Source::new(name, String::from_utf8_lossy(bytes));
            ProfileError::new(format!("not UTF-8: byte 0x{byte:02x} at offset {valid}"))
                .at(Span::new(&lossy, valid..valid + 1))
        })
}

#[cfg(test)]
#[path = "load_test.rs"]
mod tests;
