//! What strings expand to, and that a name nobody defined is an error everywhere it can be written.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::profile::parse::parse;
use crate::profile::print;
use crate::profile::tree::Source;

/// Expands `s = {string}` with the variables, to the string or the error.
fn expanded(vars: &str, string: &str) -> Result<String, String> {
    let facts = || Ok(json!({ "hostname": "node1", "ips": ["::1", "10.0.0.1"], "cpus": 4 }));
    let mut vars = parse(&Source::new("v", vars)).unwrap();
    let section = format!("s = {}", print::inline(&Value::String(string.to_owned())));
    let mut sections = parse(&Source::new("s", section)).unwrap();
    expand(&mut vars, &mut sections, &facts).map_err(|error| error.to_string())?;
    Ok(sections.get("s").unwrap().as_str().unwrap().to_owned())
}

#[test]
fn strings_expand() {
    for (vars, string, expected) in [
        ("", "no } names {", "no } names {"),
        ("a = \"<&>\"", "{{ vars.a }}{{vars.a}}", "<&><&>"),
        (
            "a = 5\nb = true\nc = 1.30\nd = 2024-01-02",
            "{{vars.a}} {{vars.b}} {{vars.c}} {{vars.d}}",
            "5 true 1.30 2024-01-02",
        ),
        (
            "b = \"{{vars.a}}!\"\na = \"{{ facts.hostname }}\"",
            "{{vars.b}}",
            "node1!",
        ),
        ("a = \"\\\\{{ x }}\"", "{{vars.a}}", "{{ x }}"),
        (
            "",
            "{{#if (eq facts.cpus 4)}}four{{else}}{{vars}}{{/if}}",
            "v",
        ),
        ("", "{{#each facts.ips}}{{this}},{{/each}}", "::1,10.0.0.1,"),
        ("", "\\{{ vars.a }}", "{{ vars.a }}"),
    ] {
        if expected == "v" {
            assert!(
                expanded(vars, string)
                    .unwrap_err()
                    .contains("`vars` is not a value")
            );
            continue;
        }
        assert_eq!(expanded(vars, string).as_deref(), Ok(expected), "{string}");
    }
}

#[test]
fn undefined_names_are_errors() {
    let hint = "; write {{ vars.NAME }} or {{ facts.NAME }}; a literal {{ is \\{{";
    for (vars, string, expected) in [
        ("socket = 1", "{{ vars.sokcet }}", "s:1:5: undefined variable `vars.sokcet`; did you mean `socket`?".to_owned()),
        ("socket = 1", "{{#if vars.sokcet}}x{{/if}}", "s:1:5: undefined variable `vars.sokcet`; did you mean `socket`?".to_owned()),
        ("socket = 1", "{{ socket }}", "s:1:5: undefined variable `socket`; did you mean `vars.socket`?".to_owned()),
        ("", "{{ facts.hostnam }}", "s:1:5: there is no fact `facts.hostnam`; did you mean `hostname`?".to_owned()),
        ("a = \"{{vars.b}}\"\nb = \"{{vars.a}}\"", "", "v:1:5: variables need each other: a -> b -> a".to_owned()),
        ("a = [1]", "", "v:1:5: variable `a` is not a single value; variables are strings, numbers, true or false".to_owned()),
        ("", "{{> x}}", format!("s:1:5: not a template: partials ({{{{> }}}}) and decorators ({{{{* }}}}) are not for profiles{hint}")),
        ("", "{{ shout 'x' }}", "s:1:5: unknown helper `shout` in the expression".to_owned()),
    ] {
        assert_eq!(expanded(vars, string), Err(expected), "{string}");
    }
    assert!(
        expanded("", "{{ x")
            .unwrap_err()
            .starts_with("s:1:5: not a template: ")
    );
}

#[test]
fn nothing_fills_the_memory_or_the_stack() {
    let mut vars = "a0 = \"0123456789\"\n".to_owned();
    (1..30).for_each(|n| {
        vars.push_str(&format!(
            "a{n} = \"{{{{vars.a{0}}}}}{{{{vars.a{0}}}}}\"\n",
            n - 1
        ))
    });
    assert!(
        expanded(&vars, "")
            .unwrap_err()
            .contains("more than 64 KiB")
    );
    vars.clear();
    (1..99).for_each(|n| vars.push_str(&format!("a{n} = \"{{{{vars.a{}}}}}\"\n", n + 1)));
    assert!(
        expanded(&vars, "")
            .unwrap_err()
            .contains("refer to each other too deep")
    );
    for deep in [
        "{{#if x}}",
        "{{a (a ",
        "{{a [",
        "{{~ #if x}}",
        "{{#*inline 'a'}}",
    ] {
        assert!(
            expanded("", &deep.repeat(4000))
                .unwrap_err()
                .contains("levels of"),
            "{deep}"
        );
    }
}

#[test]
fn facts_are_asked_for_once_and_only_when_mentioned() {
    let asked = Cell::new(0);
    let facts = || {
        asked.set(asked.get() + 1);
        Ok(json!({ "a": 1 }))
    };
    for (text, times) in [
        ("s = \"facts.a\"", 0),
        ("s = [\"{{facts.a}}\", \"{{facts.a}}\"]", 1),
    ] {
        let mut sections = parse(&Source::new("s", text)).unwrap();
        expand(&mut Table::default(), &mut sections, &facts).unwrap();
        assert_eq!(asked.get(), times, "{text}");
    }
    let mut sections = parse(&Source::new("s", "s = \"{{ facts.ip }}\"")).unwrap();
    let failed = expand(&mut Table::default(), &mut sections, &|| {
        Err("no route".into())
    });
    assert_eq!(
        failed.unwrap_err().to_string(),
        "s:1:5: cannot tell `facts.ip`: no route"
    );
}

proptest! {
    #[test]
    fn a_literal_expands_to_itself(text in "[{}\\\\a \n]{0,12}") {
        prop_assert_eq!(expanded("", &literal(&text)), Ok(text));
    }
}
