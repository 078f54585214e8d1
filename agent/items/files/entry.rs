//! One entry of [files] as the profile has it.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::accounts::Accounts;
use crate::error::Result;
use crate::step::Access;

/// Nothing is written there: what is in them is no file, or gone at the next boot.
const REFUSED: [(&str, &str); 6] = [
    ("/proc", "the kernel's: kernel values belong in [sysctl]"),
    ("/sys", "the kernel's"),
    ("/dev", "the kernel's"),
    (
        "/run",
        "empty at each boot: write a file in /etc/tmpfiles.d",
    ),
    ("/tmp", "everyone's"),
    ("/var/lib/nodeprep", "nodeprep's own"),
];
/// Files that other sections edit.
const OWNED: [(&str, &str); 6] = [
    ("/etc/fstab", "swap"),
    ("/etc/selinux/config", "selinux"),
    ("/etc/hostname", "hostname"),
    ("/etc/hosts", "hosts"),
    ("/etc/containerd/config.toml", "containerd"),
    ("/etc/crictl.yaml", "crictl"),
];
/// Permission bits, with set-id and sticky (chmod(2)).
const MODES: u32 = 0o7777;

/// An absolute path that is no other's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Place(PathBuf);

impl Place {
    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let path = Path::new(&text);
        let plain = path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
        let up = path.components().any(|part| part == Component::ParentDir);
        if !path.is_absolute() || !plain || up || path.parent().is_none() || text.contains('\0') {
            return Err(format!(
                "\"{text}\" can't be kept: expected an absolute path without `.`, `..` and `//`"
            ));
        }
        if let Some((top, whose)) = REFUSED.iter().find(|(top, _)| path.starts_with(top)) {
            return Err(format!("\"{text}\" can't be kept: {top} is {whose}"));
        }
        match OWNED.iter().find(|(owned, _)| path == Path::new(owned)) {
            Some((_, section)) => Err(format!("\"{text}\" is edited by [{section}]: say it there")),
            None => Ok(Self(path.to_owned())),
        }
    }
}

/// What should be at a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Entry {
    pub content: Content,
    mode: Option<Mode>,
    owner: Option<Account>,
    group: Option<Account>,
    restart: Vec<Unit>,
}

/// What it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file with this text.
    Text(String),
    /// A file with this text in a block between markers.
    Block { text: String, comment: String },
    /// A directory.
    Directory,
    /// Nothing.
    Absent,
    /// A symbolic link.
    Link(PathBuf),
    /// Whatever is there, with mode and owner.
    Any,
}

/// The keys of an entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    content: Option<String>,
    block: Option<String>,
    comment: Option<Comment>,
    #[serde(default)]
    directory: bool,
    #[serde(default)]
    absent: bool,
    link: Option<String>,
    mode: Option<Mode>,
    owner: Option<Account>,
    group: Option<Account>,
    #[serde(default)]
    restart: Vec<Unit>,
}

impl TryFrom<Fields> for Entry {
    type Error = String;

    fn try_from(fields: Fields) -> std::result::Result<Self, String> {
        let comment = fields.comment.map(|Comment(text)| text);
        let is_block = fields.block.is_some();
        let block = fields.block.map(|text| Content::Block {
            text,
            comment: comment.clone().unwrap_or_else(|| "#".into()),
        });
        let link = fields.link.map(|target| Content::Link(target.into()));
        let said = [
            fields.content.map(Content::Text),
            block,
            fields.directory.then_some(Content::Directory),
            fields.absent.then_some(Content::Absent),
            link,
        ];
        let mut said = said.into_iter().flatten();
        let content = said.next().unwrap_or(Content::Any);
        if said.next().is_some() {
            return Err(
                "two of `content`, `block`, `directory`, `absent` and `link`: give one".into(),
            );
        }
        if comment.is_some() && !is_block {
            return Err("`comment` is for the markers of a `block`: give one, or none".into());
        }
        let rights = [
            fields.owner.is_some(),
            fields.group.is_some(),
            fields.mode.is_some(),
        ];
        let any = rights.contains(&true);
        match content {
            Content::Absent | Content::Link(_) if any => {
                return Err("what is absent, or a link, has no `mode`, `owner` or `group`".into());
            }
            Content::Any if !any => {
                return Err(
                    "nothing is wanted: give `content`, `block`, `directory`, `absent`, `link` or `mode`"
                        .into(),
                );
            }
            _ => {}
        }
        Ok(Self {
            content,
            mode: fields.mode,
            owner: fields.owner,
            group: fields.group,
            restart: fields.restart,
        })
    }
}

impl Entry {
    /// Units to be restarted where it changes.
    pub fn restart(&self) -> impl Iterator<Item = &str> {
        self.restart.iter().map(|Unit(unit)| unit.as_str())
    }

    /// Whether users or groups must be looked up.
    pub fn names_accounts(&self) -> bool {
        let mut accounts = self.owner.iter().chain(&self.group);
        accounts.any(|account| matches!(account, Account::Name(_)))
    }

    /// Mode and owner that are wanted, what is not named being as it is; none where nothing is named.
    ///
    /// # Errors
    /// Where there is no such user or group.
    pub fn access(&self, now: Access, accounts: &Accounts) -> Result<Option<Access>> {
        if self.mode.is_none() && self.owner.is_none() && self.group.is_none() {
            return Ok(None);
        }
        let uid = match &self.owner {
            None => now.uid,
            Some(Account::Number(number)) => *number,
            Some(Account::Name(name)) => accounts.user(name)?,
        };
        let gid = match &self.group {
            None => now.gid,
            Some(Account::Number(number)) => *number,
            Some(Account::Name(name)) => accounts.group(name)?,
        };
        let mode = self.mode.as_ref().map_or(now.mode, |Mode(mode)| *mode);
        Ok(Some(Access { mode, uid, gid }))
    }
}

/// Permission bits, in octal as chmod(1) takes them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Mode(u32);

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if octal && mode <= MODES => Ok(Self(mode)),
            _ => Err(format!(
                "\"{text}\" is no mode: expected three or four octal digits, such as \"0640\""
            )),
        }
    }
}

/// A user or group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Account {
    Number(u32),
    Name(String),
}

/// What comments of a file begin with.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Comment(String);

impl TryFrom<String> for Comment {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic());
        match plain && !text.is_empty() {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" begins no comment: expected `#`, `;`, `//` or alike"
            )),
        }
    }
}

/// A unit of systemd's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Unit(String);

impl TryFrom<String> for Unit {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        let name = text.strip_suffix(".service").unwrap_or_default();
        match !name.is_empty() && !name.starts_with('-') && name.bytes().all(plain) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no service: expected a name such as containerd.service"
            )),
        }
    }
}
