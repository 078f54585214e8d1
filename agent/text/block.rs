//! A block of our own in a file of others, between two marker lines: what is in it is ours alone,
//! and what is around it is never looked at twice.

use crate::error::{Result, trouble};

/// The lines a block stands between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    begin: String,
    end: String,
}

impl Markers {
    /// Markers in a file whose comments begin with `comment`.
    #[must_use]
    pub fn new(comment: &str) -> Self {
        Self {
            begin: format!("{comment} BEGIN nodeprep"),
            end: format!("{comment} END nodeprep"),
        }
    }

    /// What is between the markers; none where there is no block.
    ///
    /// # Errors
    /// Where there is one marker without the other, or more than one block.
    pub fn find<'a>(&self, text: &'a [u8]) -> Result<Option<&'a [u8]>> {
        let found = self.place(text)?;
        Ok(found.and_then(|place| text.get(place.inner.0..place.inner.1)))
    }

    /// The text with `body` between the markers; a block that is not there yet comes at the end.
    ///
    /// # Errors
    /// As [`Markers::find`].
    pub fn set(&self, text: &[u8], body: &str) -> Result<Vec<u8>> {
        let place = self.place(text)?;
        let end = if body.is_empty() || body.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let Some(place) = place else {
            let before = if text.is_empty() || text.ends_with(b"\n") {
                ""
            } else {
                "\n"
            };
            let block = format!("{before}{}\n{body}{end}{}\n", self.begin, self.end);
            return Ok([text, block.as_bytes()].concat());
        };
        let (from, to) = place.inner;
        let before = text.get(..from).unwrap_or_default();
        let after = text.get(to..).unwrap_or_default();
        Ok([before, body.as_bytes(), end.as_bytes(), after].concat())
    }

    /// Which lines, counted from 1, the block is on, its markers included.
    ///
    /// # Errors
    /// As [`Markers::find`].
    pub fn lines(&self, text: &[u8]) -> Result<std::ops::Range<usize>> {
        Ok(self.place(text)?.map_or(0..0, |place| place.lines))
    }

    fn place(&self, text: &[u8]) -> Result<Option<Place>> {
        let mut place: Option<Place> = None;
        let mut open: Option<(usize, usize)> = None;
        let mut offset = 0;
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let (number, start) = (index + 1, offset);
            offset += line.len();
            let line = line.trim_ascii();
            if line == self.begin.as_bytes() {
                if place.is_some() || open.is_some() {
                    return Err(self.damaged(number, &self.begin, "is there twice"));
                }
                open = Some((number, offset));
            } else if line == self.end.as_bytes() {
                let Some((first, from)) = open.take() else {
                    return Err(self.damaged(number, &self.end, "has no begin"));
                };
                place = Some(Place {
                    lines: first..number + 1,
                    inner: (from, start),
                });
            }
        }
        match open {
            Some((number, _)) => Err(self.damaged(number, &self.begin, "has no end")),
            None => Ok(place),
        }
    }

    fn damaged(&self, line: usize, marker: &str, how: &str) -> crate::error::Error {
        trouble!("line {line}: \"{marker}\" {how}: mend it by hand, the file is left as it is")
    }
}

/// Where a block is.
struct Place {
    lines: std::ops::Range<usize>,
    /// From the end of its first line to the begin of its last.
    inner: (usize, usize),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(text: &str, body: &str) -> String {
        let text = Markers::new("#").set(text.as_bytes(), body).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn comes_at_the_end_and_is_changed_in_its_place() {
        let new = set("a\nb", "1\n2");
        assert_eq!(new, "a\nb\n# BEGIN nodeprep\n1\n2\n# END nodeprep\n");
        assert_eq!(set(&new, "1\n2"), new);
        let more = new + "c";
        assert_eq!(
            set(&more, "3"),
            "a\nb\n# BEGIN nodeprep\n3\n# END nodeprep\nc"
        );
        assert_eq!(set(&more, ""), "a\nb\n# BEGIN nodeprep\n# END nodeprep\nc");
        let markers = Markers::new("#");
        assert_eq!(markers.lines(more.as_bytes()).unwrap(), 3..7);
        assert_eq!(markers.find(more.as_bytes()).unwrap(), Some(&b"1\n2\n"[..]));
        assert_eq!(markers.find(b"a").unwrap(), None);
        assert_eq!(set("", "1"), "# BEGIN nodeprep\n1\n# END nodeprep\n");
        assert_eq!(Markers::new(";").find(more.as_bytes()).unwrap(), None);
    }

    #[test]
    fn damage_is_told_by_its_line() {
        for (text, line) in [
            (
                "a\n# BEGIN nodeprep\n",
                "line 2: \"# BEGIN nodeprep\" has no end",
            ),
            ("# END nodeprep", "line 1: \"# END nodeprep\" has no begin"),
            (
                "# BEGIN nodeprep\n# END nodeprep\n# BEGIN nodeprep",
                "line 3: \"# BEGIN nodeprep\" is there twice",
            ),
        ] {
            let error = Markers::new("#").set(text.as_bytes(), "").unwrap_err();
            assert!(error.to_string().starts_with(line), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_around_it_survives(
            lines in proptest::collection::vec("(# BEGIN nodeprep|# END nodeprep|[ -~]{0,5})\r?\n?", 0..6),
            body in "([a-z]{0,4}\n){0,3}",
        ) {
            let old = lines.concat();
            let markers = Markers::new("#");
            let Ok(found) = markers.find(old.as_bytes()) else {
                prop_assert!(markers.set(old.as_bytes(), &body).is_err());
                return Ok(());
            };
            let new = set(&old, &body);
            prop_assert_eq!(markers.find(new.as_bytes()).unwrap(), Some(body.as_bytes()));
            prop_assert_eq!(&set(&new, &body), &new);
            match found {
                Some(inner) => {
                    let inner = String::from_utf8(inner.to_vec()).unwrap();
                    prop_assert_eq!(set(&new, &inner), old);
                }
                None => prop_assert!(new.starts_with(&old)),
            }
        }
    }
}
