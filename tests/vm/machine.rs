//! One QEMU machine and the channel to the lab's service in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::image::Image;

/// Software emulation on a busy host takes 15 to 60 s to multi-user; beyond this it hangs.
const BOOT_LIMIT: Duration = Duration::from_secs(300);
/// No script of a scenario takes longer.
const SCRIPT_LIMIT: Duration = Duration::from_secs(120);

/// A running machine; dropping it ends it and removes its disk.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    channel: BufReader<UnixStream>,
    dir: tempfile::TempDir,
    boot_id: String,
}

/// What a script in the machine answered.
#[derive(Debug)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Machine {
    /// Boots a machine on a fresh copy-on-write disk over the image, and waits for the end of its
    /// boot.
    ///
    /// `append` are kernel arguments more.
    pub fn boot(image: &Image, append: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk.qcow2");
        let base = image.dir.join("disk.ext4");
        let mut create = Command::new("qemu-img");
        create
            .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
            .arg(base)
            .arg(&disk);
        assert!(create.status().unwrap().success(), "qemu-img: no disk");
        let socket = dir.path().join("channel");
        let qemu = qemu(image, append, dir.path(), &disk, &socket)
            .spawn()
            .expect("qemu-system-x86_64");
        let mut machine = Self {
            qemu,
            channel: connect(&socket),
            dir,
            boot_id: String::new(),
        };
        machine.wait_for_boot();
        machine
    }

    /// Runs a bash script (`-euo pipefail`) as root.
    pub fn run(&mut self, script: &str) -> Output {
        self.send(format!("run {}\n", script.len()).as_bytes());
        self.send(script.as_bytes());
        self.answer()
    }

    /// Runs a script that must succeed; its output without the final newline.
    pub fn ok(&mut self, script: &str) -> String {
        let output = self.run(script);
        assert_eq!(
            output.code, 0,
            "{script}\n{}{}",
            output.stdout, output.stderr
        );
        output.stdout.trim_end().to_owned()
    }

    /// Copies a file into the machine.
    pub fn put(&mut self, file: &Path, path: &str, mode: &str) {
        let bytes = std::fs::read(file).unwrap();
        self.send(format!("put {} {mode} {path}\n", bytes.len()).as_bytes());
        self.send(&bytes);
        assert_eq!(self.answer().code, 0, "put {path}");
    }

    /// Boots it again and waits for the end of the boot.
    pub fn reboot(&mut self) {
        let script = "systemctl reboot --no-block";
        self.send(format!("run {}\n{script}", script.len()).as_bytes());
        self.wait_for_boot();
    }

    /// The end of what the machine printed on its console.
    pub fn console(&self) -> String {
        let text = std::fs::read(self.console_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn console_path(&self) -> PathBuf {
        self.dir.path().join("console")
    }

    /// A ready line of a boot other than the last one seen.
    fn wait_for_boot(&mut self) {
        let until = Instant::now() + BOOT_LIMIT;
        while Instant::now() < until {
            let line = self.line(BOOT_LIMIT);
            if let Some(id) = line
                .strip_prefix("ready ")
                .filter(|id| **id != self.boot_id)
            {
                self.boot_id = id.to_owned();
                return;
            }
        }
        panic!("no boot in {BOOT_LIMIT:?}:\n{}", self.console());
    }

    fn answer(&mut self) -> Output {
        let line = self.line(SCRIPT_LIMIT);
        let numbers: Vec<usize> = line
            .split_whitespace()
            .skip(1)
            .map(|n| n.parse().unwrap())
            .collect();
        let [code, stdout, stderr] = numbers[..] else {
            panic!("not an answer: {line}")
        };
        let mut text = |length| {
            let mut bytes = vec![0; length];
            self.channel.read_exact(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Output {
            code: i32::try_from(code).unwrap(),
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    fn line(&mut self, limit: Duration) -> String {
        self.channel
            .get_ref()
            .set_read_timeout(Some(limit))
            .unwrap();
        let mut line = Vec::new();
        if let Err(error) = self.channel.read_until(b'\n', &mut line) {
            panic!("no answer in {limit:?} ({error}):\n{}", self.console());
        }
        assert!(!line.is_empty(), "the machine is gone:\n{}", self.console());
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.channel
            .get_mut()
            .write_all(bytes)
            .expect("the machine is gone");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn qemu(image: &Image, append: &str, dir: &Path, disk: &Path, socket: &Path) -> Command {
    let path = |path: &Path| path.display().to_string();
    // EL has it by another name, outside of PATH.
    let el = Path::new("/usr/libexec/qemu-kvm");
    let mut qemu = Command::new(if el.exists() {
        el
    } else {
        Path::new("qemu-system-x86_64")
    });
    // Software emulation everywhere: nested virtualisation is there or not, and broken at times.
    qemu.args([
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "1536",
    ])
    .args(["-nic", "none", "-display", "none", "-no-user-config"])
    .args(["-kernel", &path(&image.dir.join("vmlinuz"))])
    .args(["-initrd", &path(&image.dir.join("initrd.img"))])
    .args([
        "-append",
        &format!("root=/dev/vda rw console=ttyS0 {append}"),
    ])
    .args([
        "-drive",
        &format!("file={},if=virtio,format=qcow2,cache=unsafe", path(disk)),
    ])
    .args(["-serial", &format!("file:{}", path(&dir.join("console")))])
    .args([
        "-device",
        "virtio-serial",
        "-device",
        "virtserialport,chardev=lab,name=nodeprep.lab",
    ])
    .args([
        "-chardev",
        &format!("socket,id=lab,path={},server=on,wait=off", path(socket)),
    ])
    .stdin(Stdio::null());
    qemu
}

fn connect(socket: &Path) -> BufReader<UnixStream> {
    for _ in 0..100 {
        match UnixStream::connect(socket) {
            Ok(stream) => return BufReader::new(stream),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    panic!("QEMU opened no channel");
}
