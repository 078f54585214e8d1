//! dpkg's database of several MB, looked through without making anything of the packages nobody
//! asked about.

use memchr::memmem;

use super::{Installed, Stands};

/// What begins a stanza of `/var/lib/dpkg/status` (dpkg's lib/dpkg/dump.c writes it first).
const PACKAGE: &[u8] = b"Package: ";

/// How these packages stand, in their order; a package of several architectures by the one that is
/// installed.
#[must_use]
pub fn find(status: &[u8], names: &[&str]) -> Vec<Installed> {
    let mut found = vec![Installed::default(); names.len()];
    for stanza in stanzas(status) {
        let name = name(stanza);
        for (wanted, slot) in names.iter().zip(&mut found) {
            if wanted.as_bytes() == name && slot.stands == Stands::Absent {
                *slot = installed(stanza);
            }
        }
    }
    found
}

/// Which of these packages apt has marked as installed for others' sake, in `extended_states`.
#[must_use]
pub fn automatic(states: &[u8], names: &[&str]) -> Vec<bool> {
    let mut found = vec![false; names.len()];
    for stanza in stanzas(states) {
        let name = name(stanza);
        for (wanted, slot) in names.iter().zip(&mut found) {
            *slot |=
                wanted.as_bytes() == name && memmem::find(stanza, b"\nAuto-Installed: 1").is_some();
        }
    }
    found
}

/// Packages that dpkg began with and did not finish, by name.
#[must_use]
pub fn unfinished(status: &[u8]) -> Vec<String> {
    let name = |stanza: &[u8]| String::from_utf8_lossy(name(stanza)).into_owned();
    let half = |stanza: &&[u8]| {
        // Nearly all: no need to look closer.
        memmem::find(stanza, b"\nStatus: install ok installed\n").is_none()
            && matches!(installed(stanza).stands, Stands::Half(_))
    };
    stanzas(status).filter(half).map(name).collect()
}

/// The name a stanza begins with.
fn name(stanza: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', stanza).unwrap_or(stanza.len());
    stanza.get(..end).unwrap_or_default().trim_ascii()
}

/// The stanzas, each from its package's name on.
fn stanzas(status: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = match status.strip_prefix(PACKAGE) {
        Some(rest) => Some(rest),
        None => behind(status).map(|(_, rest)| rest),
    };
    std::iter::from_fn(move || {
        let stanza = rest?;
        let Some((stanza, next)) = behind(stanza) else {
            rest = None;
            return Some(stanza);
        };
        rest = Some(next);
        Some(stanza)
    })
}

/// What is before the next stanza, and what is behind its beginning.
fn behind(text: &[u8]) -> Option<(&[u8], &[u8])> {
    const BETWEEN: &[u8] = b"\nPackage: ";
    let at = memmem::find(text, BETWEEN)?;
    Some((text.get(..=at)?, text.get(at + BETWEEN.len()..)?))
}

/// `Status:` is what is wanted, an error flag, and how far it got (dpkg-query(1)).
fn installed(stanza: &[u8]) -> Installed {
    let value = |field: &str| {
        let field = format!("\n{field}: ");
        let at = memmem::find(stanza, field.as_bytes())? + field.len();
        let rest = stanza.get(at..)?;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        Some(String::from_utf8_lossy(rest.get(..end)?).trim().to_owned())
    };
    let status = value("Status").unwrap_or_default();
    let mut words = status.split_ascii_whitespace();
    let want = words.next().unwrap_or_default();
    let flag = words.next().unwrap_or_default();
    let stands = match words.next().unwrap_or_default() {
        "installed" if flag == "ok" => Stands::Installed,
        "" | "not-installed" | "config-files" if flag != "reinstreq" => Stands::Absent,
        // They wait for another package's trigger: they work, and dpkg --configure -a ends it.
        state => Stands::Half(match flag {
            "reinstreq" => format!("{state}, to be installed again"),
            _ => state.to_owned(),
        }),
    };
    Installed {
        version: value("Version")
            .filter(|_| stands != Stands::Absent)
            .unwrap_or_default(),
        held: want == "hold",
        stands,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: &[u8] = b"Package: containerd\nStatus: install ok installed\nVersion: 1.6.20~ds1-1\n\n\
        Package: runc\nStatus: deinstall ok config-files\nVersion: 1.1\n\n\
        Package: kubelet\nPriority: x\nStatus: hold ok installed\nDescription: a\n Package: not\nVersion: 1.30.4-1.1\n\n\
        Package: libc6\nStatus: install ok half-configured\nArchitecture: i386\nVersion: 1\n\n\
        Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2\n\n\
        Package: torn\nStatus: install reinstreq half-installed\nVersion: 3\n";

    #[test]
    fn how_packages_stand() {
        let names = [
            "kubelet",
            "runc",
            "containerd",
            "containerd.io",
            "torn",
            "not",
        ];
        let found = find(STATUS, &names);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "1.30.4-1.1, held",
                "not installed",
                "1.6.20~ds1-1",
                "not installed",
                "3, half-installed, to be installed again",
                "not installed"
            ]
        );
        assert_eq!(unfinished(STATUS), ["libc6", "torn"]);
    }

    #[test]
    fn what_nobody_asked_for() {
        let states = b"Package: lab-cni\nArchitecture: amd64\nAuto-Installed: 1\n\n\
            Package: socat\nArchitecture: amd64\nAuto-Installed: 0\n";
        let found = automatic(states, &["socat", "lab-cni", "lab"]);
        assert_eq!(found, [false, true, false]);
        assert_eq!(automatic(b"", &["a"]), [false]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text: Vec<u8>, cut in 0..STATUS.len()) {
            let _ = find(&text, &["a"]);
            let _ = automatic(&text, &["a"]);
            let _ = unfinished(STATUS.get(..cut).unwrap());
            let _ = find(STATUS.get(cut..).unwrap(), &["kubelet"]);
        }
    }
}
