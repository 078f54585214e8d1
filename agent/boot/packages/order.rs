//! The orders in which dpkg and rpm have versions: they agree on most and not on all, and a range
//! means what the host's own manager makes of it.

use std::cmp::Ordering;

/// dpkg's order of upstream versions and of revisions: text and numbers in turn (deb-version(7),
/// Sorting algorithm; lib/dpkg/version.c, `verrevcmp`).
#[must_use]
pub fn of_dpkg(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !(a.is_empty() && b.is_empty()) {
        let (texts, numbers) = (
            split(a, |c| !c.is_ascii_digit()),
            split(b, |c| !c.is_ascii_digit()),
        );
        let ((ta, ra), (tb, rb)) = (texts, numbers);
        let ((na, ra), (nb, rb)) = (split(ra, u8::is_ascii_digit), split(rb, u8::is_ascii_digit));
        let order = text(ta, tb).then_with(|| number(na, nb));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (ra, rb);
    }
    Ordering::Equal
}

/// rpm's order of versions and of releases: words and numbers, whatever is between them
/// (rpmio/rpmvercmp.cc).
#[must_use]
pub fn of_rpm(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        (a, b) = (past_separators(a), past_separators(b));
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            // A tilde is before everything, the end too.
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                (a, b) = (behind(a), behind(b));
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (Some(_), None) => return Ordering::Greater,
            (None, Some(_)) => return Ordering::Less,
            // A caret is behind the end and before all else.
            (Some(b'^'), Some(_)) => return Ordering::Less,
            (Some(_), Some(b'^')) => return Ordering::Greater,
            (Some(first), Some(second)) => {
                let is_number = first.is_ascii_digit();
                if is_number != second.is_ascii_digit() {
                    // A number is newer than a word.
                    return is_number.cmp(&!is_number);
                }
                let same = |c: &u8| match is_number {
                    true => c.is_ascii_digit(),
                    false => c.is_ascii_alphabetic(),
                };
                let ((wa, ra), (wb, rb)) = (split(a, same), split(b, same));
                let order = match is_number {
                    true => number(wa, wb),
                    false => wa.cmp(wb),
                };
                if order != Ordering::Equal {
                    return order;
                }
                (a, b) = (ra, rb);
            }
        }
    }
}

fn past_separators(text: &[u8]) -> &[u8] {
    split(text, |c| !c.is_ascii_alphanumeric() && !b"~^".contains(c)).1
}

fn behind(text: &[u8]) -> &[u8] {
    text.get(1..).unwrap_or_default()
}

fn split(text: &[u8], is: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !is(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// A tilde before the end, the end before letters, letters before all else.
fn text(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |c: Option<&u8>| match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    let longest = a.len().max(b.len());
    let orders = (0..longest).map(|at| rank(a.get(at)).cmp(&rank(b.get(at))));
    orders
        .into_iter()
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// By length without zeros in front, then by digits: numbers may be longer than any integer.
fn number(a: &[u8], b: &[u8]) -> Ordering {
    let (_, a) = split(a, |c| *c == b'0');
    let (_, b) = split(b, |c| *c == b'0');
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// dpkg's own examples, and its test-suite's (lib/dpkg/t/t-version.c).
    #[test]
    fn dpkg() {
        let sorted = [
            "1.0~~", "1.0~~a", "1.0~", "1.0", "1.0a", "1.0+b", "1.0.1", "1.00.2", "1.10",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(of_dpkg(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    /// rpm's own cases (tests/rpmvercmp.at): of each pair the first is the older one, or they are equal.
    #[test]
    fn rpm() {
        let older = [
            ("1.0", "2.0"),
            ("2.0", "2.0.1"),
            ("2.0.1", "2.0.1a"),
            ("5.5p1", "5.5p2"),
            ("5.5p1", "5.5p10"),
            ("10xyz", "10.1xyz"),
            ("xyz10", "xyz10.1"),
            ("xyz.4", "8"),
            ("xyz.4", "2"),
            ("5.5p2", "5.6p1"),
            ("5.6p1", "6.5p1"),
            ("6.0", "6.0.rc1"),
            ("10a1", "10b2"),
            ("1.0a", "1.0aa"),
            ("10.0001", "10.0039"),
            ("4.999.9", "5.0"),
            ("20101121", "20101122"),
            ("1.0~rc1", "1.0"),
            ("1.0~rc1", "1.0~rc2"),
            ("1.0~rc1~git123", "1.0~rc1"),
            ("1.0", "1.0^"),
            ("1.0", "1.0^git1"),
            ("1.0^git1", "1.0^git2"),
            ("1.0^git1", "1.01"),
            ("1.0^20160101", "1.0.1"),
            ("1.0^20160101^git1", "1.0^20160102"),
            ("1.0~rc1", "1.0~rc1^git1"),
            ("1.0^git1~pre", "1.0^git1"),
        ];
        for (a, b) in older {
            assert_eq!(of_rpm(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(of_rpm(b, a), Ordering::Greater, "{b} {a}");
        }
        for (a, b) in [
            ("10.0001", "10.1"),
            ("2.0", "2_0"),
            ("a+", "a_"),
            ("+a", "_a"),
            ("+", "_"),
            ("1.0~rc1~git123", "1.0~rc1~git123"),
            ("1.0^git1~pre", "1.0^git1~pre"),
        ] {
            assert_eq!(of_rpm(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn each_is_an_order(a in "[0-9a-z.~+^]{0,9}", b in "[0-9a-z.~+^]{0,9}") {
            for order in [of_dpkg, of_rpm] {
                prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
                prop_assert_eq!(order(&a, &a), Ordering::Equal);
            }
        }

        #[test]
        fn nothing_panics(a: String, b: String) {
            let _ = (of_dpkg(&a, &b), of_rpm(&a, &b));
        }
    }
}
