//! [files] on a tree: made once, taken back, and nothing shown that not everyone may read.
#![allow(clippy::disallowed_methods, reason = "tests")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::host::Signals;
use crate::items::Item;
use crate::reconcile::{self, Account, Wanted};
use crate::undo::Others;

/// An image with what the entries below are about.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (path, text) in [
            (
                "etc/passwd",
                "root:x:0:0::/:/bin/sh\nme:x:4242:77::/:/bin/sh\n",
            ),
            ("etc/group", "root:x:0:\nadm:x:4:\n"),
            ("etc/motd", "hello\n"),
            ("etc/issue", "old\n"),
            ("etc/profile", "a\r\nb"),
            ("etc/private", "s3cret\n"),
        ] {
            fs::create_dir_all(tree.path("etc")).unwrap();
            fs::write(tree.path(path), text).unwrap();
        }
        fs::set_permissions(tree.path("etc/private"), fs::Permissions::from_mode(0o644)).unwrap();
        symlink("motd", tree.path("etc/link")).unwrap();
        fs::create_dir(tree.path("srv")).unwrap();
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn host(&self) -> Host {
        Host::image(self.0.path()).unwrap()
    }

    fn apply(&self, profile: &str) -> Account {
        let items = [item(profile)];
        let wanted = Wanted::whole("test", &items);
        let account = reconcile::apply(&mut self.host(), &wanted, &Signals::default());
        let account = account.unwrap();
        assert_eq!(account.deeds.trouble, [""; 0]);
        account
    }

    fn access(&self, path: &str) -> (u32, u32, u32) {
        let meta = self.path(path).symlink_metadata().unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Every path but our own, with mode, owner and content.
    fn state(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut left = vec![self.0.path().to_owned()];
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                if path.ends_with("var") {
                    continue;
                }
                let content = match () {
                    () if meta.is_symlink() => format!("{:?}", fs::read_link(&path).unwrap()),
                    () if meta.is_file() => fs::read_to_string(&path).unwrap(),
                    () => {
                        left.push(path.clone());
                        String::new()
                    }
                };
                let (mode, uid, gid) = (meta.mode(), meta.uid(), meta.gid());
                all.push(format!("{} {mode:o} {uid}:{gid} {content}", path.display()));
            }
        }
        all.sort();
        all
    }
}

fn item(profile: &str) -> Item {
    Item::Files(toml::from_str(profile).unwrap())
}

/// Entries that need no owner but the one the test runs as.
const ENTRIES: &str = r##"
"/etc/motd" = { content = "hi\n" }
"/etc/new/deep" = { content = "x", mode = "0600" }
"/etc/private" = { content = "s3cret\n", mode = "0640" }
"/etc/profile" = { block = "export A=1" }
"/etc/issue" = { absent = true }
"/etc/link" = { link = "/etc/profile" }
"/etc/conf.d" = { directory = true, mode = "0750" }
"/srv" = { mode = "1700" }
"##;

#[test]
fn entries_are_made_once_and_taken_back() {
    let tree = Tree::new();
    let before = tree.state();
    tree.apply(ENTRIES);
    assert_eq!(tree.text("etc/motd"), "hi\n");
    assert_eq!(tree.text("etc/new/deep"), "x");
    assert_eq!(tree.access("etc/new/deep").0, 0o600);
    assert_eq!(tree.access("etc/private").0, 0o640);
    let block = "# BEGIN nodeprep\nexport A=1\n# END nodeprep\n";
    assert_eq!(tree.text("etc/profile"), format!("a\r\nb\n{block}"));
    assert!(!tree.path("etc/issue").exists());
    assert_eq!(
        fs::read_link(tree.path("etc/link")).unwrap(),
        Path::new("/etc/profile")
    );
    assert_eq!(tree.access("etc/conf.d").0, 0o750);
    assert_eq!(tree.access("srv").0, 0o1700);

    let again = tree.apply(ENTRIES);
    assert_eq!(again.deeds.steps.len(), 0, "{:?}", again.deeds.steps);
    let signals = Signals::default();
    let mut host = tree.host();
    let back = reconcile::rollback(&mut host, "rollback", 0, Others::Stay, &signals).unwrap();
    assert_eq!(back.deeds.trouble, [""; 0]);
    assert_eq!(tree.state(), before);
}

#[test]
fn what_left_the_profile_goes_back() {
    let tree = Tree::new();
    let before = tree.state();
    tree.apply(ENTRIES);
    tree.apply("\"/etc/motd\" = { content = \"hi\\n\" }");
    let others = |state: &[String]| -> Vec<String> {
        let state = state.iter().filter(|line| !line.contains("/etc/motd"));
        state.cloned().collect()
    };
    assert_eq!(others(&tree.state()), others(&before));
    assert_eq!(tree.text("etc/motd"), "hi\n");
}

#[test]
fn owners_are_looked_up() {
    let tree = Tree::new();
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: giving files away needs root");
        return;
    }
    let entries = r#"
"/etc/motd" = { owner = "me", group = "adm" }
"/etc/key" = { content = "k", mode = "0400", owner = 12, group = "adm" }
"/srv" = { directory = true, group = 9 }
"#;
    tree.apply(entries);
    let (mode, ..) = Tree::new().access("etc/motd");
    assert_eq!(tree.access("etc/motd"), (mode, 4242, 4));
    assert_eq!(tree.access("etc/key"), (0o400, 12, 4));
    assert_eq!(tree.access("srv").2, 9);
    let nobody = item("\"/etc/motd\" = { owner = \"nobody\" }\n\"/etc/issue\" = { absent = true }");
    let plan = nobody.plan(&tree.host()).unwrap();
    assert!(matches!(plan.findings[1].boot, State::Unknown { .. }));
    assert_eq!(plan.steps.len(), 1);
}

#[test]
fn secrets_are_not_shown() {
    let tree = Tree::new();
    let account = tree.apply("\"/etc/private\" = { content = \"t0ken\\n\", mode = \"0600\" }");
    let text = serde_json::to_string(&account.deeds.steps).unwrap();
    assert!(text.contains("/etc/private"), "{text}");
    assert!(
        !text.contains("t0ken") && !text.contains("s3cret"),
        "{text}"
    );
    let public = tree.apply("\"/etc/private\" = { content = \"now\\n\", mode = \"0644\" }");
    let step = public.deeds.steps.last().unwrap();
    assert!(step.is_private && !String::from_utf8_lossy(&step.before).contains("t0ken"));
}

#[test]
fn what_is_in_the_way_stays() {
    let tree = Tree::new();
    fs::create_dir(tree.path("etc/dir")).unwrap();
    for entry in [
        "\"/etc/dir\" = { content = \"\" }",
        "\"/etc/dir\" = { absent = true }",
        "\"/etc/dir\" = { link = \"/\" }",
        "\"/etc/dir\" = { block = \"a\" }",
        "\"/etc/motd\" = { directory = true }",
        "\"/etc/nothing\" = { mode = \"0644\" }",
    ] {
        let plan = item(entry).plan(&tree.host()).unwrap();
        assert!(plan.steps.is_empty(), "{entry}");
        assert!(
            matches!(plan.findings[0].boot, State::Differs { .. }),
            "{entry}"
        );
    }
}

#[test]
fn entries_that_make_no_sense_are_refused() {
    for (entry, why) in [
        ("\"etc/a\" = { absent = true }", "expected an absolute path"),
        (
            "\"/etc/../a\" = { absent = true }",
            "expected an absolute path",
        ),
        (
            "\"/etc//a\" = { absent = true }",
            "expected an absolute path",
        ),
        (
            "\"/etc/a/\" = { absent = true }",
            "expected an absolute path",
        ),
        ("\"/\" = { absent = true }", "expected an absolute path"),
        (
            "\"/proc/sys/a\" = { absent = true }",
            "/proc is the kernel's",
        ),
        ("\"/run/a\" = { content = \"\" }", "empty at each boot"),
        ("\"/etc/hosts\" = { content = \"\" }", "edited by [hosts]"),
        ("\"/etc/a\" = {}", "nothing is wanted"),
        ("\"/etc/a\" = { content = \"\", absent = true }", "give one"),
        ("\"/etc/a\" = { content = \"\", mode = \"rw\" }", "no mode"),
        (
            "\"/etc/a\" = { content = \"\", mode = \"0999\" }",
            "no mode",
        ),
        (
            "\"/etc/a\" = { link = \"b\", mode = \"0644\" }",
            "has no `mode`",
        ),
        (
            "\"/etc/a\" = { content = \"\", comment = \"#\" }",
            "for the markers",
        ),
        (
            "\"/etc/a\" = { content = \"\", restart = [\"-x.service\"] }",
            "no service",
        ),
        ("\"/etc/a\" = { contents = \"\" }", "unknown field"),
    ] {
        let error = toml::from_str::<Files>(entry).unwrap_err().to_string();
        assert!(error.contains(why), "{entry}: {error}");
    }
}
