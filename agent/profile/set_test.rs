//! Every way to spell a `--set`, right and wrong.

use super::*;
use crate::profile::print::inline;

#[test]
fn settings_are_toml_or_text() {
    for (setting, expected) in [
        ("crictl.timeout=20", "{ crictl = { timeout = 20 } }"),
        ("crictl.timeout = 20", "{ crictl = { timeout = 20 } }"),
        (
            "sysctl.keys.\"net.ipv4.ip_forward\"=0",
            "{ sysctl = { keys = { \"net.ipv4.ip_forward\" = 0 } } }",
        ),
        (
            "sysctl.keys.\"a=b\"={ at_least = 1 }",
            "{ sysctl = { keys = { \"a=b\" = { at_least = 1 } } } }",
        ),
        (
            "modules.load=[\"a\",\n\"b\"]",
            "{ modules = { load = [\"a\", \"b\"] } }",
        ),
        (
            "a.b=unix:///run/x.sock",
            "{ a = { b = \"unix:///run/x.sock\" } }",
        ),
        ("a.b=", "{ a = { b = \"\" } }"),
        ("a.b=c=d", "{ a = { b = \"c=d\" } }"),
        ("a.b=1\nc.d=2", "{ a = { b = \"1\\nc.d=2\" } }"),
        ("a.b=1\na.c=2", "{ a = { b = \"1\\na.c=2\" } }"),
        ("a.b=\"1\"", "{ a = { b = \"1\" } }"),
        ("a.b={{ vars.x }}", "{ a = { b = \"{{ vars.x }}\" } }"),
    ] {
        let sections = layer(setting)
            .unwrap_or_else(|error| panic!("{setting}: {error}"))
            .sections;
        assert_eq!(inline(&Value::Table(sections)), expected, "{setting}");
    }
    assert_eq!(
        inline(&Value::Table(layer("vars.x=1").unwrap().vars)),
        "{ x = 1 }"
    );
    assert!(layer("remove=[\"swap\"]").unwrap().remove.is_some());
}

#[test]
fn wrong_spellings_are_usage_errors() {
    let hint = "; write --set SECTION.KEY=VALUE, for example --set crictl.timeout=20";
    for (setting, expected) in [
        ("crictl.timeout", "there is no `=`"),
        ("", "there is no `=`"),
        ("=1", "`` is not a key"),
        ("[a]=1", "`[a]` is not a key"),
        ("a..b=1", "`a..b` is not a key"),
        ("a b=1", "`a b` is not a key"),
        ("a#=1", "`a#` is not a key"),
        ("a\nb.c=1", "`a\nb.c` is not a key"),
        ("swap=off", "`swap` is a whole section"),
        ("name=x", "`name` belongs to the file"),
        ("extends=[\"a\"]", "`extends` belongs to the file"),
    ] {
        let error = layer(setting).expect_err(setting);
        assert_eq!(
            error.to_string(),
            format!("--set:1:1: {expected}{hint}"),
            "{setting}"
        );
        assert!(error.is_usage());
    }
}
