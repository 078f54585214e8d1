//! Users and groups by name, from /etc/passwd and /etc/group alone: NSS would load libraries into a
//! static program, and ask servers.

use std::path::Path;

use crate::error::{Error, Result, trouble};
use crate::host::Host;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The texts of both files: `name:password:number:…` a line (passwd(5), group(5)).
#[derive(Debug, Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

impl Accounts {
    /// Reads both.
    ///
    /// # Errors
    /// Where one exists and cannot be read.
    pub fn read(host: &Host) -> Result<Self> {
        let read = |path| Ok(host.text(Path::new(path))?.unwrap_or_default());
        Ok(Self {
            passwd: read(PASSWD)?,
            group: read(GROUP)?,
        })
    }

    /// A user's number.
    ///
    /// # Errors
    /// Where there is no such user.
    pub fn user(&self, name: &str) -> Result<u32> {
        number(&self.passwd, name).ok_or_else(|| unknown("user", name, PASSWD))
    }

    /// A group's number.
    ///
    /// # Errors
    /// Where there is no such group.
    pub fn group(&self, name: &str) -> Result<u32> {
        number(&self.group, name).ok_or_else(|| unknown("group", name, GROUP))
    }
}

fn number(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        fields.nth(1)?.parse().ok()
    })
}

fn unknown(what: &str, name: &str, file: &str) -> Error {
    trouble!("{file} has no {what} {name}: make it first, or give its number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_the_third_field() {
        let accounts = Accounts {
            passwd:
                "root:x:0:0:root:/root:/bin/sh\n+::::::\nbad:x\netcd:x:996:995::/:/sbin/nologin"
                    .into(),
            group: "root:x:0:\nadm:x:4:syslog,me\n".into(),
        };
        assert_eq!(accounts.user("etcd").unwrap(), 996);
        assert_eq!(accounts.group("adm").unwrap(), 4);
        for name in ["bad", "", "x", "me", "+"] {
            assert!(
                accounts.user(name).is_err() && accounts.group(name).is_err(),
                "{name}"
            );
        }
        let error = accounts.group("etcd").unwrap_err().to_string();
        assert!(error.starts_with("/etc/group has no group etcd"), "{error}");
    }
}
