//! The kernel command line: an argument there beats every file.

use std::path::Path;

use crate::error::Result;
use crate::host::Host;

/// The arguments of the running kernel, which the next boot gets too unless the boot loader is
/// changed; none for an image.
///
/// # Errors
/// Where `/proc/cmdline` cannot be read.
pub fn arguments(host: &Host) -> Result<Vec<(String, Option<String>)>> {
    Ok(parse(
        &host.text(Path::new("/proc/cmdline"))?.unwrap_or_default(),
    ))
}

/// The last value given for `name`, `-` and `_` being one, as systemd's `proc_cmdline_key_streq`
/// and the kernel see it.
#[must_use]
pub fn value<'a>(arguments: &'a [(String, Option<String>)], name: &str) -> Option<&'a str> {
    values(arguments, name).last()
}

/// Every value given for `name`, in order; an argument without `=` has the value `""`.
pub fn values<'a>(
    arguments: &'a [(String, Option<String>)],
    name: &str,
) -> impl Iterator<Item = &'a str> {
    let name = name.replace('-', "_");
    arguments
        .iter()
        .filter(move |(key, _)| key.replace('-', "_") == name)
        .map(|(_, value)| value.as_deref().unwrap_or_default())
}

/// Splits a command line; double quotes keep spaces together (lib/cmdline.c, `next_arg`).
#[must_use]
pub fn parse(text: &str) -> Vec<(String, Option<String>)> {
    let mut quoted = false;
    let words = text.split(|letter: char| {
        quoted ^= letter == '"';
        letter.is_whitespace() && !quoted
    });
    words
        .map(|word| word.replace('"', ""))
        .filter(|word| !word.is_empty())
        .map(|word| match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (word, None),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_value_wins_and_dashes_are_underscores() {
        let arguments = parse("quiet modules-load=a,b modules_load=c x=\"1 2\" systemd.swap=no\n");
        assert_eq!(
            values(&arguments, "modules_load").collect::<Vec<_>>(),
            ["a,b", "c"]
        );
        assert_eq!(value(&arguments, "x"), Some("1 2"));
        assert_eq!(value(&arguments, "quiet"), Some(""));
        assert_eq!(value(&arguments, "absent"), None);
    }
}
