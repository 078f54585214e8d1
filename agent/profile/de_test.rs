//! Typed sections: what is read, and the words and places of what is not.

use serde::Deserialize;

use super::*;
use crate::profile::parse::parse;
use crate::profile::tree::Source;
use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    On,
    Off,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Module(String);

impl TryFrom<String> for Module {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.contains('/') {
            Err(format!("\"{name}\" is no module's name"))
        } else {
            Ok(Self(name))
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number, a string or { value, at_least, optional }"
)]
enum Setting {
    Integer(i64),
    Text(String),
    Rule(Rule),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    value: Option<i64>,
    at_least: Option<i64>,
    #[serde(default)]
    optional: bool,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    state: State,
    #[serde(default)]
    load: Vec<Module>,
    port: Option<u16>,
    ratio: Option<f64>,
    #[serde(default)]
    keys: BTreeMap<String, Setting>,
    rule: Option<Rule>,
}

fn read(text: &str) -> Result<Section, String> {
    let root = parse(&Source::new("t", text)).unwrap();
    from_node(root.get("s").unwrap(), "s").map_err(|error| error.to_string())
}

#[test]
fn sections_are_read() {
    let text = "[s]\nstate = \"off\"\nload = [\"a\"]\nport = 1\nratio = 2\n[s.keys]\na = 1\nb = \"x\"\nc = { at_least = 3 }";
    let rule = Rule {
        value: None,
        at_least: Some(3),
        optional: false,
    };
    let keys = [
        ("a", Setting::Integer(1)),
        ("b", Setting::Text("x".into())),
        ("c", Setting::Rule(rule)),
    ];
    let expected = Section {
        state: State::Off,
        load: vec![Module("a".into())],
        port: Some(1),
        ratio: Some(2.0),
        keys: keys.map(|(key, setting)| (key.to_owned(), setting)).into(),
        rule: None,
    };
    assert_eq!(read(text), Ok(expected));
}

#[test]
fn mistakes_have_place_path_and_words() {
    let off = "[s]\nstate = \"off\"\n";
    for (text, expected) in [
        ("[s]", "t:1:1: missing key `state` in [s]"),
        ("s = 5", "t:1:5: s: expected a table, found the integer 5"),
        (
            "[s]\nstate = \"of\"",
            "t:2:9: s.state: expected one of \"on\", \"off\", found \"of\"; did you mean `off`?",
        ),
        (
            "[s]\nstate = false",
            "t:2:9: s.state: expected one of \"on\", \"off\", found false",
        ),
        (
            &format!("{off}lod = []"),
            "t:3:1: unknown key `lod` in [s]; did you mean `load`?",
        ),
        (
            &format!("{off}load = 1"),
            "t:3:8: s.load: expected a list, found the integer 1",
        ),
        (
            &format!("{off}load = [\"a\", 1]"),
            "t:3:14: s.load[1]: expected a string, found the integer 1",
        ),
        (
            &format!("{off}load = [\"a\", \"b/c\"]"),
            "t:3:14: s.load[1]: \"b/c\" is no module's name",
        ),
        (
            &format!("{off}load = {{ a = 1 }}"),
            "t:3:1: s.load: expected a list, found a table",
        ),
        (
            &format!("{off}port = 70000"),
            "t:3:8: s.port: expected an integer from 0 to 65535, found the integer 70000",
        ),
        (
            &format!("{off}port = 2024-01-02"),
            "t:3:8: s.port: expected an integer from 0 to 65535, found a date or time",
        ),
        (
            &format!("{off}ratio = \"1\""),
            "t:3:9: s.ratio: expected a number, found the string \"1\"",
        ),
        (
            &format!("{off}[s.keys]\n\"a.b\" = true"),
            "t:4:9: s.keys.\"a.b\": expected a number, a string or { value, at_least, optional }",
        ),
        (
            &format!("{off}[s.rule]\natleast = 1"),
            "t:4:1: unknown key `atleast` in [s.rule]; did you mean `at_least`?",
        ),
        (
            &format!("{off}rule = {{ optional = 1 }}"),
            "t:3:21: s.rule.optional: expected true or false, found the integer 1",
        ),
    ] {
        assert_eq!(read(text), Err(expected.to_owned()), "{text}");
    }
}
