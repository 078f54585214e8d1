//! What each containerd makes of which files.

use super::*;

const V2: &str = "io.containerd.grpc.v1.cri";

impl Config {
    /// These files, merged in this order by this daemon.
    pub fn of(files: &[(&str, &str)], daemon: Option<Version>) -> Self {
        let file = |(path, text): &(&str, &str)| {
            File::parse(Path::new(path), Some((*text).to_owned())).unwrap()
        };
        Self {
            files: files.iter().map(file).collect(),
            daemon,
            paths: Vec::new(),
        }
    }
}

fn config(files: &[(&str, &str)], daemon: Option<Version>) -> Config {
    Config::of(files, daemon)
}

fn image(config: &Config) -> Option<(String, String)> {
    let found = config.find(&Key::SandboxImage)?;
    Some((found.shown(), found.origin().to_string()))
}

fn told(value: &str, origin: &str) -> Option<(String, String)> {
    Some((value.to_owned(), origin.to_owned()))
}

#[test]
fn a_setting_is_where_its_version_has_it() {
    let bare = "[plugins.cri]\nsandbox_image = \"bare\"\n".to_owned();
    let one = format!("[plugins.\"{V2}\"]\nsandbox_image = \"one\"\n");
    let split = "[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'split'\n";
    let all = |version: &str| format!("{version}\n{bare}{one}{split}");
    for (version, daemon, expected) in [
        ("", Version(1, 7), told("bare", "/c:3")),
        ("version = 1", Version(1, 4), told("bare", "/c:3")),
        ("version = 2", Version(1, 4), told("one", "/c:5")),
        ("version = 2", Version(2, 1), told("one", "/c:5")),
        ("version = 3", Version(2, 1), told("split", "/c:7")),
        ("version = 4", Version(2, 3), told("split", "/c:7")),
        ("", Version(2, 1), None),
        ("version = 1", Version(2, 0), None),
    ] {
        let config = config(&[("/c", &all(version))], Some(daemon));
        assert_eq!(image(&config), expected, "{version} {daemon}");
    }
    let unknown = config(&[("/c", &all(""))], None);
    assert_eq!(image(&unknown), told("bare", "/c:3"));
}

#[test]
fn an_import_replaces_a_plugin_before_2_and_a_key_since() {
    let root = format!("version = 2\n[plugins.\"{V2}\"]\nsandbox_image = \"root\"\n");
    let other = format!("version = 2\n[plugins.\"{V2}\".containerd]\nsnapshotter = \"zfs\"\n");
    let same = format!("version = 2\n[plugins.\"{V2}\"]\nsandbox_image = \"import\"\n");
    let both = |import: &str, daemon| config(&[("/c", &root), ("/i", import)], Some(daemon));
    assert_eq!(image(&both(&other, Version(1, 6))), None);
    assert_eq!(image(&both(&other, Version(2, 0))), told("root", "/c:3"));
    for daemon in [Version(1, 6), Version(2, 1)] {
        assert_eq!(image(&both(&same, daemon)), told("import", "/i:3"));
        assert!(both(&same, daemon).outranked(&Key::SandboxImage).is_some());
    }
    let outranked = |daemon| both(&other, daemon).outranked(&Key::SandboxImage).is_some();
    assert!(outranked(Version(1, 6)) && !outranked(Version(2, 0)));
}

#[test]
fn every_list_can_disable_cri() {
    for name in super::super::key::CRI_PLUGINS {
        let text = format!("disabled_plugins = [\n  \"aufs\",\n  \"{name}\"]\n");
        let config = config(&[("/c", ""), ("/i", &text)], None);
        let (file, origin) = config.disabled().unwrap();
        assert_eq!(
            (file.path.as_path(), origin.to_string()),
            (Path::new("/i"), "/i:3".into())
        );
    }
    assert!(
        config(&[("/c", "disabled_plugins = [\"aufs\"]")], None)
            .disabled()
            .is_none()
    );
}

#[test]
fn a_file_too_new_is_an_error() {
    let read =
        |files: &[(&str, &str)], daemon| config(files, None).for_daemon(Some(daemon)).map(drop);
    assert!(read(&[("/c", "version = 3")], Version(1, 7)).is_err());
    assert!(read(&[("/c", "version = 4")], Version(2, 2)).is_err());
    assert!(
        read(
            &[("/c", "version = 2"), ("/i", "version = 3")],
            Version(2, 0)
        )
        .is_err()
    );
    assert!(
        read(
            &[("/c", "version = 3"), ("/i", "version = 2")],
            Version(2, 0)
        )
        .is_ok()
    );
}

#[test]
fn broken_text_is_named_by_its_line() {
    let error = File::parse(Path::new("/c"), Some("a = 1\nb = \n".into())).unwrap_err();
    assert!(
        error.to_string().starts_with("/c:2 is no TOML ("),
        "{error}"
    );
}

#[test]
fn the_socket() {
    let old = config(&[("/c", "[grpc]\naddress = \"/run/a.sock\"\n")], None);
    assert_eq!(old.address(), Some("/run/a.sock"));
    let new = "version = 4\n[plugins.'io.containerd.server.v1.grpc']\naddress = '/run/b.sock'\n";
    assert_eq!(config(&[("/c", new)], None).address(), Some("/run/b.sock"));
    assert_eq!(
        config(&[("/c", "[grpc]\naddress = ''\n")], None).address(),
        None
    );
}
