//! crictl.yaml: without it crictl tries one default socket after the other, warns at every call and,
//! where two runtimes are installed, talks to the wrong one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use yaml_rust2::{Yaml, YamlLoader};

use super::{Explain, Kind, Stage};
use crate::error::{Result, trouble};
use crate::finding::{Finding, Origin, State};
use crate::host::{Cri, Host};
use crate::plan::ItemPlan;
use crate::step::{Owner, Step};
use crate::template;

const PATH: &str = "/etc/crictl.yaml";
const ENVIRONMENT: &str = "/etc/environment";
const VARIABLE: &str = "CRI_CONFIG_FILE";

/// `[crictl]`: the keys of crictl.yaml by their own names (cri-tools, docs/crictl.md). Keys that are
/// not named are left as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Crictl {
    /// Where the runtime listens.
    runtime_endpoint: Option<Endpoint>,
    /// Where the image service listens.
    image_endpoint: Option<Endpoint>,
    /// Seconds to wait for an answer.
    timeout: Option<u32>,
    /// Whether crictl tells what it sends.
    debug: Option<bool>,
    /// Whether `crictl create` pulls the image first.
    pull_image_on_create: Option<bool>,
    /// Whether `crictl run` does without pulling.
    disable_pull_on_run: Option<bool>,
}

/// `unix:///path/of/socket`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint(String);

impl Endpoint {
    /// Where containerd listens unless told otherwise.
    #[must_use]
    pub fn containerd() -> Self {
        Self("unix:///run/containerd/containerd.sock".into())
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(self.0.strip_prefix("unix://").unwrap_or(&self.0))
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.0
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let plain =
            !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'#".contains(c));
        match text.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') && plain => Ok(Self(text)),
            _ => Err(format!(
                "\"{text}\" is no endpoint: expected unix:///run/containerd/containerd.sock or alike"
            )),
        }
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    text: String,
    /// Each wanted key: name, value wanted, value and line found.
    keys: Vec<Key>,
    /// A line that sends crictl to another file.
    elsewhere: Option<(String, Origin)>,
}

#[derive(Debug)]
struct Key {
    name: String,
    wanted: String,
    found: Option<(String, usize)>,
    /// For an endpoint: what the runtime there tells.
    runtime: Option<Result<Cri>>,
}

impl Crictl {
    /// Wanted keys and values as they are written in the file.
    fn keys(&self) -> Vec<(String, String)> {
        let Ok(serde_json::Value::Object(keys)) = serde_json::to_value(self) else {
            return Vec::new();
        };
        keys.into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (key, text)
            })
            .collect()
    }
}

impl Kind for Crictl {
    type Observed = Observed;
    const STAGE: Stage = Stage::Use;
    const BOOTS_BY_SYSTEMD: bool = false;
    const EXPLAIN: Explain = Explain {
        why: "crictl is how an administrator, and kubeadm's own hints, look into the runtime; \
              without its file it guesses the socket, warns at each call, and can hit the wrong one.",
        looks_at: "/etc/crictl.yaml, which crictl reads at each call, so live and boot are one; live \
                   also: does a runtime answer a CRI Status on the endpoint. CRI_CONFIG_FILE in /etc/environment.",
        changes: "the keys named, in /etc/crictl.yaml; other keys, comments and order stay.",
        undo: "edit or remove /etc/crictl.yaml.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let path = Path::new(PATH);
        let text = host.exact_text(path)?.unwrap_or_default();
        let found = parse(&text)?;
        let mut keys = Vec::new();
        for (name, wanted) in self.keys() {
            let value = found
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.clone());
            let found =
                value.map(|value| (value, line_of(&text, &name).map_or(0, |(line, _)| line)));
            let socket = wanted.strip_prefix("unix://").map(PathBuf::from);
            let runtime = socket.map(|path| host.cri(&path));
            keys.push(Key {
                name,
                wanted,
                found,
                runtime,
            });
        }
        Ok(Observed {
            text,
            keys,
            elsewhere: elsewhere(host)?,
        })
    }

    fn wants(&self, subject: &str) -> bool {
        self.keys().iter().any(|(name, _)| name == subject)
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let mut content = observed.text.clone();
        let mut serves = Vec::new();
        for key in &observed.keys {
            let boot = key.in_file();
            if boot != State::InSync {
                content = set(&content, &key.name, &key.wanted);
                serves.push(key.name.clone());
            }
            plan.findings
                .push(Finding::new(&key.name, key.live(&boot), boot));
        }
        if let Some((value, origin)) = &observed.elsewhere {
            let state = State::differs(value, format!("unset, or {PATH}"), Some(origin.clone()));
            plan.findings
                .push(Finding::new(VARIABLE, state.clone(), state));
        }
        if serves.is_empty() {
            return plan;
        }
        match kept(&observed.text, &content, &observed.keys) {
            true => {
                plan.boot(Step::write(PATH, content, Owner::Shared), serves);
            }
            false => {
                let cause = format!(
                    "{PATH} is written in a way we can't edit: use one `key: value` a line"
                );
                plan.findings
                    .iter_mut()
                    .for_each(|f| f.boot = State::unknown(&cause));
            }
        }
        plan
    }
}

impl Key {
    fn in_file(&self) -> State {
        match &self.found {
            Some((value, _)) if *value == self.wanted => State::InSync,
            Some((value, line)) => {
                let origin = Origin::line(Path::new(PATH), *line);
                State::differs(value.as_str(), self.wanted.as_str(), Some(origin))
            }
            None => State::differs("not set", self.wanted.as_str(), None),
        }
    }

    fn live(&self, file: &State) -> State {
        match &self.runtime {
            _ if *file != State::InSync => file.clone(),
            None | Some(Ok(Cri::Answers(_))) => State::InSync,
            Some(Ok(Cri::Off(complaint, _))) => State::blocked(format!(
                "no CRI on {} ({complaint}): enable it in the runtime",
                self.wanted
            )),
            Some(Ok(Cri::Absent)) => State::blocked(format!(
                "nothing listens on {}: start the runtime",
                self.wanted
            )),
            Some(Err(cause)) => State::unknown(cause),
        }
    }
}

/// The file's keys with their values as text.
fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let documents = YamlLoader::load_from_str(text).map_err(|error| {
        trouble!("{PATH} is no YAML ({error}): mend it by hand, it is left as it is")
    })?;
    match documents.as_slice() {
        [] | [Yaml::Null] => Ok(Vec::new()),
        [Yaml::Hash(keys)] => Ok(keys
            .iter()
            .filter_map(|(k, v)| Some((k.as_str()?.to_owned(), plain(v))))
            .collect()),
        _ => Err(trouble!(
            "{PATH} is no list of `key: value` lines: mend it by hand, it is left as it is"
        )),
    }
}

fn plain(value: &Yaml) -> String {
    match value {
        Yaml::String(text) | Yaml::Real(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        Yaml::Boolean(truth) => truth.to_string(),
        Yaml::Null => String::new(),
        _ => "something nested".into(),
    }
}

/// The line (from 1) that a top-level key is on.
fn line_of<'a>(text: &'a str, key: &str) -> Option<(usize, &'a str)> {
    let names = |line: &str| {
        let (name, _) = line.split_once(':')?;
        Some(name.trim_end().trim_matches(['"', '\'']) == key)
    };
    let mut lines = text.split_inclusive('\n').enumerate();
    lines
        .find(|(_, line)| names(line) == Some(true))
        .map(|(index, line)| (index + 1, line))
}

/// The text with one key set, a comment on its line kept.
fn set(text: &str, key: &str, value: &str) -> String {
    let Some((number, old)) = line_of(text, key) else {
        let begin = if text.is_empty() {
            template::header("crictl.yaml")
        } else {
            text.to_owned()
        };
        let newline = if begin.ends_with('\n') || begin.is_empty() {
            ""
        } else {
            "\n"
        };
        return format!("{begin}{newline}{key}: {value}\n");
    };
    let ending = &old[old.trim_end_matches(['\r', '\n']).len()..];
    let comment = old.find(" #").map_or("", |at| old[at..].trim_end());
    let new = format!("{key}: {value}{comment}{ending}");
    let lines = text.split_inclusive('\n').enumerate();
    lines
        .map(|(index, line)| {
            if index + 1 == number {
                new.as_str()
            } else {
                line
            }
        })
        .collect()
}

/// Whether the edit did what it should: our keys set, all others as before.
fn kept(before: &str, after: &str, keys: &[Key]) -> bool {
    let (Ok(before), Ok(after)) = (parse(before), parse(after)) else {
        return false;
    };
    let ours = |name: &str| keys.iter().find(|key| key.name == name);
    let others = |all: &[(String, String)]| -> Vec<_> {
        all.iter()
            .filter(|(name, _)| ours(name).is_none())
            .cloned()
            .collect()
    };
    let set = keys
        .iter()
        .all(|key| after.contains(&(key.name.clone(), key.wanted.clone())));
    set && others(&before) == others(&after)
}

/// crictl reads the file CRI_CONFIG_FILE names instead of ours.
fn elsewhere(host: &Host) -> Result<Option<(String, Origin)>> {
    let path = Path::new(ENVIRONMENT);
    let text = host.text(path)?.unwrap_or_default();
    let mut lines = text.lines().enumerate();
    Ok(lines.find_map(|(index, line)| {
        let line = line.trim().strip_prefix("export ").unwrap_or(line.trim());
        let (name, value) = line.split_once('=')?;
        let value = value.trim_matches('"');
        let ours = name.trim() != VARIABLE || value == PATH;
        (!ours).then(|| (value.to_owned(), Origin::line(path, index + 1)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_set_where_it_stands() {
        let old = "# mine\r\n\"timeout\": 2 # slow\r\nruntime-endpoint: unix:///a\r\npull-image-on-create: true";
        let new = set(&set(old, "timeout", "10"), "debug", "false");
        assert_eq!(
            new,
            "# mine\r\ntimeout: 10 # slow\r\nruntime-endpoint: unix:///a\r\npull-image-on-create: true\ndebug: false\n"
        );
    }

    #[test]
    fn other_shapes_are_left_alone() {
        let key = Key {
            name: "timeout".into(),
            wanted: "10".into(),
            found: None,
            runtime: None,
        };
        let edits = |old: &str| kept(old, &set(old, "timeout", "10"), std::slice::from_ref(&key));
        assert!(!edits("{timeout: 2}") && !edits("timeout:\n  2\n"));
        assert!(edits("a: |\n  timeout: 3\ntimeout: 2\n"));
        assert!(parse("- a\n").is_err() && parse("a: [").is_err());
    }

    proptest! {
        #[test]
        fn other_lines_survive(lines in proptest::collection::vec("[a-z#: \"\\-]{0,12}", 0..6)) {
            let old = lines.join("\n");
            let new = set(&old, "timeout", "10");
            for line in lines.iter().filter(|line| !line.contains("timeout")) {
                prop_assert!(new.contains(line.as_str()));
            }
        }
    }
}
