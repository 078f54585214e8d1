//! The sets and maps that rules look things up in.

use std::collections::HashMap;

use super::super::Verdict;
use super::super::netlink::{Attributes, Message};
use super::field::Bounds;
use super::verdict;

/// NFT_SET_… (include/uapi/linux/netfilter/nf_tables.h).
const ANONYMOUS: u32 = 1;
const INTERVAL: u32 = 4;
const CONCATENATION: u32 = 0x80;
/// NFT_SET_ELEM_….
const INTERVAL_END: u32 = 1;
const CATCH_ALL: u32 = 2;

/// Family, table and name.
pub(super) type Key<'a> = (u8, &'a str, &'a str);

/// All sets of a host.
#[derive(Debug, Default)]
pub(super) struct Sets<'a>(HashMap<Key<'a>, Set<'a>>);

/// A set, or a map whose values are verdicts or not of interest.
#[derive(Debug, Default)]
pub(super) struct Set<'a> {
    flags: u32,
    /// Bytes of a key.
    pub key_length: usize,
    elements: Vec<Element<'a>>,
}

#[derive(Debug)]
struct Element<'a> {
    key: &'a [u8],
    /// The last of the keys it stands for, where it stands for more than one.
    last: Option<&'a [u8]>,
    /// The key is the first that an interval does not hold any more.
    ends: bool,
    verdict: Option<Verdict>,
}

/// What a set holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The keys, and the verdict of each in a verdict map.
    pub keys: Vec<(Bounds, Option<Verdict>)>,
    /// What stands for all other keys.
    pub others: Option<Option<Verdict>>,
}

impl<'a> Sets<'a> {
    /// Adds the set of a NFT_MSG_NEWSET.
    pub fn add(&mut self, message: &Message<'a>) -> Option<()> {
        let attributes = message.attributes();
        let key = (
            message.family()?,
            attributes.string(1)?,
            attributes.string(2)?,
        );
        let set = self.0.entry(key).or_default();
        set.flags = attributes.number(3).unwrap_or(0);
        set.key_length = usize::try_from(attributes.number(5)?).ok()?;
        Some(())
    }

    /// Adds the elements of a NFT_MSG_NEWSETELEM; a set has as many of these as it needs.
    pub fn add_elements(&mut self, message: &Message<'a>) -> Option<()> {
        let attributes = message.attributes();
        let key = (
            message.family()?,
            attributes.string(1)?,
            attributes.string(2)?,
        );
        let elements = attributes
            .nested(3)
            .iter()
            .map(|(_, one)| element(Attributes(one)));
        self.0.entry(key).or_default().elements.extend(elements);
        Some(())
    }

    pub fn get<'s>(&'s self, key: Key<'s>) -> Option<&'s Set<'s>> {
        self.0.get(&key)
    }
}

fn element(attributes: Attributes<'_>) -> Element<'_> {
    let flags = attributes.number(3).unwrap_or(0);
    let value = |kind| attributes.nested(kind).get(1);
    Element {
        key: if flags & CATCH_ALL == 0 {
            value(1).unwrap_or_default()
        } else {
            &[]
        },
        last: value(10),
        ends: flags & INTERVAL_END != 0,
        verdict: attributes
            .nested(2)
            .get(2)
            .map(|bytes| verdict(Attributes(bytes))),
    }
}

impl Set<'_> {
    /// Whether its name is of interest to a person.
    pub fn is_named(&self) -> bool {
        self.flags & ANONYMOUS == 0
    }

    /// Its elements, intervals put together.
    pub fn content(&self) -> Content {
        let mut content = Content::default();
        let mut single: Vec<&Element> = Vec::new();
        for element in &self.elements {
            if element.key.is_empty() {
                content.others = Some(element.verdict.clone());
            } else {
                single.push(element);
            }
        }
        let paired = self.flags & INTERVAL != 0
            && self.flags & CONCATENATION == 0
            && single.iter().all(|element| element.last.is_none());
        content.keys = if paired {
            intervals(single)
        } else {
            let begins = single.iter().filter(|element| !element.ends);
            begins.map(|element| element.alone()).collect()
        };
        content
    }
}

impl Element<'_> {
    fn alone(&self) -> (Bounds, Option<Verdict>) {
        let last = self.last.unwrap_or(self.key);
        ((self.key.to_vec(), last.to_vec()), self.verdict.clone())
    }
}

/// Each interval begins with a key and lasts until the key of the next element, which may begin
/// another one; the last may have no end.
fn intervals(mut elements: Vec<&Element>) -> Vec<(Bounds, Option<Verdict>)> {
    elements.sort_by_key(|element| (element.key, !element.ends));
    let mut found = Vec::new();
    let mut open: Option<&Element> = None;
    for element in elements {
        if let Some(begin) = open.take()
            && begin.key < element.key
        {
            let bounds = (begin.key.to_vec(), before(element.key));
            found.push((bounds, begin.verdict.clone()));
        }
        open = (!element.ends).then_some(element);
    }
    if let Some(begin) = open {
        let bounds = (begin.key.to_vec(), vec![u8::MAX; begin.key.len()]);
        found.push((bounds, begin.verdict.clone()));
    }
    found
}

/// The number before this one, as bytes; the smallest has none before it and wraps.
pub(super) fn before(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for byte in bytes.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            break;
        }
    }
    bytes
}

/// The number after this one, as bytes; the largest wraps.
pub(super) fn after(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for byte in bytes.iter_mut().rev() {
        let (more, carried) = byte.overflowing_add(1);
        *byte = more;
        if !carried {
            break;
        }
    }
    bytes
}
