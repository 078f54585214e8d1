//! The host's name: the kubelet registers the node by it, so a name that is not valid, or that a
//! boot changes, is a node that can't join or that leaves the cluster as another one.

use std::path::Path;

use serde::Deserialize;

use super::{Explain, Kind};
use crate::boot::cmdline;
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Owner, Step};

const PATH: &str = "/etc/hostname";
/// The running name (proc_sys_kernel(5)).
const RUNNING: &str = "/proc/sys/kernel/hostname";
/// systemd takes its value before any file, since 246 (systemd(1), KERNEL COMMAND LINE).
const ARGUMENT: &str = "systemd.hostname";
const SUBJECT: &str = "hostname";
/// The kernel's limit (hostname(7), HOST_NAME_MAX).
const LONGEST: usize = 64;
/// The limit of what is between two dots (RFC 1123, section 2.1; RFC 1035, section 2.3.4).
const LONGEST_LABEL: usize = 63;

/// `[hostname]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hostname {
    /// The name; without, the one the host has must be valid and stay.
    name: Option<Name>,
}

/// A name that Kubernetes takes for a node: an RFC 1123 subdomain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

impl Name {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Self, String> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_label = |label: &str| {
            let edges = label.starts_with('-') || label.ends_with('-');
            (1..=LONGEST_LABEL).contains(&label.len()) && !edges && label.bytes().all(plain)
        };
        if name.len() <= LONGEST && name.split('.').all(is_label) {
            return Ok(Self(name));
        }
        Err(format!(
            "\"{name}\" is no name for a node: expected up to {LONGEST} lower-case letters, digits, `-` \
             and `.`, each part beginning and ending with a letter or digit (RFC 1123)"
        ))
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    text: String,
    argument: Option<String>,
    running: Option<String>,
}

impl Kind for Hostname {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "the kubelet registers the node under the host's name, and its certificate is made out to \
              it: a name that is not valid is refused, one that changes makes another node.",
        looks_at: "live: /proc/sys/kernel/hostname. boot: /etc/hostname, unless systemd.hostname= on the \
                   kernel command line says otherwise. cloud-init leaves a name that was changed after \
                   it had set it; a new instance of a copied disk gets a name from it unless \
                   preserve_hostname is true. The pretty name in /etc/machine-info is not looked at.",
        changes: "the line of /etc/hostname, and the running name. On a node that is in a cluster \
                  neither.",
        undo: "`hostnamectl set-hostname OLD`.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let arguments = cmdline::arguments(host)?;
        Ok(Observed {
            text: host.exact_text(Path::new(PATH))?.unwrap_or_default(),
            argument: cmdline::value(&arguments, ARGUMENT).map(str::to_owned),
            running: host.hostname()?,
        })
    }

    /// The kubelet's credentials are made out to the name the node joined with.
    fn hurts_member(_subject: &str) -> bool {
        true
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let file = line(&observed.text);
        let wanted = match (&self.name, file, &observed.running) {
            (Some(Name(name)), ..) => name.as_str(),
            (None, Some((_, name)), _) => name,
            (None, None, running) => running.as_deref().unwrap_or_default(),
        };
        let (mut live, mut boot) = (observed.live(wanted), observed.boot(wanted));
        let is_usable = is_usable(wanted);
        if !is_usable {
            let origin = file.map(|(number, _)| Origin::line(Path::new(PATH), number));
            boot = State::differs(
                wanted,
                "a name of its own by RFC 1123, as [hostname] name",
                origin,
            );
            live = boot.clone();
        } else if matches!(live, State::Differs { .. }) {
            let step = Step::WriteKernel {
                path: RUNNING.into(),
                value: wanted.to_owned(),
            };
            plan.live(step, [SUBJECT]);
        }
        if is_usable && file.is_none_or(|(_, name)| name != wanted) {
            let content = set(&observed.text, wanted);
            plan.boot(Step::write(PATH, content, Owner::Shared), [SUBJECT]);
        }
        plan.findings.push(Finding::new(SUBJECT, live, boot));
        plan
    }
}

impl Observed {
    fn live(&self, wanted: &str) -> State {
        match &self.running {
            Some(name) if name == wanted => State::InSync,
            Some(name) => State::differs(name.as_str(), wanted, None),
            None => State::differs("not set", wanted, None),
        }
    }

    fn boot(&self, wanted: &str) -> State {
        if let Some(name) = self.argument.as_deref().filter(|name| *name != wanted) {
            let origin = Origin::Other(format!("kernel argument {ARGUMENT}={name}"));
            return State::differs(name, wanted, Some(origin));
        }
        match line(&self.text) {
            Some((_, name)) if name == wanted => State::InSync,
            Some((number, name)) => {
                State::differs(name, wanted, Some(Origin::line(Path::new(PATH), number)))
            }
            None => State::differs("not set", wanted, None),
        }
    }
}

/// The name that the next boot gives the host by its file, as planned; else the running one.
///
/// # Errors
/// Where the file exists and cannot be read.
pub fn own(host: &Host) -> Result<Option<String>> {
    let text = host.text(Path::new(PATH))?.unwrap_or_default();
    match line(&text) {
        Some((_, name)) => Ok(Some(name.to_owned())),
        None => host.hostname(),
    }
}

/// Whether a node can have this name: `localhost` is every host's.
fn is_usable(name: &str) -> bool {
    name.split('.').next() != Some("localhost") && Name::try_from(name.to_owned()).is_ok()
}

/// The line that names the host, and the name: the first that is neither empty nor a comment
/// (hostname(5)).
fn line(text: &str) -> Option<(usize, &str)> {
    let lines = text.lines().enumerate();
    let mut lines = lines.map(|(index, line)| (index + 1, line.trim()));
    lines.find(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// The text with another name, comments kept.
fn set(text: &str, name: &str) -> String {
    let Some((number, _)) = line(text) else {
        let newline = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        return format!("{text}{newline}{name}\n");
    };
    let place = |(index, line): (usize, &str)| match index + 1 == number {
        true => format!("{name}\n"),
        false => line.to_owned(),
    };
    let lines = text.split_inclusive('\n').enumerate();
    lines.map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_valid(name: &str) -> bool {
        Name::try_from(name.to_owned()).is_ok()
    }

    #[test]
    fn names_are_those_that_kubernetes_takes() {
        for name in ["a", "k8s-master01", "n1.example.com", "1", &"a".repeat(63)] {
            assert!(is_valid(name), "{name}");
        }
        let long = format!("{}.{}", "a".repeat(40), "b".repeat(40));
        for name in [
            "",
            "A",
            "a_b",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a.",
            "ä",
            "a b",
            &long,
            &"a".repeat(64),
            "a\n",
        ] {
            assert!(!is_valid(name), "{name}");
        }
    }

    fn plan(name: Option<&str>, text: &str, running: &str) -> ItemPlan {
        let name = name.map(|name| Name::try_from(name.to_owned()).unwrap());
        Hostname { name }.diff(&Observed {
            text: text.into(),
            argument: None,
            running: Some(running.into()),
        })
    }

    #[test]
    fn both_names_are_set_where_they_differ() {
        let done = plan(Some("a"), "# mine\nb\n", "c");
        let steps: Vec<&Step> = done.steps.iter().map(|planned| &planned.step).collect();
        let live = Step::WriteKernel {
            path: RUNNING.into(),
            value: "a".into(),
        };
        let boot = Step::write(PATH, "# mine\na\n", Owner::Shared);
        assert_eq!(steps, [&live, &boot]);
        assert!(plan(Some("a"), "a", "a").steps.is_empty());
        assert_eq!(plan(None, "a\n", "c").steps.len(), 1);
        assert_eq!(plan(None, "", "c").steps.len(), 1);
    }

    #[test]
    fn a_name_that_is_not_valid_is_told() {
        let invalid = plan(None, "A_b\n", "A_b");
        assert!(invalid.steps.is_empty());
        assert!(matches!(invalid.findings[0].boot, State::Differs { .. }));
    }

    proptest! {
        #[test]
        fn the_name_is_read_back_and_comments_survive(
            lines in proptest::collection::vec("(#[a-z ]{0,5}|[a-z]{1,4}|)", 0..5),
        ) {
            let old = lines.join("\n");
            let new = set(&old, "x-1");
            prop_assert_eq!(line(&new).map(|(_, name)| name), Some("x-1"));
            prop_assert_eq!(&set(&new, "x-1"), &new);
            for comment in lines.iter().filter(|line| line.starts_with('#')) {
                prop_assert!(new.contains(comment.as_str()));
            }
        }
    }
}
