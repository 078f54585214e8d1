//! firewalld's files by kind and name: what is configured shadows what is packaged.

use std::path::{Path, PathBuf};

use super::zone::{Service, What, Zone};
use crate::error::Result;
use crate::host::Host;

/// What is configured here; a file of the same name shadows the packaged one (firewalld(1)).
const CONFIGURED: &str = "/etc/firewalld";
/// What the packages bring.
const PACKAGED: &str = "/usr/lib/firewalld";
/// How deep services include others before it is taken for a circle.
const DEEPEST: usize = 8;

/// Where the file of a zone that is changed goes.
#[must_use]
pub fn configured(kind: &str, name: &str) -> PathBuf {
    Path::new(CONFIGURED).join(kind).join(format!("{name}.xml"))
}

/// Every zone or policy by its name, which is its file's.
///
/// # Errors
/// Where a file cannot be read or understood.
pub fn read_all(host: &Host, kind: &str) -> Result<Vec<(String, Zone)>> {
    let mut names: Vec<String> = Vec::new();
    for dir in [CONFIGURED, PACKAGED] {
        let files = host.list(&Path::new(dir).join(kind))?;
        names.extend(
            files
                .iter()
                .filter_map(|file| file.strip_suffix(".xml"))
                .map(str::to_owned),
        );
    }
    names.sort_unstable();
    names.dedup();
    let mut all = Vec::new();
    for name in names {
        let Some((path, text)) = find(host, kind, &name)? else {
            continue;
        };
        let services = |service: &str| services(host, service, 0);
        let zone = Zone::parse(&path, &text, &services)?;
        all.push((name, zone));
    }
    Ok(all)
}

/// What a service passes, with what it includes. One that has no file passes nothing.
fn services(host: &Host, name: &str, depth: usize) -> Result<Vec<What>> {
    let Some((path, text)) = find(host, "services", name)? else {
        return Ok(Vec::new());
    };
    let service = Service::parse(&path, &text)?;
    let mut passes = service.passes;
    for include in service.includes.iter().filter(|_| depth < DEEPEST) {
        passes.extend(services(host, include, depth + 1)?);
    }
    Ok(passes)
}

/// The file of a zone, policy or service: what is configured shadows what is packaged.
fn find(host: &Host, kind: &str, name: &str) -> Result<Option<(PathBuf, String)>> {
    if name.contains('/') {
        return Ok(None);
    }
    for dir in [CONFIGURED, PACKAGED] {
        let path = Path::new(dir).join(kind).join(format!("{name}.xml"));
        if let Some(text) = host.exact_text(&path)? {
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}
