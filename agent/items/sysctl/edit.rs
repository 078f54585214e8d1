//! Writing our file below sysctl.d: lines that others added to it stay.

use std::collections::{BTreeMap, HashMap};

use super::merge::parse;
use super::{Key, dropins};
use crate::template;

/// A line to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The key as sysctl(8) prints it.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Our file with `keys` set, each spelled as given: the last line that names a key gets the new
/// value, earlier ones for the same knob go, missing keys come at the end; every other byte is kept.
pub fn set(old: Option<&[u8]>, keys: &BTreeMap<&Key, Line>) -> Vec<u8> {
    let old = old.filter(|old| !old.is_empty());
    let mut lines: Vec<Vec<u8>> = match old {
        Some(old) => old
            .split_inclusive(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect(),
        None => vec![template::header("sysctl.conf").into_bytes()],
    };
    let mut places = places(&lines);
    let mut keys: Vec<(&&Key, &Line)> = keys.iter().collect();
    // As in the live order: ip_forward resets others.
    keys.sort_by_key(|(key, _)| key.path() != "net/ipv4/ip_forward");
    for (key, line) in keys {
        let wanted = format!("{} = {}", line.name, line.value);
        let aliases = key.aliases();
        let named = aliases
            .iter()
            .filter_map(|alias| places.remove(alias.path()));
        let mut named: Vec<usize> = named.flatten().collect();
        named.sort_unstable();
        let last = named.pop();
        match last.and_then(|last| lines.get_mut(last)) {
            Some(line) => *line = with_ending(wanted, line),
            None => {
                if let Some(line) = lines.iter_mut().rfind(|line| !line.is_empty())
                    && !line.ends_with(b"\n")
                {
                    line.push(b'\n');
                }
                lines.push((wanted + "\n").into_bytes());
            }
        }
        // Another name of the same knob that is wanted too finds this line.
        let place = last.unwrap_or(lines.len() - 1);
        places.insert(key.path().to_owned(), vec![place]);
        for place in named {
            if let Some(line) = lines.get_mut(place) {
                line.clear();
            }
        }
    }
    lines.concat()
}

/// Which lines of a file set a key.
fn places(lines: &[Vec<u8>]) -> HashMap<String, Vec<usize>> {
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    for (place, line) in lines.iter().enumerate() {
        let text = String::from_utf8_lossy(line);
        let mut lines = dropins::lines(&text);
        let parsed = lines.next().and_then(|(_, line)| parse(line, true));
        if let Some((path, Some(_))) = parsed {
            places.entry(path).or_default().push(place);
        }
    }
    places
}

/// A new line with the old one's ending.
fn with_ending(text: String, old: &[u8]) -> Vec<u8> {
    let ending: &[u8] = match old {
        [.., b'\r', b'\n'] => b"\r\n",
        [.., b'\n'] => b"\n",
        _ => b"",
    };
    [text.as_bytes(), ending].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn setting_keeps_every_other_byte() {
        let old = b"; theirs\r\nvm.swappiness=10\r\nnet.ipv4.conf.all.forwarding = 0\nvm.swappiness = 20\r\n\xff\xfe\nkernel.panic=1";
        let (a, b) = (key("vm.swappiness"), key("kernel.panic_on_oops"));
        let line = |key: &Key, value: &str| Line {
            name: key.name(),
            value: value.into(),
        };
        let keys = BTreeMap::from([(&a, line(&a, "0")), (&b, line(&b, "1"))]);
        let new = set(Some(old), &keys);
        let expected = b"; theirs\r\nnet.ipv4.conf.all.forwarding = 0\nvm.swappiness = 0\r\n\xff\xfe\nkernel.panic=1\nkernel.panic_on_oops = 1\n";
        assert_eq!(new, expected);
        assert_eq!(set(Some(&new), &keys), new);
    }
}
