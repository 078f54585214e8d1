//! The links that decide whether the boot starts a unit.

use std::path::{Path, PathBuf};

use super::OURS;
use crate::boot::services::Install;
use crate::error::Result;
use crate::host::Host;

/// Where generators put units (systemd.generator(7)).
const GENERATED: [&str; 3] = [
    "/run/systemd/generator.early",
    "/run/systemd/generator",
    "/run/systemd/generator.late",
];
/// Links to the scripts that a SysV init would start with several users (systemd-sysv-generator(8));
/// Debian's place and EL's.
const RUNLEVELS: [&str; 2] = ["/etc/rc3.d", "/etc/rc.d/rc3.d"];
const SCRIPTS: &str = "/etc/init.d";

pub(super) fn names_unit(host: &Host, link: &Path, name: &str) -> Result<bool> {
    let target = host.link(link)?;
    Ok(target.is_some_and(|target| target.file_name() == Some(name.as_ref())))
}

/// What a generator has made a unit of, and what starts it.
pub(super) fn generator_made(
    host: &Host,
    name: &str,
    mut links: Vec<PathBuf>,
) -> Result<(Option<PathBuf>, Vec<PathBuf>)> {
    let script = name.trim_end_matches(".service");
    let path = Path::new(SCRIPTS).join(script);
    if host.kind(&path)?.is_some() {
        for directory in RUNLEVELS.map(Path::new) {
            let names = host.list(directory)?;
            // S, two digits, the name.
            let starts = |entry: &&String| {
                let rest = entry.strip_prefix('S').and_then(|rest| rest.get(2..));
                rest == Some(script)
            };
            links.extend(
                names
                    .iter()
                    .filter(starts)
                    .map(|entry| directory.join(entry)),
            );
        }
        return Ok((Some(path), links));
    }
    for directory in GENERATED.map(Path::new) {
        let path = directory.join(name);
        if host.kind(&path)?.is_none() {
            continue;
        }
        for wants in host.list(directory)?.iter() {
            let link = directory.join(wants).join(name);
            let is_wants = wants.ends_with(".wants") || wants.ends_with(".requires");
            if is_wants && host.kind(&link)?.is_some() {
                links.push(link);
            }
        }
        return Ok((Some(path), links));
    }
    Ok((None, links))
}

/// The links that an `[Install]` section asks for (systemd.unit(5)). Names with specifiers, which no
/// service we know has there, are left out.
pub(super) fn install_links(name: &str, install: &Install) -> Vec<PathBuf> {
    let directory = |units: &[String], kind: &str| -> Vec<PathBuf> {
        let units = units.iter().filter(|unit| !unit.contains('%'));
        units
            .map(|unit| Path::new(OURS).join(format!("{unit}.{kind}")).join(name))
            .collect()
    };
    let mut links = directory(&install.wanted_by, "wants");
    links.extend(directory(&install.required_by, "requires"));
    links.extend(directory(&install.upheld_by, "upholds"));
    let alias = install
        .alias
        .iter()
        .filter(|alias| !alias.contains('%') && *alias != name);
    links.extend(alias.map(|alias| Path::new(OURS).join(alias)));
    links
}
