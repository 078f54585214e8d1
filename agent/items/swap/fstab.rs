//! fstab rows of type swap: found by fields, commented out with every other byte kept. The
//! well-known `sed '/swap/s/^/#/'` misses tabs, hits comments and paths that contain the word.

/// A row that makes an area at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Line number from 1.
    pub line: usize,
    /// First field: a path or `UUID=…`, escapes resolved.
    pub what: String,
    /// Whether the boot switches it on: not with `noauto`.
    pub auto: bool,
}

/// The swap rows of an fstab (fstab(5): fields by blanks or tabs, the third is the type).
#[must_use]
pub fn rows(fstab: &[u8]) -> Vec<Row> {
    lines(fstab)
        .enumerate()
        .filter_map(|(index, line)| row(index + 1, line))
        .collect()
}

/// The same file with `#` before the rows of these lines.
#[must_use]
pub fn comment(fstab: &[u8], rows: &[usize]) -> Vec<u8> {
    let mut new = Vec::with_capacity(fstab.len() + rows.len());
    for (index, line) in lines(fstab).enumerate() {
        if rows.contains(&(index + 1)) {
            new.push(b'#');
        }
        new.extend_from_slice(line);
    }
    new
}

fn lines(fstab: &[u8]) -> impl Iterator<Item = &[u8]> {
    fstab.split_inclusive(|b| *b == b'\n')
}

fn row(line: usize, bytes: &[u8]) -> Option<Row> {
    let text = String::from_utf8_lossy(bytes);
    let mut fields = text
        .split([' ', '\t', '\r', '\n'])
        .filter(|field| !field.is_empty());
    let what = fields.next().filter(|what| !what.starts_with('#'))?;
    if fields.nth(1)? != "swap" {
        return None;
    }
    let auto = fields
        .next()
        .is_none_or(|options| options.split(',').all(|o| o != "noauto"));
    Some(Row {
        line,
        what: super::unescape(what),
        auto,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MESSY: &[u8] = b"# /swapfile none swap sw 0 0\r\n/dev/sda1 / ext4 defaults 0 1\r\n\
\t /swap\\040file \t none\tswap  sw 0 0\r\nUUID=ab none swap noauto 0 0\n/home/swap /mnt/swap ext4 rw\n/dev/x swap swap";

    #[test]
    fn fields_decide() {
        let found: Vec<_> = rows(MESSY)
            .into_iter()
            .map(|r| (r.line, r.what, r.auto))
            .collect();
        let expected = [
            (3, "/swap file", true),
            (4, "UUID=ab", false),
            (6, "/dev/x", true),
        ];
        assert_eq!(
            found,
            expected.map(|(line, what, auto)| (line, what.to_owned(), auto))
        );
    }

    #[test]
    fn commenting_adds_one_byte_a_row() {
        let new = comment(MESSY, &[3, 6]);
        assert_eq!(new.len(), MESSY.len() + 2);
        assert!(rows(&new).iter().all(|row| !row.auto));
        assert!(new.windows(4).any(|w| w == b"#\t /") && new.ends_with(b"#/dev/x swap swap"));
    }

    proptest! {
        #[test]
        fn all_other_bytes_survive(fstab in proptest::collection::vec(any::<u8>(), 0..300)) {
            let found: Vec<usize> = rows(&fstab).iter().map(|row| row.line).collect();
            let new = comment(&fstab, &found);
            prop_assert!(rows(&new).is_empty());
            prop_assert_eq!(new.len(), fstab.len() + found.len());
        }
    }
}
