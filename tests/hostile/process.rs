//! What a process inherits: environment, umask, descriptors, limits, working directory. None of it
//! changes what is written or how the run ends, but for what no memory or no descriptor is left to do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::planted::PROFILE;
use crate::run::{NODEPREP, Ran, file, finish};
use crate::space::Space;
use crate::tree::{Image, leftovers};

trials!(
    anyone: [umask, environment, closed, outputs_that_fail, file_size, few_descriptors, little_memory, no_directory],
    root: [children, umask_live, no_core]
);

const FSTAB: &str = "/s none swap sw\n";

fn image() -> Image {
    let image = Image::new(PROFILE);
    image.add("etc/fstab", FSTAB);
    image
}

/// Runs apply from a shell that has prepared itself.
fn apply(image: &Image, prepare: &str) -> Ran {
    finish(&mut shell(image, &format!("{prepare}\nexec \"$0\" \"$@\"")))
}

fn shell(image: &Image, script: &str) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-euc", script, NODEPREP])
        .args(image.arguments("apply"));
    command
}

/// The modes of all that was made in a tree.
fn made(root: &Path) -> Vec<(String, u32)> {
    let names = [
        "etc",
        "etc/crictl.yaml",
        "etc/sysctl.d",
        "etc/sysctl.d/kubernetes.conf",
        "var",
        "var/lib",
        "var/lib/nodeprep",
        "var/lib/nodeprep/journal",
    ];
    let mut paths: Vec<_> = names.map(|name| root.join(name)).into();
    let journals = fs::read_dir(root.join("var/lib/nodeprep/journal")).unwrap();
    paths.extend(journals.map(|entry| entry.unwrap().path()));
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let name = |path: &Path| match path.extension() {
        Some(end) if end == "journal" => "journal".to_owned(),
        _ => path.strip_prefix(root).unwrap().display().to_string(),
    };
    paths.iter().map(|path| (name(path), mode(path))).collect()
}

const MODES: [u32; 9] = [
    0o755, 0o644, 0o755, 0o644, 0o755, 0o755, 0o700, 0o700, 0o600,
];

fn umask() {
    for umask in ["0", "022", "077", "0777"] {
        let image = Image::new(PROFILE);
        // Its own directory, made by the test, has the mode of a host's.
        fs::create_dir_all(image.root().join("etc")).unwrap();
        fs::set_permissions(image.root().join("etc"), PermissionsExt::from_mode(0o755)).unwrap();
        apply(&image, &format!("umask {umask}")).exits(0);
        let modes: Vec<u32> = made(&image.root()).iter().map(|(_, mode)| *mode).collect();
        assert_eq!(modes, MODES, "umask {umask}: {:?}", made(&image.root()));
    }
}

fn umask_live() {
    for umask in ["0", "0777"] {
        let space =
            Space::new("schema = \"v1alpha1\"\n[sysctl.keys]\n\"net.ipv4.ip_forward\" = 1\n");
        space
            .run_prepared(&format!("umask {umask}"), &["apply"])
            .exits(0);
        let mode = |path: &str| fs::metadata(space.path(path)).unwrap().mode() & 0o7777;
        assert_eq!(
            [mode("run/nodeprep"), mode("run/nodeprep/lock")],
            [0o755, 0o600]
        );
        assert_eq!(
            [mode("var/lib/nodeprep"), mode("var/lib/nodeprep/journal")],
            [0o700, 0o700]
        );
    }
}

/// Same tree, same answer.
fn environment() {
    let plain = image();
    let expected = apply(&plain, "");
    expected.exits(0);
    let strange = [
        "export PATH=/nowhere LD_LIBRARY_PATH=/nowhere LC_ALL=tr_TR.UTF-8 LANG=xx TZ=:/etc/shadow",
        "export HOME=/nowhere TMPDIR=/nowhere XDG_CACHE_HOME=/nowhere SHELL=/bin/false IFS=/ ENV=/nowhere",
        "export RUST_LOG=trace RUST_BACKTRACE=full RUST_MIN_STACK=1 NO_COLOR=1 CLICOLOR_FORCE=1 TERM=dumb",
        "export SYSTEMD_PAGER=/bin/false DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nowhere KUBECONFIG=/nowhere",
        "exec env -i \"$0\" \"$@\"",
    ];
    for prepare in strange {
        let image = image();
        let ran = apply(&image, prepare);
        ran.exits(0);
        for path in [
            "etc/fstab",
            "etc/sysctl.d/kubernetes.conf",
            "etc/crictl.yaml",
        ] {
            assert!(image.read(path) == plain.read(path), "{prepare}");
        }
        if !prepare.contains("CLICOLOR_FORCE") {
            assert_eq!(ran.stdout, expected.stdout, "{prepare}");
        }
    }
}

/// A program that is started sees an environment of ours, and neither content nor our descriptors.
fn children() {
    let space = Space::new("schema = \"v1alpha1\"\n[swap]\nstate = \"off\"\n");
    file(&space.path("etc/fstab"), FSTAB);
    fs::create_dir_all(space.path("run/systemd/system")).unwrap();
    let fake = "#!/bin/sh\n{ env; echo \"arguments: $*\"; ls -l /proc/self/fd; umask; pwd; } > /run/seen\n";
    let program = file(&space.path("sbin/systemctl"), fake);
    fs::set_permissions(program, PermissionsExt::from_mode(0o755)).unwrap();
    let prepare = r#"mount -n --bind "$SPACE/sbin" /usr/sbin
        export LD_PRELOAD= LD_LIBRARY_PATH=/nowhere EVIL=1 BASH_ENV=/nowhere ENV=/nowhere
        cd /etc; umask 0777"#;
    space
        .run_prepared(prepare, &["apply"])
        .exits(0)
        .says(&["1 fixed"]);
    let seen = fs::read_to_string(space.path("run/seen")).unwrap();
    for wanted in [
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n",
        "LC_ALL=C.UTF-8\n",
        "arguments: daemon-reload\n",
        "\n0022\n",
        "\n/\n",
    ] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    for unwanted in ["EVIL", "LD_", "ENV=", "journal", "nodeprep"] {
        assert!(!seen.contains(unwanted), "{unwanted}: {seen}");
    }
}

/// Each of the standard descriptors open or closed: a file opened in its place must not be printed into.
fn closed() {
    for closed in 0..8 {
        let image = image();
        let close: String = (0..3)
            .filter(|fd| closed & (1 << fd) != 0)
            .map(|fd| format!("exec {fd}>&-\n"))
            .collect();
        apply(&image, &close).exits(0);
        let journals = fs::read_dir(image.root().join("var/lib/nodeprep/journal")).unwrap();
        for journal in journals {
            let text = fs::read_to_string(journal.unwrap().path()).unwrap();
            // The sum of what follows, a blank, a record.
            let is_record = |line: &str| {
                line.len() > 9 && line[8..].starts_with(" {\"record\":") && line.ends_with('}')
            };
            assert!(text.lines().all(is_record), "closed {closed}: {text}");
        }
        assert!(image.read("etc/fstab").starts_with(b"#/s"));
        image.run("check").exits(0);
    }
}

/// A full disk behind an output, a reader that is gone: the host is brought to its end nevertheless.
fn outputs_that_fail() {
    for (prepare, code) in [
        ("exec > /dev/full", 1),
        ("exec 2> /dev/full", 0),
        ("exec > /dev/full 2>&1", 1),
        ("exec 2> >(exit)\nsleep 0.1", 0),
        ("exec > >(exit) 2>&1\nsleep 0.1", 0),
    ] {
        let image = image();
        // With something to tell on stderr.
        fs::hard_link(image.root().join("etc/fstab"), image.root().join("other")).unwrap();
        let mut command = shell(&image, &format!("{prepare}\nexec \"$0\" \"$@\" --verbose"));
        let status = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{prepare}");
        image.run("check").exits(0);
        assert!(leftovers(&image.root()).is_empty());
    }
}

/// What stands must be the old file or the new one, and the next run must be able to finish.
fn whole(image: &Image, ran: &Ran) {
    let text = String::from_utf8(image.read("etc/fstab")).unwrap();
    assert!(text.trim_start_matches('#') == FSTAB, "{text} {ran:#?}");
    image.run("apply").exits(0);
    assert!(leftovers(&image.root()).is_empty(), "{ran:#?}");
    assert_eq!(image.read("etc/fstab"), b"#/s none swap sw\n");
}

/// SIGXFSZ kills by default.
fn file_size() {
    for blocks in [0, 1, 2, 4] {
        let image = image();
        let ran = apply(&image, &format!("ulimit -f {blocks}"));
        if ran.code != Some(0) {
            ran.exits(1).says(&["File too large", "ulimit -f"]);
        }
        assert!(blocks > 0 || ran.code == Some(1), "{ran:#?}");
        whole(&image, &ran);
    }
}

fn few_descriptors() {
    for descriptors in 4..16 {
        let image = image();
        let ran = apply(&image, &format!("ulimit -n {descriptors}"));
        if !matches!(ran.code, Some(0 | 65)) {
            // Too few for the program's loader to begin with, or too few for a file.
            assert!(ran.code == Some(127) || ran.exits(1).stderr.len() + ran.stdout.len() > 0);
        }
        whole(&image, &ran);
    }
}

/// Where memory ends the program may die at any place, as when it is killed.
fn little_memory() {
    for mebibytes in [8, 12, 16, 24, 32, 64] {
        let image = image();
        let ran = apply(&image, &format!("ulimit -v {}", mebibytes * 1024));
        whole(&image, &ran);
    }
}

fn no_directory() {
    let image = image();
    apply(&image, "cd \"$(mktemp -d)\"; rmdir \"$PWD\"").exits(0);
}

/// As root the process can't be dumped: its memory holds files that others may not read.
fn no_core() {
    let space = Space::new("schema = \"v1alpha1\"\n[swap]\nstate = \"off\"\n");
    // The lock keeps it waiting while it is looked at: /proc of what can't be dumped is root's alone.
    let lock = fs::File::create(file(&space.path("run/nodeprep/lock"), "")).unwrap();
    lock.lock().unwrap();
    let mut waiting = space
        .command("", &["apply", "--wait", "60s"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let status = Path::new("/proc").join(waiting.id().to_string());
    let comm = || fs::read_to_string(status.join("comm")).unwrap_or_default();
    while !comm().starts_with("nodeprep") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(waiting.id().cast_signed()),
        nix::sys::signal::SIGABRT,
    )
    .unwrap();
    let ended = waiting.wait().unwrap();
    assert!(
        !std::os::unix::process::ExitStatusExt::core_dumped(&ended),
        "{ended}"
    );
}
