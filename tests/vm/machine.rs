//! One QEMU machine and the channel to the lab's service in it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::image::Image;

/// Software emulation on a busy host takes 15 to 60 s to multi-user; beyond this it hangs.
const BOOT_LIMIT: Duration = Duration::from_secs(600);
/// No script of a scenario takes longer.
const SCRIPT_LIMIT: Duration = Duration::from_secs(300);

/// A power-off stops every service first.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(300);

/// How often a machine that is silent is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What a machine is made of, beside its image.
#[derive(Debug, Clone, Copy)]
pub struct Hardware {
    /// Kernel arguments more, for a start without a boot loader.
    pub arguments: &'static str,
    /// Memory, MiB.
    pub memory: u32,
    /// A second, empty disk (/dev/vdb) of so many MiB.
    pub second_disk: Option<u32>,
    /// Every write to the first disk is logged, see [`Machine::log`].
    pub recorded: bool,
}

impl Hardware {
    /// What most scenarios need: Debian with containerd takes a third of the memory.
    pub const DEFAULT: Self = Self {
        arguments: "",
        memory: 1536,
        second_disk: None,
        recorded: false,
    };
}

/// Who loads the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// QEMU, the one beside the image; as fast as it gets.
    Qemu,
    /// What is installed on the disk.
    Disk,
}

/// A running machine; dropping it ends it and removes its disks.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    channel: BufReader<UnixStream>,
    dir: tempfile::TempDir,
    image: Image,
    hardware: Hardware,
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
    pub fn boot(image: &Image, hardware: Hardware) -> Self {
        Self::boot_from(image, &image.disk(), hardware)
    }

    /// The same on a disk over another one (raw), which must stay as it is.
    pub fn boot_from(image: &Image, disk: &Path, hardware: Hardware) -> Self {
        let dir = tempfile::tempdir().unwrap();
        create_disk(&dir.path().join(DISKS[0]), Some(disk), None);
        if hardware.second_disk.is_some() {
            create_disk(&dir.path().join(DISKS[1]), None, hardware.second_disk);
        }
        let qemu = start(image, hardware, dir.path(), Loader::Qemu);
        let mut machine = Self {
            qemu,
            channel: connect(dir.path()),
            dir,
            image: image.clone(),
            hardware,
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

    /// Shuts it down and waits until it is off.
    pub fn power_off(&mut self) {
        let script = "systemctl poweroff --no-block";
        self.send(format!("run {}\n{script}", script.len()).as_bytes());
        self.wait_for_end();
    }

    /// Stops it between two instructions; QEMU closes its files in order.
    pub fn stop(&mut self) {
        let qemu = Pid::from_raw(i32::try_from(self.qemu.id()).unwrap());
        nix::sys::signal::kill(qemu, Signal::SIGTERM).unwrap();
        self.wait_for_end();
    }

    /// The log of all that was written to a recorded disk since it was powered on.
    pub fn log(&self) -> PathBuf {
        self.dir.path().join(LOG)
    }

    /// Its first disk, a qcow2 file.
    pub fn disk(&self) -> PathBuf {
        self.dir.path().join(DISKS[0])
    }

    fn wait_for_end(&mut self) {
        let until = Instant::now() + POWER_OFF_LIMIT;
        while self.qemu.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "still on:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Boots a machine that is off, with the disks it has.
    pub fn power_on(&mut self, loader: Loader) {
        self.qemu = start(&self.image, self.hardware, self.dir.path(), loader);
        self.channel = connect(self.dir.path());
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
        self.dir.path().join(CONSOLE)
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

    /// The next line; a machine whose kernel has panicked is not waited for.
    fn line(&mut self, limit: Duration) -> String {
        let until = Instant::now() + limit;
        let mut line = Vec::new();
        self.wait_for(LOOK);
        while let Err(error) = self.channel.read_until(b'\n', &mut line) {
            let console = self.console();
            assert!(
                Instant::now() < until && !console.contains("Kernel panic"),
                "no answer in {limit:?} ({error}):\n{console}"
            );
        }
        self.wait_for(limit);
        assert!(!line.is_empty(), "the machine is gone:\n{}", self.console());
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    fn wait_for(&self, limit: Duration) {
        let socket = self.channel.get_ref();
        socket.set_read_timeout(Some(limit)).unwrap();
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

/// Files of a machine's directory.
const DISKS: [&str; 2] = ["disk.qcow2", "second.qcow2"];
const CHANNEL: &str = "channel";
const CONSOLE: &str = "console";
const LOG: &str = "log";

/// A disk over a base of its size, or an empty one of so many MiB.
fn create_disk(disk: &Path, base: Option<&Path>, size: Option<u32>) {
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2"]);
    if let Some(base) = base {
        create.args(["-F", "raw", "-b"]).arg(base);
    }
    create.arg(disk);
    create.args(size.map(|size| format!("{size}M")));
    assert!(create.status().unwrap().success(), "qemu-img: no disk");
}

fn start(image: &Image, hardware: Hardware, dir: &Path, loader: Loader) -> Child {
    let _ = std::fs::remove_file(dir.join(CHANNEL)); // of the start before
    // A machine must not outlive a test that was killed; nothing else would end it.
    let mut qemu = Command::new("setpriv");
    qemu.args(["--pdeathsig", "KILL"]).arg(program());
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", CPU, "-smp", "2"])
        .args(["-m", &hardware.memory.to_string()])
        .args(["-nic", "none", "-display", "none", "-no-user-config"])
        .arg("-serial")
        .arg(format!("file:{}", dir.join(CONSOLE).display()))
        .args(["-device", "virtio-serial"])
        .args(["-device", "virtserialport,chardev=lab,name=nodeprep.lab"])
        .arg("-chardev")
        .arg(format!(
            "socket,id=lab,path={},server=on,wait=off",
            dir.join(CHANNEL).display()
        ));
    for (disk, name) in DISKS.iter().map(|name| (dir.join(name), name)) {
        if hardware.recorded && *name == DISKS[0] {
            for node in logging_nodes("qcow2", &disk, &dir.join(LOG)) {
                qemu.args(["-blockdev", &node]);
            }
            qemu.args(["-device", "virtio-blk-pci,drive=recorded"]);
        } else if disk.exists() {
            let disk = disk.display();
            qemu.arg("-drive")
                .arg(format!("file={disk},if=virtio,format=qcow2,cache=unsafe"));
        }
    }
    if loader == Loader::Qemu {
        qemu.arg("-kernel").arg(image.dir.join("vmlinuz"));
        qemu.arg("-initrd").arg(image.dir.join("initrd.img"));
        qemu.arg("-append").arg(format!(
            "root=/dev/vda1 rw {ARGUMENTS} {}",
            hardware.arguments
        ));
    }
    qemu.stdin(Stdio::null()).spawn().expect("setpriv and QEMU")
}

/// QEMU's nodes for a disk whose writes and flushes are logged, the last being `recorded`. None of the
/// files need outlive this host.
pub fn logging_nodes(format: &str, disk: &Path, log: &Path) -> [String; 4] {
    std::fs::write(log, "").unwrap();
    let (disk, log) = (disk.display(), log.display());
    [
        format!("driver=file,filename={disk},node-name=file,cache.no-flush=on"),
        format!("driver={format},file=file,node-name=disk,cache.no-flush=on"),
        format!("driver=file,filename={log},node-name=log,cache.no-flush=on"),
        "driver=blklogwrites,file=disk,log=log,log-sector-size=512,node-name=recorded".into(),
    ]
}

/// All that software emulation has, but cmpxchg16b: with it kernels from 6.12 on double-fault at
/// times under QEMU 7.2 with two processors.
const CPU: &str = "max,-cx16";

/// Kernel arguments that every machine needs here. no_timer_check: on a busy host the kernel sees too
/// few ticks in the time it counts them, and panics: "IO-APIC + timer doesn't work".
pub const ARGUMENTS: &str = "console=ttyS0 no_timer_check";

/// Software emulation everywhere: nested virtualisation is there or not, and broken at times.
fn program() -> &'static Path {
    // EL has it by another name, outside of PATH.
    let el = Path::new("/usr/libexec/qemu-kvm");
    if el.exists() {
        el
    } else {
        Path::new("qemu-system-x86_64")
    }
}

fn connect(dir: &Path) -> BufReader<UnixStream> {
    for _ in 0..100 {
        match UnixStream::connect(dir.join(CHANNEL)) {
            Ok(stream) => return BufReader::new(stream),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    panic!("QEMU opened no channel");
}
