//! The merge rules, each as the smallest files that show it.

use super::*;
use crate::profile::document;
use crate::profile::parse::parse;
use crate::profile::tree::Source;

/// Merges texts, the last of which wins, and shows the sections or the error on one line.
fn merged(texts: &[&str]) -> String {
    let layer = |text: &&str| document::layer(parse(&Source::new("t", *text)).unwrap()).unwrap();
    match merge(texts.iter().map(layer).collect()) {
        Ok((_, sections)) => print::inline(&Value::Table(sections)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn later_files_win() {
    for (texts, expected) in [
        (vec!["[a]\nx = 1", "[a]\ny = 2"], "{ a = { x = 1, y = 2 } }"),
        (
            vec!["[a]\nx = 1", "[a]\nx = \"s\"", "[b]"],
            "{ a = { x = \"s\" }, b = {} }",
        ),
        (
            vec!["[a.k]\nx = 1\ny = 1", "[a.k]\nx = { v = 2 }"],
            "{ a = { k = { x = { v = 2 }, y = 1 } } }",
        ),
        (
            vec!["[a.k]\nx = { v = 1 }", "[a.k]\nx = { w = 2 }"],
            "{ a = { k = { x = { w = 2 } } } }",
        ),
        (
            vec!["[a.k]\nx = { v = 1 }", "[a.k]\nx = 3"],
            "{ a = { k = { x = 3 } } }",
        ),
        (
            vec!["[a]\nk = 1", "[a.k]\nx = 3"],
            "{ a = { k = { x = 3 } } }",
        ),
        (vec!["a = 1", "[a]\nx = 3"], "{ a = { x = 3 } }"),
        (vec!["[a]\nx = 3", "a = 1"], "{ a = 1 }"),
    ] {
        assert_eq!(merged(&texts), expected, "{texts:?}");
    }
}

#[test]
fn lists_unite() {
    for (texts, expected) in [
        (
            vec!["[a]\nl = [1, 2]", "[a]\nl = [3, 2]"],
            "{ a = { l = [1, 2, 3] } }",
        ),
        (
            vec!["[a]\nl = [1]", "[a]\nl = [\"1\"]"],
            "{ a = { l = [1, \"1\"] } }",
        ),
        (
            vec!["[a]\nl = [{ n = 1 }]", "[a]\nl = [{ n = 1 }, { n = 2 }]"],
            "{ a = { l = [{ n = 1 }, { n = 2 }] } }",
        ),
        (
            vec!["[a.k]\nl = [\"x\"]", "[a.k]\nl = [\"y\"]"],
            "{ a = { k = { l = [\"x\", \"y\"] } } }",
        ),
        (vec!["[a]\nl = [1]", "[a]\nl = 2"], "{ a = { l = 2 } }"),
    ] {
        assert_eq!(merged(&texts), expected, "{texts:?}");
    }
}

#[test]
fn remove_deletes_what_was_inherited() {
    for (texts, expected) in [
        (
            vec!["[a]\nl = [\"x\", \"y\"]", "[a]\nremove = [\"x\"]"],
            "{ a = { l = [\"y\"] } }",
        ),
        (
            vec!["[a]\nl = [\"x\"]", "[a]\nremove = [\"l\"]\nl = [\"z\"]"],
            "{ a = { l = [\"z\"] } }",
        ),
        (
            vec!["[a]\nl = [80, \"y\"]", "[a]\nremove = [80]"],
            "{ a = { l = [\"y\"] } }",
        ),
        (
            vec!["[a.k]\n\"x.y\" = 1\nz = 1", "[a]\nremove = [\"x.y\"]"],
            "{ a = { k = { z = 1 } } }",
        ),
        (
            vec!["[a.k]\nx = { value = 1 }", "[a]\nremove = [\"value\"]"],
            "t:2:11: nothing called `value` is inherited in [a]; known: k, x",
        ),
        (
            vec!["[a]\nx = 1\n[b]\nx = 1", "remove = [\"a\"]"],
            "{ b = { x = 1 } }",
        ),
        (
            vec!["[a]\nx = 1", "remove = [\"a\"]\n[a]\ny = 1"],
            "{ a = { y = 1 } }",
        ),
        // Two profiles may remove the same name, and a third set it again.
        (
            vec![
                "[a]\nx = 1",
                "[a]\nremove = [\"x\"]",
                "[a]\nremove = [\"x\"]",
                "[a]\nx = 2",
            ],
            "{ a = { x = 2 } }",
        ),
    ] {
        assert_eq!(merged(&texts), expected, "{texts:?}");
    }
}

#[test]
fn remove_must_match() {
    for (texts, expected) in [
        (
            vec!["[a]\nl = [\"ip_vs\"]", "[a]\nremove = [\"ip-vs\"]"],
            "t:2:11: nothing called `ip-vs` is inherited in [a]; did you mean `ip_vs`?",
        ),
        (
            vec!["[a]\nremove = [\"x\"]\nx = 1"],
            "t:2:11: nothing called `x` is inherited in [a]",
        ),
        (
            vec!["[swap]", "remove = [\"swp\"]"],
            "t:1:11: no inherited section is called `swp`; did you mean `swap`?",
        ),
        (
            vec!["[a]", "[a]\nremove = \"x\""],
            "t:2:10: `remove` is a list of names; write remove = [\"NAME\"]",
        ),
        (
            vec!["[a]\nunmanaged = [true]"],
            "t:2:14: `unmanaged` is a list of names; write unmanaged = [\"NAME\"]",
        ),
    ] {
        assert_eq!(merged(&texts), expected, "{texts:?}");
    }
}

#[test]
fn unmanaged_is_left_to_others_whoever_sets_it() {
    for (texts, expected) in [
        (
            vec!["[a]\nunmanaged = [\"x\"]\nx = 1\ny = 1"],
            "{ a = { y = 1 } }",
        ),
        (
            vec!["[a]\nunmanaged = [\"x\"]", "[a.k]\nx = 1\ny = 1"],
            "{ a = { k = { y = 1 } } }",
        ),
        (
            vec![
                "[a]\nunmanaged = [\"x\"]\nl = [\"x\", \"y\", \"z\"]",
                "[a]\nunmanaged = [\"y\"]",
            ],
            "{ a = { l = [\"z\"] } }",
        ),
        (vec!["[a]\nunmanaged = [\"none\"]"], "{ a = {} }"),
        (
            vec![
                "[a]\nunmanaged = [\"x\"]",
                "[a]\nremove = [\"x\"]",
                "[a]\nx = 1",
            ],
            "{ a = { x = 1 } }",
        ),
    ] {
        assert_eq!(merged(&texts), expected, "{texts:?}");
    }
}
