//! Loading as the command line sees it: which file a word means, and what each mistake in a file
//! or in a line of files is answered with.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::profile::builtin::BUILTIN;

/// Loads `word` from files that exist only here.
fn load_from(files: &[(&str, &str)], word: &str, sets: &[&str]) -> Result<Resolved, ProfileError> {
    let files: HashMap<_, _> = files.iter().copied().collect();
    let mut read = |path: &Path| match files.get(path.to_str().unwrap()) {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => Err("No such file or directory (os error 2)".to_owned()),
    };
    let sets: Vec<_> = sets.iter().map(|set| (*set).to_owned()).collect();
    load(word, &sets, &mut read, &|| {
        Ok(serde_json::json!({ "hostname": "node1" }))
    })
}

fn show(files: &[(&str, &str)], word: &str, sets: &[&str]) -> String {
    load_from(files, word, sets)
        .unwrap_or_else(|error| panic!("{error}"))
        .to_toml()
}

fn problem(files: &[(&str, &str)], word: &str) -> String {
    load_from(files, word, &[])
        .expect_err("an error")
        .to_string()
}

fn v1(text: &str) -> String {
    format!("schema = \"v1alpha1\"\n{text}")
}

#[test]
fn a_word_is_a_path_a_built_in_or_a_file_here() {
    let text = v1("[swap]\nstate = \"on\"");
    let files = [
        ("node", text.as_str()),
        ("dir/kubeadm-base", &text),
        ("mine.toml", &text),
    ];
    for (word, name) in [
        ("node", "node"),
        ("./node", "node"),
        ("dir/kubeadm-base", "kubeadm-base"),
        ("mine.toml", "mine"),
    ] {
        let profile = load_from(&files, word, &[]).unwrap();
        assert_eq!(
            (profile.name.as_str(), profile.section("crictl")),
            (name, None),
            "{word}"
        );
    }
    assert!(
        load_from(&files, "kubeadm-base", &[])
            .unwrap()
            .section("crictl")
            .is_some()
    );
}

#[test]
fn parents_are_found_beside_the_file_or_built_in() {
    let child = v1("extends = [\"kubeadm-base\", \"../site.toml\"]\n[crictl]\ndebug = true");
    let site = v1("[crictl]\ntimeout = 30\n[swap]\nremove = [\"state\"]");
    let files = [
        ("etc/node/a.toml", child.as_str()),
        ("etc/node/../site.toml", &site),
    ];
    let profile = load_from(&files, "etc/node/a.toml", &["crictl.timeout=40"]).unwrap();
    assert_eq!(profile.name, "a");
    let crictl = profile.section("crictl").unwrap().as_table().unwrap();
    assert_eq!(
        crictl.get("timeout").unwrap().value,
        crate::profile::Value::Integer(40)
    );
    assert_eq!(
        crictl.get("debug").unwrap().value,
        crate::profile::Value::Boolean(true)
    );
    assert!(
        profile
            .section("swap")
            .unwrap()
            .as_table()
            .unwrap()
            .is_empty()
    );
    let sources: Vec<_> = profile
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    assert_eq!(
        sources,
        ["etc/node/a.toml", "kubeadm-base", "etc/node/../site.toml"]
    );
}

#[test]
fn a_diamond_is_in_line_once_and_the_sides_win_over_the_base() {
    let base = v1("[a]\nx = 1\ny = 1");
    let left = v1("extends = [\"./base.toml\"]\n[a]\nx = 2");
    let right = v1("extends = [\"./base.toml\"]\n[a]\ny = 3");
    let top = v1("extends = [\"./left.toml\", \"./right.toml\"]");
    let files = [
        ("base.toml", base.as_str()),
        ("left.toml", &left),
        ("right.toml", &right),
        ("top.toml", &top),
    ];
    assert_eq!(
        show(&files, "top.toml", &[]),
        "schema = \"v1alpha1\"\nname = \"top\"\n\n[a]\nx = 2\ny = 3\n"
    );
}

#[test]
fn mistakes_in_one_file() {
    let cases = [
        (
            "",
            "p.toml:1:1: missing key `schema`; begin the profile with schema = \"v1alpha1\"",
        ),
        (
            "schema = \"v2\"",
            "p.toml:1:10: unknown schema \"v2\"; this nodeprep reads v1alpha1",
        ),
        (
            "schema = 1",
            "p.toml:1:10: `schema` is a string; this nodeprep reads \"v1alpha1\"",
        ),
        (
            "schema = \"v1alpha1\"\nname = 5",
            "p.toml:2:8: `name` is a string",
        ),
        (
            "schema = \"v1alpha1\"\nname = \" \"",
            "p.toml:2:8: `name` is empty",
        ),
        (
            "schema = \"v1alpha1\"\nvars = 5",
            "p.toml:2:8: `vars` is a table",
        ),
        (
            "schema = \"v1alpha1\"\r\n\tdescription = []",
            "p.toml:2:16: `description` is a string",
        ),
        (
            "schema = \"v1alpha1\"\n[a]\nb = 99999999999999999999",
            "p.toml:3:5: the integer does not fit 64 bits",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(problem(&[("p.toml", text)], "p.toml"), expected, "{text}");
    }
    let not_toml = problem(&[("p.toml", "schema = \"v1alpha1\"\nswap off\n")], "p.toml");
    assert!(
        not_toml.starts_with("p.toml:2:6: not valid TOML: "),
        "{not_toml}"
    );
    let twice = problem(&[("p.toml", "a = 1\na = 2\n")], "p.toml");
    assert_eq!(twice, "p.toml:2:1: not valid TOML: duplicate key");
}

#[test]
fn mistakes_in_the_line_of_files() {
    let extends = |parent: &str| v1(&format!("extends = [{parent}]"));
    let cases = [
        (
            "\"kubeadm-bas\"",
            "a.toml:2:12: there is no profile called `kubeadm-bas`; did you mean `kubeadm-base`?",
        ),
        (
            "\"./none.toml\"",
            "a.toml:2:12: cannot read none.toml: No such file or directory (os error 2)",
        ),
        (
            "\"./a.toml\"",
            "a.toml:2:12: profiles extend each other: a.toml -> a.toml",
        ),
        (
            "\"kubeadm-worker\", 5",
            "a.toml:2:30: `extends` is a list of profiles; write extends = [\"kubeadm-base\", \"./other.toml\"]",
        ),
    ];
    for (parent, expected) in cases {
        assert_eq!(problem(&[("a.toml", &extends(parent))], "a.toml"), expected);
    }
    let (a, b) = (extends("\"./b.toml\""), extends("\"./a.toml\""));
    assert_eq!(
        problem(&[("a.toml", &a), ("b.toml", &b)], "a.toml"),
        "b.toml:2:12: profiles extend each other: a.toml -> b.toml -> a.toml"
    );
    assert_eq!(
        problem(&[], "kubeadm-workr"),
        "there is no profile called `kubeadm-workr`; did you mean `kubeadm-worker`?"
    );
    assert_eq!(
        problem(&[], "/etc/x.toml"),
        "cannot read /etc/x.toml: No such file or directory (os error 2)"
    );
}

#[test]
fn files_without_end_are_refused() {
    let mut read = |_: &Path| Ok(v1("extends = [\"d/x.toml\"]").into_bytes());
    let error = load("x.toml", &[], &mut read, &|| Err(String::new())).unwrap_err();
    assert!(
        error
            .message
            .starts_with("more than 32 files extend each other: x.toml -> d/x.toml")
    );
}

#[test]
fn a_byte_that_is_no_text_has_a_place() {
    let mut read = |_: &Path| Ok(b"schema = \"v1alpha1\"\nname = \"caf\xe9\"\n".to_vec());
    let error = load("p.toml", &[], &mut read, &|| Err(String::new())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "p.toml:2:12: not UTF-8: byte 0xe9 at offset 31"
    );
    assert!(
        error.render(false).contains("name = \"caf\u{fffd}\""),
        "{}",
        error.render(false)
    );
}

#[test]
fn settings_and_sections_have_places() {
    let text = v1("[modules]\nload = [\"a\", \"b/c\"]");
    let profile = load_from(&[("p.toml", &text)], "p.toml", &[]).unwrap();
    let cases = [
        (&["modules", "load", "b/c"][..], "p.toml:3:14: x"),
        (&["modules", "load", "none"], "p.toml:3:1: x"),
        (&["modules"], "p.toml:2:2: x"),
        (&["swap"], "x"),
    ];
    for (path, expected) in cases {
        assert_eq!(
            profile.error_at(path, "x").to_string(),
            expected,
            "{path:?}"
        );
    }
}

#[test]
fn shipped_profiles_load_and_show_the_same_again() {
    for (name, _) in BUILTIN {
        let profile = load_from(&[], name, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(profile.name, *name);
        assert!(profile.description.is_some());
        let shown = profile.to_toml();
        let again = load_from(&[("again.toml", &shown)], "again.toml", &[]).unwrap();
        assert_eq!(again.sections, profile.sections, "{name}");
        assert_eq!(again.to_toml(), shown, "{name}");
    }
    assert_eq!(builtin::list().unwrap().len(), BUILTIN.len());
}

#[test]
fn ten_thousand_keys_in_three_layers_are_no_matter() {
    let mut text = v1("[sysctl.keys]\n");
    (0..10_000).for_each(|n| text.push_str(&format!("\"net.ipv4.conf.if{n}.rp_filter\" = 1\n")));
    let child = v1(&format!(
        "extends = [\"./p.toml\"]\n{}",
        text.split_once('\n').unwrap().1
    ));
    let started = std::time::Instant::now();
    let profile = load_from(
        &[("p.toml", &text), ("c.toml", &child)],
        "c.toml",
        &["sysctl.keys.a=1"],
    )
    .unwrap();
    assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    assert_eq!(profile.to_toml().lines().count(), 10_007);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut read = |_: &Path| Ok(bytes.clone());
        if let Err(error) = load("p.toml", &[], &mut read, &|| Err("none".into())) {
            error.render(false);
            error.to_string();
        }
    }

    #[test]
    fn no_text_like_a_profile_makes_it_panic(pieces in proptest::collection::vec(prop::sample::select(vec![
        "schema = \"v1alpha1\"\n", "[sysctl]\n", "[sysctl.keys]\n", "remove = [\"a\"]\n", "unmanaged = [1, \"b\"]\n",
        "\"a.b\" = { at_least = 1 }\n", "a = \"{{ vars.a }}\"\n", "[vars]\n", "b = \"{{#if vars.a}}{{b}}{{/if}}\"\n",
        "extends = [\"kubeadm-base\"]\n", "\r\n", "\t", "é世", "\"", "{{", "}}", "]", "x = [1.5, inf, 07:32:00]\n",
    ]), 0..12), setting in ".{0,20}") {
        let text = v1(&pieces.concat());
        let mut read = |_: &Path| Ok(text.clone().into_bytes());
        for sets in [vec![], vec![setting.clone()], vec![format!("a.b={setting}")]] {
            match load("p.toml", &sets, &mut read, &|| Ok(serde_json::json!({}))) {
                Ok(profile) => {
                    let shown = profile.to_toml();
                    let again = load("q.toml", &[], &mut |_| Ok(shown.clone().into_bytes()), &|| Err("none".into()));
                    prop_assert_eq!(again.map(|again| again.to_toml()).map_err(|error| error.to_string()), Ok(shown));
                }
                Err(error) => prop_assert!(!error.render(true).is_empty()),
            }
        }
    }
}
