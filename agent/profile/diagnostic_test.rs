//! The picture under an error, for texts that are awkward to draw.

use super::*;
use crate::profile::tree::Source;

/// Points at `wrong` in `text`.
fn drawn(text: &str, wrong: &str) -> String {
    let source = Source::new("worker.toml", text);
    let start = text.find(wrong).unwrap();
    let span = Span::new(&source, start..start + wrong.len());
    ProfileError::new("unknown key `lod` in [modules]")
        .at(span)
        .suggest("lod", ["load"])
        .render(false)
}

#[test]
fn a_typo_is_drawn() {
    insta::assert_snapshot!(drawn("[modules]\nlod = [\"overlay\"]\n", "lod"), @r#"
    error: unknown key `lod` in [modules]
     --> worker.toml:2:1
      |
    2 | lod = ["overlay"]
      | ^^^
      |
      = help: did you mean `load`?
    "#);
}

#[test]
fn awkward_texts_are_drawn() {
    insta::assert_snapshot!(drawn("[modules]\r\nlod = []\r\n", "lod"), @r#"
    error: unknown key `lod` in [modules]
     --> worker.toml:2:1
      |
    2 | lod = []
      | ^^^
      |
      = help: did you mean `load`?
    "#);
    insta::assert_snapshot!(drawn("\t\tlod = []", "lod"), @r#"
    error: unknown key `lod` in [modules]
     --> worker.toml:1:3
      |
    1 |         lod = []
      |         ^^^
      |
      = help: did you mean `load`?
    "#);
    insta::assert_snapshot!(drawn("\"世界é\" = { lod = 1 }", "lod"), @r#"
    error: unknown key `lod` in [modules]
     --> worker.toml:1:11
      |
    1 | "世界é" = { lod = 1 }
      |             ^^^
      |
      = help: did you mean `load`?
    "#);
    insta::assert_snapshot!(drawn("", ""), @r#"
    error: unknown key `lod` in [modules]
     --> worker.toml:1:1
      |
    1 |
      | ^
      |
      = help: did you mean `load`?
    "#);
    insta::assert_snapshot!(drawn("a = 1\n", ""), @r#"
    error: unknown key `lod` in [modules]
     --> worker.toml:1:1
      |
    1 | a = 1
      | ^
      |
      = help: did you mean `load`?
    "#);
    insta::assert_snapshot!(drawn("a = [\n  1,\n]\n", "[\n  1,\n]"), @r#"
    error: unknown key `lod` in [modules]
     --> worker.toml:1:5
      |
    1 |   a = [
      |  _____^
    2 | |   1,
    3 | | ]
      | |_^
      |
      = help: did you mean `load`?
    "#);
}

#[test]
fn terminal_codes_do_not_get_through() {
    let source = Source::new("\u{1b}[2Jp.toml", "a = \"\u{1b}[31m\"");
    let error = ProfileError::new("\u{1b}[2J")
        .at(Span::new(&source, 0..1))
        .hint("\u{1b}[2J");
    assert!(!error.render(false).contains('\u{1b}'));
}

#[test]
fn spans_outside_the_text_are_moved_into_it() {
    let source = Source::new("p", "é\n");
    for range in [0..1, 1..2, 2..99, 50..60, usize::MAX..usize::MAX] {
        let span = Span::new(&source, range);
        ProfileError::new("x").at(span).render(true);
    }
}

#[test]
fn a_line_of_a_megabyte_is_cut() {
    let text = format!("a = \"{}\"\nb", "x".repeat(1 << 20));
    let source = Source::new("p", text);
    for range in [0..1, 5..1 << 20, (1 << 20) + 7..(1 << 20) + 8] {
        let drawn = ProfileError::new("x")
            .at(Span::new(&source, range))
            .render(false);
        assert!(drawn.len() < 2000, "{}", drawn.len());
    }
}

#[test]
fn json_has_the_place() {
    let source = Source::new("p.toml", "a\nbc\n");
    let error = ProfileError::new("m")
        .at(Span::new(&source, 3..4))
        .hint("h");
    assert_eq!(
        serde_json::to_value(&error).unwrap(),
        serde_json::json!({ "message": "m", "file": "p.toml", "line": 2, "column": 2, "hint": "h" })
    );
}

#[test]
fn near_names() {
    let known = ["load", "file", "net.ipv4.ip_forward"];
    for (name, expected) in [
        ("lod", Some("load")),
        ("laod", Some("load")),
        ("net.ipv4.ipforward", Some("net.ipv4.ip_forward")),
        ("x", None),
        ("kernel", None),
    ] {
        assert_eq!(nearest(name, &known), expected, "{name}");
    }
}
