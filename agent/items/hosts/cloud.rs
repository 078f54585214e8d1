//! Whether cloud-init writes /etc/hosts at each boot: then what is in it now is gone by then, and its
//! template decides.

use std::path::Path;

use yaml_rust2::{Yaml, YamlLoader};

use crate::error::Result;
use crate::finding::Origin;
use crate::host::Host;

/// Read in this order, later files win (cloud-init's docs, "Configuration sources"). What the cloud
/// itself tells an instance can't be known here.
const MAIN: &str = "/etc/cloud/cloud.cfg";
const DIRECTORY: &str = "/etc/cloud/cloud.cfg.d";
/// With it, cloud-init does nothing.
const DISABLED: &str = "/etc/cloud/cloud-init.disabled";
const KEY: &str = "manage_etc_hosts";

/// The line that lets cloud-init write /etc/hosts anew. With `localhost` it only sees to one line, and
/// leaves all others (cloud-init's cc_update_etc_hosts).
///
/// # Errors
/// Where a file of cloud-init's exists and cannot be read.
pub fn rewrites(host: &Host) -> Result<Option<Origin>> {
    let directory = Path::new(DIRECTORY);
    let names = host.list(directory)?;
    let dropins = names.iter().filter(|name| name.ends_with(".cfg"));
    let files = dropins.map(|name| directory.join(name));
    let mut decides = None;
    for path in std::iter::once(MAIN.into()).chain(files) {
        let text = host.text(&path)?.unwrap_or_default();
        if let Some(rewrites) = says(&text) {
            decides = rewrites.then(|| Origin::line(&path, line_of(&text)));
        }
    }
    if decides.is_some() && host.kind(Path::new(DISABLED))?.is_some() {
        return Ok(None);
    }
    Ok(decides)
}

/// What a file says of it, if anything. One that can't be parsed is nothing to cloud-init either.
fn says(text: &str) -> Option<bool> {
    if !text.contains(KEY) {
        return None;
    }
    let documents = YamlLoader::load_from_str(text).ok()?;
    match documents
        .first()?
        .as_hash()?
        .get(&Yaml::String(KEY.into()))?
    {
        Yaml::Boolean(truth) => Some(*truth),
        // As cloud-init's util.translate_bool has it.
        Yaml::String(word) => {
            let yes = ["true", "1", "on", "yes", "template"];
            Some(yes.contains(&word.trim().to_lowercase().as_str()))
        }
        Yaml::Integer(number) => Some(*number == 1),
        _ => Some(false),
    }
}

fn line_of(text: &str) -> usize {
    let mut lines = text.lines();
    let names = |line: &str| {
        line.trim_start()
            .trim_start_matches(['"', '\''])
            .starts_with(KEY)
    };
    lines.position(names).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_file_is_written_anew() {
        for (text, expected) in [
            ("a: 1\nmanage_etc_hosts: true\n", Some(true)),
            ("manage_etc_hosts: 'True'", Some(true)),
            ("manage_etc_hosts: template", Some(true)),
            ("manage_etc_hosts: yes", Some(true)),
            ("manage_etc_hosts: localhost", Some(false)),
            ("manage_etc_hosts: false", Some(false)),
            ("# manage_etc_hosts: true", None),
            ("a:\n  manage_etc_hosts: true", None),
            ("manage_etc_hosts: [", None),
            ("", None),
        ] {
            assert_eq!(says(text), expected, "{text}");
        }
        assert_eq!(line_of("a: 1\nmanage_etc_hosts: true\n"), 2);
    }
}
