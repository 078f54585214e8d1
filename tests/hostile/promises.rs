//! SECURITY.md names tests: each must exist, or the promise is kept by nothing.

use std::fs;
use std::path::{Path, PathBuf};

trials!(anyone: [named_tests_exist], root: []);

fn sources(top: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(top).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// `module::test` is a function in a file, or in a directory, of that name.
fn named_tests_exist() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(top.join("SECURITY.md")).unwrap();
    let mut files = Vec::new();
    for dir in ["tests/cli", "tests/hostile", "tests/portable", "agent"] {
        sources(&top.join(dir), &mut files);
    }
    files.retain(|path| path.extension().is_some_and(|end| end == "rs"));
    let mut names = 0;
    for (module, test) in text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|name| name.split_once("::"))
    {
        names += 1;
        let of_module = |path: &&PathBuf| path.with_extension("").iter().any(|part| part == module);
        let has_test = |path: &PathBuf| {
            fs::read_to_string(path)
                .unwrap()
                .contains(&format!("fn {test}("))
        };
        assert!(
            files.iter().filter(of_module).any(has_test),
            "{module}::{test}"
        );
    }
    assert!(names > 30, "{names}");
}
