//! What an edit leaves, byte for byte.

use proptest::prelude::*;

use super::*;

const CGROUP: [&str; 7] = [
    "plugins",
    "io.containerd.grpc.v1.cri",
    "containerd",
    "runtimes",
    "runc",
    "options",
    "SystemdCgroup",
];

fn truth(text: &str) -> Option<String> {
    set(text, &CGROUP, &true.into())
}

#[test]
fn a_key_is_set_where_it_stands() {
    let old = "# mine\nversion = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n    BinaryName = \"\" # ours\n    SystemdCgroup   =  false   # hm\n\n# end";
    assert_eq!(truth(old).unwrap(), old.replace("false", "true"));
    let old = old.replace("\n", "\r\n");
    assert_eq!(truth(&old).unwrap(), old.replace("false", "true"));
}

#[test]
fn a_key_is_added_to_its_table() {
    let old = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n    # the shim's\n    BinaryName = \"\" # ours\n\n[metrics]\n  address = \"\"\n";
    assert_eq!(
        truth(old).unwrap(),
        "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n    # the shim's\n    BinaryName = \"\" # ours\n    SystemdCgroup = true\n\n[metrics]\n  address = \"\"\n"
    );
}

/// `containerd config default` writes version 3 with single quotes, and manuals are copied from.
#[test]
fn names_may_be_quoted_in_two_ways() {
    let old = "version = 3\n[plugins.'io.containerd.grpc.v1.cri']\n  a = 1\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.\"runc\".options] # x\n\n[debug]";
    assert_eq!(
        truth(old).unwrap(),
        old.replace("# x\n", "# x\nSystemdCgroup = true\n")
    );
}

#[test]
fn a_key_is_indented_as_its_table() {
    let old = "version = 2\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\"\n";
    let path = [CGROUP[0], CGROUP[1], "sandbox_image"];
    let new = set(old, &path, &"pause".into()).unwrap();
    assert_eq!(
        new,
        old.replace("cri\"]\n", "cri\"]\n    sandbox_image = \"pause\"\n")
    );
}

#[test]
fn a_table_that_is_not_there_stands_at_the_end() {
    let header = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n";
    for old in [
        "version = 2\n# [plugins]\n",
        "[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    x = 1\n[debug]\n",
        "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options.more]\nx = 1\n",
    ] {
        assert_eq!(truth(old).unwrap(), format!("{old}\n{header}"));
    }
    assert_eq!(truth("").unwrap(), header);
    assert_eq!(truth("# no end").unwrap(), format!("# no end\n\n{header}"));
    let crlf = truth("version = 2\r\n").unwrap();
    assert_eq!(crlf.matches('\n').count(), crlf.matches("\r\n").count());
}

#[test]
fn inline_and_dotted_tables_are_continued() {
    let old = "plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc = { runtime_type = \"io.containerd.runc.v2\" } # one line\n";
    assert_eq!(
        truth(old).unwrap(),
        "plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc = { runtime_type = \"io.containerd.runc.v2\" , options = { SystemdCgroup = true } } # one line\n"
    );
    let old =
        "[plugins.\"io.containerd.grpc.v1.cri\"]\ncontainerd.runtimes.runc.runtime_type = \"x\"\n";
    let new = truth(old).unwrap();
    assert!(new.starts_with(old), "{new}");
    new.parse::<DocumentMut>().unwrap();
}

#[test]
fn what_is_no_table_is_left_alone() {
    assert_eq!(truth("plugins = 3\n"), None);
    assert_eq!(truth("[[plugins]]\n"), None);
    assert_eq!(truth("broken = \n"), None);
}

#[test]
fn only_cri_is_enabled() {
    for (old, new) in [
        (
            "disabled_plugins = [\"cri\"] # packaged\n",
            "disabled_plugins = [] # packaged\n",
        ),
        (
            "disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.snapshotter.v1.aufs\"]\n",
            "disabled_plugins = [ \"io.containerd.snapshotter.v1.aufs\"]\n",
        ),
        (
            "disabled_plugins = [\n  \"aufs\", # no\n  \"io.containerd.cri.v1.images\",\n  \"io.containerd.cri.v1.runtime\",\n]\n",
            "disabled_plugins = [\n  \"aufs\", # no\n]\n",
        ),
        (
            "disabled_plugins = [\n  \"aufs\", # old\n  \"cri\", # docker\n  \"opt\" ]\n",
            "disabled_plugins = [\n  \"aufs\", # old\n  # docker\n  \"opt\" ]\n",
        ),
        (
            "disabled_plugins = [\n  \"cri\" # off\n]\n",
            "disabled_plugins = [ # off\n]\n",
        ),
    ] {
        assert_eq!(enable_cri(old).unwrap(), new);
    }
}

#[test]
fn version_1_becomes_version_2() {
    let old = "# packaged\ndisabled_plugins = []\n\n[plugins.cri] # ours\n  sandbox_image = \"a\"\n  [plugins.cri.registry.mirrors.\"docker.io\"]\n    endpoint = [\"https://m\"]\n\n#[debug]\n";
    let new = convert(old).unwrap();
    assert_eq!(
        new,
        "# packaged\ndisabled_plugins = []\nversion = 2\n\n[plugins.\"io.containerd.grpc.v1.cri\"] # ours\n  sandbox_image = \"a\"\n  [plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n    endpoint = [\"https://m\"]\n\n#[debug]\n"
    );
    assert_eq!(convert("[plugins.linux]\nshim = \"x\"\n"), None);
    assert_eq!(convert("disabled_plugins = [\"aufs\"]\n"), None);
    assert_eq!(convert("version = 1\n").unwrap(), "version = 2\n");
}

fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]".to_owned()),
        Just("  [plugins.\"io.containerd.grpc.v1.cri\".containerd]\t# ä".to_owned()),
        Just("[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.nvidia]".to_owned()),
        Just("# SystemdCgroup = false".to_owned()),
        "[a-z]{1,3} *= *(1|true|\"x # y\"|'''z''') *(# [a-z \"]{0,6})?",
        "(  )?\\[[a-z]{1,4}(\\.[a-z]{1,3})?\\]",
        " {0,3}",
    ];
    proptest::collection::vec(line, 0..9).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn other_lines_survive_in_order(old in lines()) {
        if old.parse::<DocumentMut>().is_ok() {
            let new = truth(&old).unwrap();
            let mut left = new.lines();
            for line in old.lines() {
                prop_assert!(left.any(|new| new == line), "{line:?} is lost\n{old}\n--\n{new}");
            }
            prop_assert_eq!(truth(&new).unwrap(), new);
        }
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]\\.=\"'a-z\n\r #{}]{0,40}") {
        let _ = (truth(&text), enable_cri(&text), convert(&text));
    }
}
