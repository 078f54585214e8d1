//! What not everyone may read is in no output, no argument of a program and no file that others can
//! open: of a shared file (a registry's password in containerd's configuration) only our lines are ours.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crate::run::{NODEPREP, finish, nodeprep};
use crate::tree::Image;

trials!(
    anyone: [in_no_output, where_all_may_read, in_the_journal_for_root, in_no_argument],
    root: []
);

const PROFILE: &str = "schema = \"v1alpha1\"\n[crictl]\ntimeout = 10\n";
const SECRET: &str = "hunter2";

fn image(mode: u32) -> Image {
    let image = Image::new(PROFILE);
    image.add(
        "etc/crictl.yaml",
        format!("timeout: 2\n# password: {SECRET}\n"),
    );
    let path = image.root().join("etc/crictl.yaml");
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    image
}

const COMMANDS: [&[&str]; 7] = [
    &["check"],
    &["plan", "--diff", "--verbose"],
    &["plan", "--output", "json"],
    &["apply", "--dry-run", "--diff", "--output", "json"],
    &["check", "--output", "json", "--verbose"],
    &["apply", "--diff", "--verbose"],
    &["apply", "--output", "json"],
];

fn in_no_output() {
    for mode in [0o600, 0o640, 0o660] {
        for command in COMMANDS {
            let image = image(mode);
            let mut arguments = image.arguments(command[0]);
            arguments.extend(command[1..].iter().map(|text| (*text).to_owned()));
            let ran = nodeprep(&arguments);
            ran.never_says(SECRET);
            if arguments.contains(&"--diff".to_owned()) {
                ran.says(&["(2 lines that not everyone may read)"]);
            }
        }
    }
    // What can't be read as YAML is told without its text.
    let broken = image(0o600);
    broken.add("etc/crictl.yaml", format!("password: [{SECRET}\n"));
    let path = broken.root().join("etc/crictl.yaml");
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    broken.run("apply").exits(1).never_says(SECRET);
}

fn where_all_may_read() {
    let image = image(0o644);
    let mut arguments = image.arguments("plan");
    arguments.push("--diff".into());
    nodeprep(arguments).exits(2).says(&[SECRET]);
}

/// The journal holds the file's bytes: how else could it be brought back.
fn in_the_journal_for_root() {
    let image = image(0o600);
    image.run("apply").exits(0);
    let directory = image.root().join("var/lib/nodeprep");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(
        [mode(&directory), mode(&directory.join("journal"))],
        [0o700, 0o700]
    );
    for journal in fs::read_dir(directory.join("journal")).unwrap() {
        let path = journal.unwrap().path();
        assert_eq!(mode(&path), 0o600);
        assert!(fs::read_to_string(path).unwrap().contains(SECRET));
    }
    let path = image.root().join("etc/crictl.yaml");
    assert_eq!(mode(&path), 0o600);
}

fn in_no_argument() {
    let image = image(0o600);
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-qq",
        "-s",
        "4096",
        "-v",
        "-e",
        "trace=execve,execveat",
        "-o",
    ]);
    strace
        .arg(trace.path())
        .arg(NODEPREP)
        .args(image.arguments("apply"));
    finish(&mut strace).exits(0);
    let text = fs::read_to_string(trace.path()).unwrap();
    assert!(text.contains("execve(") && !text.contains(SECRET), "{text}");
}
