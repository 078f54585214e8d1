//! Runs that are finished, shown, taken back and joined: what a journal promises.

use std::path::{Path, PathBuf};

use crate::run::{Ran, file, nodeprep};
use crate::space::Space;
use crate::tree::{Image, leftovers};

trials!(
    anyone: [
        a_cut_off_run_is_finished, what_others_added_stays, what_others_changed_stays, a_run_is_named, nothing_to_take_back,
        what_left_the_profile_goes, another_profile, a_file_renamed, an_item_that_left, what_was_not_asked_for_stays, joined,
        a_damaged_journal, a_torn_first_record, a_second_run_that_never_began, a_rollback_that_was_cut_off, a_removal_that_was_cut_off,
        a_second_run_that_was_cut_off,
        applied_again_after_a_rollback_that_was_cut_off, a_file_that_others_removed,
    ],
    root: [a_kernel_value_goes_back, a_key_that_left_goes_back]
);

const FSTAB: &str = "/s none swap sw\n/dev/sda1 / ext4 defaults 0 1\n";
const PROFILE: &str = "schema = \"v1alpha1\"\nname = \"p\"\n[swap]\nstate = \"off\"\n[sysctl.keys]\n\
                       \"net.ipv4.ip_forward\" = 1\n\"kernel.panic\" = 10\n";
const FILE: &str = "etc/sysctl.d/kubernetes.conf";

fn image() -> Image {
    let image = Image::new(PROFILE);
    image.add("etc/fstab", FSTAB);
    image
}

impl Image {
    pub fn profile(&self, text: &str) {
        file(&self.root().join("../profile.toml"), text);
    }

    /// A command that needs no profile.
    pub fn past(&self, arguments: &[&str]) -> Ran {
        let root = self.root();
        let root = ["--root", root.to_str().unwrap()];
        nodeprep(arguments.iter().chain(&root))
    }

    fn with(&self, command: &str, option: &[&str]) -> Ran {
        let mut arguments = self.arguments(command);
        arguments.extend(option.iter().map(|o| (*o).to_owned()));
        nodeprep(arguments)
    }

    pub fn journals(&self) -> Vec<PathBuf> {
        let directory = self.root().join("var/lib/nodeprep/journal");
        let mut all: Vec<PathBuf> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        all.sort();
        all
    }
}

fn a_cut_off_run_is_finished() {
    let image = image();
    image.run("apply").exits(0);
    let journal = image.journals().remove(0);
    let text = std::fs::read_to_string(&journal).unwrap();
    // As if it had been killed in its last step, with half of the next record written.
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let kept = lines.len() - 2;
    let torn = &lines[kept][..20];
    file(&journal, lines[..kept].concat() + torn);
    image.add(&temporary(&journal), "net.ipv4.i");
    let another = "etc/.kubernetes.conf.nodeprep-x";
    image.add(another, "");
    image.run("check").exits(2).says(&["cut off → finished"]);
    image
        .past(&["history"])
        .says(&["cut off: the next apply finishes it"]);
    image.run("apply").exits(0).says(&["1 fixed"]);
    assert_eq!(leftovers(&image.root()), [image.root().join(another)]);
    image.run("check").exits(0).never_says("cut off");
    image
        .past(&["history"])
        .exits(0)
        .says(&["cut off, finished by"]);
    image.past(&["rollback"]).exits(0);
    assert_eq!(image.read("etc/fstab"), FSTAB.as_bytes());
    // What has the temporary name where ours is in place is what somebody saved in that moment.
    assert_eq!(image.read(FILE), b"net.ipv4.i");
}

/// A file that others added to between two runs that did.
fn what_others_added_stays() {
    let image = image();
    image.run("apply").exits(0);
    let with = |line: &str| [&image.read("etc/fstab"), line.as_bytes()].concat();
    image.add("etc/fstab", with("/dev/sdb1 /data ext4 defaults 0 2\n"));
    image.add("etc/fstab", with("/other none swap sw\n"));
    image.run("apply").exits(0).says(&["1 fixed"]);
    image.past(&["remove"]).exits(0);
    let now = String::from_utf8(image.read("etc/fstab")).unwrap();
    assert!(
        now.contains("\n/dev/sdb1 /data") && now.contains("\n/other none"),
        "{now}"
    );
}

fn what_others_changed_stays() {
    let image = image();
    image.run("apply").exits(0);
    let changed = format!("#{FSTAB}# mine\n");
    image.add("etc/fstab", &changed);
    image
        .past(&["rollback", "--dry-run"])
        .exits(2)
        .says(&["changed since", "would do:"]);
    assert!(image.root().join(FILE).exists());
    image
        .past(&["rollback"])
        .exits(2)
        .says(&["1 blocked", "--force"]);
    assert_eq!(image.read("etc/fstab"), changed.as_bytes());
    assert!(!image.root().join(FILE).exists());
    image.past(&["rollback", "--force"]).exits(0);
    assert_eq!(image.read("etc/fstab"), FSTAB.as_bytes());
}

fn a_run_is_named() {
    let image = image();
    image.run("apply").exits(0);
    image.profile(&PROFILE.replace("= 10", "= 20"));
    image.run("apply").exits(0);
    image
        .past(&["rollback", "20"])
        .exits(64)
        .says(&["more than one run"]);
    image
        .past(&["rollback", "nosuch"])
        .exits(64)
        .says(&["no run \"nosuch\""]);
    image.past(&["rollback"]).exits(0);
    assert!(
        String::from_utf8(image.read(FILE))
            .unwrap()
            .contains("kernel.panic = 10\n")
    );
    let first = image.journals().remove(0);
    let name = first.file_stem().unwrap().to_str().unwrap().to_owned();
    let shown = image.past(&["history", "show", &name]);
    shown.exits(0).says(&["edit /etc/fstab", "exact undo"]);
    image.past(&["rollback", &name]).exits(0);
    assert!(!image.root().join(FILE).exists());
}

fn nothing_to_take_back() {
    let image = image();
    image.past(&["history"]).exits(0).says(&["0 runs"]);
    for command in ["rollback", "remove"] {
        image
            .past(&[command])
            .exits(0)
            .says(&["nothing is left to take back"]);
    }
    image.run("apply").exits(0);
    image.past(&["remove"]).exits(0);
    image
        .past(&["rollback"])
        .exits(0)
        .says(&["nothing is left to take back"]);
}

fn what_left_the_profile_goes() {
    let image = image();
    image.add(FILE, "# before\n");
    image.run("apply").exits(0);
    image.profile(&PROFILE.replace("\"kernel.panic\" = 10\n", ""));
    let left = "kernel.panic in /etc/sysctl.d/kubernetes.conf";
    image
        .run("check")
        .exits(2)
        .says(&[left, "no longer in the profile"]);
    image.with("check", &["--keep"]).exits(0);
    image.with("apply", &["--keep"]).exits(0);
    image.run("apply").exits(0).says(&[left]);
    let text = String::from_utf8(image.read(FILE)).unwrap();
    assert!(
        text.starts_with("# before\n") && text.contains("ip_forward = 1"),
        "{text}"
    );
    assert!(!text.contains("kernel.panic"), "{text}");
    image.run("check").exits(0);
    image.past(&["remove"]).exits(0);
    assert_eq!(image.read(FILE), b"# before\n");
    assert_eq!(image.read("etc/fstab"), FSTAB.as_bytes());
}

/// Each has lines of its own in the one file: neither takes the other's away.
fn another_profile() {
    let image = image();
    image.run("apply").exits(0);
    let other = PROFILE
        .replace("\"p\"", "\"q\"")
        .replace("kernel.panic\" = 10", "vm.swappiness\" = 0");
    image.profile(&other);
    image.run("apply").exits(0).says(&["1 fixed"]);
    image.run("check").exits(0);
    image.profile(PROFILE);
    image.run("apply").exits(0);
    let both = String::from_utf8(image.read(FILE)).unwrap();
    assert!(
        both.contains("kernel.panic") && both.contains("vm.swappiness"),
        "{both}"
    );
    image.past(&["remove"]).exits(0);
    assert!(!image.root().join(FILE).exists());
}

fn a_file_renamed() {
    let image = image();
    image.run("apply").exits(0);
    image.profile(&PROFILE.replace(
        "[sysctl.keys]",
        "[sysctl]\nfile = \"k8s.conf\"\n[sysctl.keys]",
    ));
    image.run("apply").exits(0);
    assert!(!image.root().join(FILE).exists());
    assert!(image.root().join("etc/sysctl.d/k8s.conf").exists());
    image.run("check").exits(0);
}

fn an_item_that_left() {
    let image = image();
    image.run("apply").exits(0);
    image.profile(PROFILE.split("[sysctl").next().unwrap());
    image.run("apply").exits(0);
    assert!(!image.root().join(FILE).exists());
    assert_ne!(image.read("etc/fstab"), FSTAB.as_bytes());
    image.run("check").exits(0);
    // Another profile's keys are not this one's to take away.
    image.profile("schema = \"v1alpha1\"\nname = \"q\"\n[sysctl.keys]\n\"kernel.panic\" = 10\n");
    image.run("apply").exits(0);
    assert_ne!(image.read("etc/fstab"), FSTAB.as_bytes());
}

fn what_was_not_asked_for_stays() {
    let image = image();
    image.run("apply").exits(0);
    image.with("apply", &["--only", "swap"]).exits(0);
    image.with("check", &["--skip", "sysctl"]).exits(0);
    assert!(image.root().join(FILE).exists());
}

fn joined() {
    let image = image();
    image.run("apply").exits(0);
    let torn = "var/lib/nodeprep/journal/.2026-01-01T00:00:00.000000Z-1.journal.nodeprep-2";
    image.add(torn, "0a0b");
    for value in 1..8 {
        let profile = PROFILE.replace("= 10", &format!("= {value}"));
        image.profile(&(profile + "[history]\nruns = 3\n"));
        image.run("apply").exits(0);
    }
    assert_eq!(image.journals().len(), 3, "{torn} is gone too");
    image
        .past(&["history"])
        .exits(0)
        .says(&["3 runs", "folded"]);
    image.past(&["rollback"]).exits(0);
    assert!(
        String::from_utf8(image.read(FILE))
            .unwrap()
            .contains("kernel.panic = 6\n")
    );
    image.past(&["remove"]).exits(0);
    assert_eq!(image.read("etc/fstab"), FSTAB.as_bytes());
    assert!(!image.root().join(FILE).exists());
}

fn a_damaged_journal() {
    let image = image();
    image.run("apply").exits(0);
    let journal = image.journals().remove(0);
    let mut text = std::fs::read(&journal).unwrap();
    text[40] ^= 1;
    file(&journal, text);
    image
        .past(&["history"])
        .exits(0)
        .says(&["line 1 is damaged"]);
    image
        .past(&["rollback"])
        .exits(0)
        .says(&["nothing is left"]);
    image
        .past(&["remove"])
        .exits(1)
        .says(&["line 1 is damaged", "cannot be taken back"]);
    assert_ne!(image.read("etc/fstab"), FSTAB.as_bytes());
}

fn a_torn_first_record() {
    let image = image();
    let torn = "var/lib/nodeprep/journal/2026-01-01T00:00:00.000000Z-1.journal";
    image.add(torn, "0a0b0c0d {\"record\":\"beg");
    image.run("apply").exits(0);
    assert!(!image.root().join(torn).exists());
    image.past(&["rollback"]).exits(0);
    assert_eq!(image.read("etc/fstab"), FSTAB.as_bytes());
}

/// The run that was to finish another was cut off before it had written anything.
fn a_second_run_that_never_began() {
    let image = image();
    image.run("apply").exits(0);
    let journal = image.journals().remove(0);
    let text = std::fs::read_to_string(&journal).unwrap();
    let step = text.lines().position(|line| line.contains(FILE)).unwrap();
    let kept: String = text.split_inclusive('\n').take(step).collect();
    file(&journal, kept);
    std::fs::remove_file(image.root().join(FILE)).unwrap();
    let second = "var/lib/nodeprep/journal/2999-01-01T00:00:00.000000Z-1.journal";
    image.add(second, "");
    image.run("apply").exits(0);
    assert!(!image.root().join(second).exists());
    image.past(&["rollback"]).exits(0);
    assert_eq!(image.read("etc/fstab"), FSTAB.as_bytes());
}

const FORWARD: &str =
    "schema = \"v1alpha1\"\nname = \"p\"\n[sysctl.keys]\n\"net.ipv4.ip_forward\" = 1\n";

fn a_kernel_value_goes_back() {
    let space = Space::new(FORWARD);
    let script =
        r#""$0" rollback -v >"$SPACE/back"; cat /proc/sys/net/ipv4/ip_forward >"$SPACE/value""#;
    space.run_between("", &["apply"], script).exits(0);
    let read = |name: &str| std::fs::read_to_string(space.path(name)).unwrap();
    assert_eq!(read("value"), "0\n", "{}", read("back"));
    assert!(
        read("back").contains("as nodeprep set it → 0"),
        "{}",
        read("back")
    );
}

fn a_key_that_left_goes_back() {
    let space = Space::new(FORWARD);
    let script = r#"printf 'schema = "v1alpha1"\nname = "p"\n' >/etc/nodeprep/profile.toml
        "$0" apply >"$SPACE/back"; cat /proc/sys/net/ipv4/ip_forward >"$SPACE/value""#;
    space.run_between("", &["apply"], script).exits(0);
    let read = |name: &str| std::fs::read_to_string(space.path(name)).unwrap();
    assert_eq!(read("value"), "0\n", "{}", read("back"));
    assert!(
        read("back").contains("no longer in the profile"),
        "{}",
        read("back")
    );
}

/// Its last step is in the journal and was not done.
/// A rollback whose journal ends with the record of the file's removal; what the file was, and the
/// temporary name that the removal gives it.
fn cut_off(image: &Image) -> (Vec<u8>, String) {
    image.run("apply").exits(0);
    let applied = image.read(FILE);
    image.past(&["rollback"]).exits(0);
    let journal = image.journals().pop().unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    let step = text.lines().position(|line| line.contains(FILE)).unwrap();
    let kept: String = text.split_inclusive('\n').take(step + 1).collect();
    file(&journal, kept);
    (applied, temporary(&journal))
}

/// The name that the file has while this run writes or removes it.
fn temporary(journal: &Path) -> String {
    let run = journal.file_stem().unwrap().to_str().unwrap();
    let process = run.rsplit('-').next().unwrap();
    format!("etc/sysctl.d/.kubernetes.conf.nodeprep-{process}")
}

fn a_rollback_that_was_cut_off() {
    let image = image();
    let (applied, _) = cut_off(&image);
    image.add(FILE, applied);
    image.past(&["rollback"]).exits(0);
    assert!(!image.root().join(FILE).exists());
    assert_eq!(image.read("etc/fstab"), FSTAB.as_bytes());
}

/// What it was removing has its temporary name still, and is alone in a directory of ours.
fn a_removal_that_was_cut_off() {
    let image = image();
    let (applied, temporary) = cut_off(&image);
    image.add(&temporary, applied);
    image.past(&["rollback"]).exits(0);
    assert!(!image.root().join("etc/sysctl.d").exists());
}

/// Its last step is in the journal, and what the first run left is still there.
fn a_second_run_that_was_cut_off() {
    let image = image();
    image.run("apply").exits(0);
    let applied = image.read(FILE);
    image.profile(&PROFILE.replace("= 10", "= 20"));
    image.run("apply").exits(0);
    let journal = image.journals().pop().unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    let step = text.lines().position(|line| line.contains(FILE)).unwrap();
    let kept: String = text.split_inclusive('\n').take(step + 1).collect();
    file(&journal, kept);
    image.add(FILE, applied);
    image.past(&["remove"]).exits(0);
    assert!(!image.root().join(FILE).exists());
}

/// Its last step was done, and the journal does not say so.
fn applied_again_after_a_rollback_that_was_cut_off() {
    let image = image();
    image.run("apply").exits(0);
    let applied = image.read(FILE);
    image.past(&["rollback"]).exits(0);
    let journal = image.journals().pop().unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    let step = text.lines().position(|line| line.contains(FILE)).unwrap();
    let kept: String = text.split_inclusive('\n').take(step + 1).collect();
    file(&journal, kept);
    image.past(&["rollback"]);
    image.run("apply").exits(0);
    assert_eq!(image.read(FILE), applied);
}

/// A key of it left the profile as well.
fn a_file_that_others_removed() {
    let image = image();
    image.run("apply").exits(0);
    std::fs::remove_file(image.root().join(FILE)).unwrap();
    image.profile(&PROFILE.replace("\"kernel.panic\" = 10\n", ""));
    image.run("apply").never_says("No such file");
    image.run("apply").exits(0);
    let text = String::from_utf8(image.read(FILE)).unwrap();
    assert!(
        text.contains("ip_forward") && !text.contains("panic"),
        "{text}"
    );
}
