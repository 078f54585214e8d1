//! Somebody saves a file in the very moment in which we replace it: the run is held up at the call in
//! question (strace), what was saved must stand afterwards, and the next run finish.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::{NODEPREP, Ran, answer, file};
use crate::tree::{Image, leftovers};

trials!(
    anyone: [
        saved_before, saved_between, saved_after_the_exchange, appended, made_meanwhile, removed_meanwhile,
        cut_off_with_what_was_saved, without_exchange, saved_all_the_time,
    ],
    root: []
);

const PROFILE: &str = "schema = \"v1alpha1\"\n[crictl]\ntimeout = 10\n";
const OLD: &str = "timeout: 2\n";
const SAVED: &str = "# saved meanwhile\ntimeout: 2\n";
const BOTH: &str = "# saved meanwhile\ntimeout: 10\n";

fn image() -> Image {
    let image = Image::new(PROFILE);
    image.add("etc/crictl.yaml", OLD);
    image
}

/// Long enough for whoever watches to be quicker, on a busy machine too.
const DELAY: &str = "2000000";

/// Begins an apply that is held up at a call: `inject` is strace's.
fn begin(image: &Image, inject: &str) -> Child {
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", &format!("inject={inject}")]);
    command.arg(NODEPREP).args(image.arguments("apply"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn end(child: Child) -> Ran {
    answer(child.wait_with_output().unwrap())
}

fn until(what: impl Fn() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "it never came so far"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the run is held up before it changes names.
fn held_up(strace: &Child) {
    let rename = nix::libc::SYS_renameat2.to_string();
    // Its first word is the call's number (proc(5)).
    let call = |id| fs::read_to_string(format!("/proc/{id}/syscall")).unwrap_or_default();
    let is_there = |id: i32| call(id).split_whitespace().next() == Some(&rename);
    until(|| children(strace.id()).into_iter().any(is_there));
}

fn temporary(image: &Image) -> bool {
    leftovers(&image.root().join("etc")).iter().any(|_| true)
}

/// As editors do: a new file, renamed over the old one.
fn save(path: &Path, text: &str) {
    let new = file(&path.with_file_name("crictl.yaml.swp"), text);
    fs::rename(new, path).unwrap();
}

/// What was saved stands, it was told, and the next run does what was wanted.
fn kept(image: &Image, ran: &Ran) {
    ran.exits(1).says(&["/etc/crictl.yaml", "run apply again"]);
    assert_eq!(
        String::from_utf8(image.read("etc/crictl.yaml")).unwrap(),
        SAVED
    );
    assert!(!temporary(image), "{ran:#?}");
    image.run("apply").exits(0);
    assert_eq!(
        String::from_utf8(image.read("etc/crictl.yaml")).unwrap(),
        BOTH
    );
}

/// After the plan and before its step: an earlier step is held up.
fn saved_before() {
    let profile = "schema = \"v1alpha1\"\n[swap]\nstate = \"off\"\n[sysctl.keys]\n\"net.ipv4.ip_forward\" = 1\n";
    let image = Image::new(profile);
    image.add("etc/fstab", "/s none swap sw\n");
    image.add("etc/sysctl.d/kubernetes.conf", "net.ipv4.ip_forward = 0\n");
    let path = image.root().join("etc/sysctl.d/kubernetes.conf");
    let running = begin(&image, &format!("mkdirat:delay_exit={DELAY}:when=1"));
    until(|| image.root().join("var").exists());
    save(&path, SAVED);
    end(running).exits(1).says(&[
        "/etc/sysctl.d/kubernetes.conf",
        "run apply again",
        "1 fixed, 1 failed",
    ]);
    assert_eq!(fs::read_to_string(&path).unwrap(), SAVED);
    // It is a file of ours, and the journal keeps what was there.
    image.run("apply").exits(0);
}

fn saved_between() {
    let image = image();
    let running = begin(&image, &format!("renameat2:delay_enter={DELAY}:when=1"));
    held_up(&running);
    save(&image.root().join("etc/crictl.yaml"), SAVED);
    kept(&image, &end(running));
}

/// The file has its new content already; who saves now has seen that, or overwrites it knowingly.
fn saved_after_the_exchange() {
    let image = image();
    let running = begin(&image, &format!("renameat2:delay_exit={DELAY}:when=1"));
    until(|| image.read("etc/crictl.yaml") == b"timeout: 10\n");
    save(&image.root().join("etc/crictl.yaml"), SAVED);
    end(running).exits(2);
    assert_eq!(image.read("etc/crictl.yaml"), SAVED.as_bytes());
    assert!(!temporary(&image));
}

/// A process that has the file open, and writes into it when it is not there any more.
fn appended() {
    let image = image();
    let path = image.root().join("etc/crictl.yaml");
    let running = begin(&image, &format!("renameat2:delay_enter={DELAY}:when=1"));
    held_up(&running);
    let mut open = OpenOptions::new().append(true).open(&path).unwrap();
    let ran = end(running);
    ran.exits(1)
        .says(&["a process has it open for writing", "run apply again"]);
    open.write_all(b"debug: true\n").unwrap();
    assert_eq!(image.read("etc/crictl.yaml"), b"timeout: 2\ndebug: true\n");
    // Also while it stays open.
    image
        .run("apply")
        .exits(1)
        .says(&["a process has it open for writing"]);
    drop(open);
    image.run("apply").exits(0);
    assert_eq!(image.read("etc/crictl.yaml"), b"timeout: 10\ndebug: true\n");
    assert!(!temporary(&image));
}

/// There was nothing, and in the last moment there is something.
fn made_meanwhile() {
    let image = image();
    let path = image.root().join("etc/crictl.yaml");
    fs::remove_file(&path).unwrap();
    let running = begin(&image, &format!("renameat2:delay_enter={DELAY}:when=1"));
    held_up(&running);
    save(&path, SAVED);
    kept(&image, &end(running));
}

fn removed_meanwhile() {
    let image = image();
    let path = image.root().join("etc/crictl.yaml");
    let running = begin(&image, &format!("renameat2:delay_enter={DELAY}:when=1"));
    held_up(&running);
    fs::remove_file(&path).unwrap();
    end(running)
        .exits(1)
        .says(&["someone else changed it while we were about to"]);
    assert!(!path.exists() && !temporary(&image));
    image.run("apply").exits(0);
}

/// Killed where the names have changed and what came out is somebody's save.
fn cut_off_with_what_was_saved() {
    let image = image();
    let path = image.root().join("etc/crictl.yaml");
    let delayed = format!("renameat2:delay_enter={DELAY}:delay_exit={DELAY}:when=1");
    let mut running = begin(&image, &delayed);
    held_up(&running);
    save(&path, SAVED);
    until(|| fs::read(&path).unwrap() == b"timeout: 10\n");
    // strace's child goes with it where it is killed while that is stopped.
    let tracee = children(running.id());
    for id in tracee {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::SIGKILL).unwrap();
    }
    running.wait().unwrap();
    assert!(temporary(&image));
    image.run("apply").exits(0);
    assert_eq!(
        String::from_utf8(image.read("etc/crictl.yaml")).unwrap(),
        BOTH
    );
    assert!(!temporary(&image));
}

fn children(of: u32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
    list.split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect()
}

/// As on a kernel or file system that can't exchange: the ordinary way, and what was saved before the
/// comparison is kept.
fn without_exchange() {
    for error in ["ENOSYS", "EINVAL"] {
        let image = image();
        end(begin(&image, &format!("renameat2:error={error}"))).exits(0);
        assert_eq!(image.read("etc/crictl.yaml"), b"timeout: 10\n");
        assert!(!temporary(&image));
    }
}

/// Two editors that add lines as fast as they can, one in place and one by renaming, while apply and
/// check run: no line of theirs is lost.
fn saved_all_the_time() {
    let image = image();
    let path = image.root().join("etc/crictl.yaml");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let lines = std::thread::scope(|scope| {
        let editor = scope.spawn(|| {
            let mut lines = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                // Appends where it is, as `echo >>` does; now and then puts our change back.
                let mut open = OpenOptions::new().append(true).open(&path).unwrap();
                writeln!(open, "# line {lines}").unwrap();
                drop(open);
                std::thread::sleep(Duration::from_micros(300));
                lines += 1;
                if lines % 5 == 0 {
                    let text = fs::read_to_string(&path).unwrap();
                    let text = text.replace("timeout: 10", "timeout: 2");
                    // In place as well: an exchange of ours meanwhile is what it would overwrite.
                    let mut open = OpenOptions::new()
                        .write(true)
                        .truncate(true)
                        .open(&path)
                        .unwrap();
                    open.write_all(text.as_bytes()).unwrap();
                }
                std::thread::sleep(Duration::from_micros(300));
            }
            lines
        });
        for _ in 0..150 {
            let ran = image.run("apply");
            assert!(matches!(ran.code, Some(0..=2)), "{ran:#?}");
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        editor.join().unwrap()
    });
    let text = fs::read_to_string(&path).unwrap();
    let kept = (0..lines)
        .filter(|line| text.contains(&format!("# line {line}\n")))
        .count();
    assert_eq!(kept, lines, "of {lines} lines {kept} were kept");
    // For RELIABILITY.md.
    eprintln!("{kept} lines kept over 150 applies");
    assert!(!temporary(&image));
    image.run("apply").exits(0);
}
