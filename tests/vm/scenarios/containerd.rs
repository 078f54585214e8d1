//! containerd as packages ship it, as people write it, with CRI disabled, broken before us and broken
//! by what we write: each is prepared, or left as it was. What holds is asked of the daemon itself.

use serde_json::Value;

use crate::guest;
use crate::image::Image;
use crate::machine::Machine;

const CONFIG: &str = "/etc/containerd/config.toml";
const PROFILE: &str = r#"schema = "v1alpha1"
[containerd]
sandbox_image = "registry.example/pause:3.9"
systemd_cgroup = true
"#;
/// By hand, with the vendor's runtime as the default; version 2 is read by every containerd.
const NVIDIA: &str = r#"# gpu nodes - ask Ann before you change this
version = 2
oom_score = -999   # before the kubelet

[plugins."io.containerd.grpc.v1.cri".containerd]
	default_runtime_name = "nvidia"
	# made by nvidia-ctk
	[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia]
		runtime_type = "io.containerd.runc.v2"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]
			BinaryName = "/usr/bin/nvidia-container-runtime"
			SystemdCgroup = false # hm
"#;
/// Docker's packages ship this, without a version.
const DISABLED: &str = "#   Copyright\n\ndisabled_plugins = [\"cri\"]\n\n#root = \"/var/lib/containerd\"\n#[grpc]\n#  address = \"/run/containerd/containerd.sock\"\n";
const BROKEN: &str = "version = 2\n[plugins\nsandbox_image = \"x\"\n";

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    machine.ok(&format!("cat >/root/containerd.toml <<'END'\n{PROFILE}END"));
    let packaged = machine.ok(&format!("cat {CONFIG} 2>/dev/null || true"));
    prepared(&mut machine, &["runc"]);
    assert_kept(&mut machine, &packaged);
    by_hand(&mut machine);
    disabled(&mut machine);
    no_file(&mut machine);
    version_3(&mut machine);
    stopped(&mut machine);
    too_often(&mut machine);
    broken(&mut machine);
    restored(&mut machine);
    mirrors(&mut machine);
    machine.reboot();
    told(&mut machine, "check", 0);
}

/// Prepares what is there, in one apply, and asks the daemon.
fn prepared(machine: &mut Machine, runtimes: &[&str]) {
    told(machine, "check", 2);
    told(machine, "apply", 0);
    told(machine, "check", 0);
    let start = start_of(machine);
    told(machine, "apply", 0);
    assert_eq!(start, start_of(machine), "a second apply restarts nothing");
    runs_as_wanted(machine, runtimes);
}

/// The merged configuration as the daemon's own program prints it, and the plugin's state.
fn runs_as_wanted(machine: &mut Machine, runtimes: &[&str]) {
    let dump = machine.ok("containerd config dump");
    assert!(dump.contains("registry.example/pause:3.9"), "{dump}");
    // containerd 1.4 prints no options of runtimes.
    let told = match machine.ok("containerd --version").contains(" 1.4.") {
        true => machine.ok(&format!("cat {CONFIG}")),
        false => dump.clone(),
    };
    let set = told.matches("SystemdCgroup = true").count();
    assert_eq!(set, runtimes.len(), "{dump}");
    for runtime in runtimes {
        assert!(
            dump.contains(&format!("runtimes.{runtime}.options]")),
            "{dump}"
        );
    }
    let plugins =
        machine.ok("ctr plugins ls | grep -E ' cri +| images +.*cri|cri.*runtime' || true");
    assert!(
        plugins.contains("ok") && !plugins.contains("error"),
        "{plugins}"
    );
    assert_eq!(machine.ok("systemctl is-active containerd"), "active");
    assert_eq!(machine.ok("systemctl is-enabled containerd"), "enabled");
}

fn by_hand(machine: &mut Machine) {
    write(machine, NVIDIA);
    machine.ok("systemctl reset-failed containerd; systemctl restart containerd");
    prepared(machine, &["nvidia", "runc"]);
    assert_kept(machine, NVIDIA);
    let now = machine.ok(&format!("cat {CONFIG}"));
    assert!(now.contains("\t\t\tSystemdCgroup = true # hm\n"), "{now}");
}

fn disabled(machine: &mut Machine) {
    write(machine, DISABLED);
    machine.ok("systemctl reset-failed containerd; systemctl restart containerd; systemctl disable containerd 2>/dev/null");
    let report = told(machine, "check", 2);
    assert_eq!(state(&report, "cri", "live"), "differs");
    assert_eq!(state(&report, "cri", "boot"), "differs");
    prepared(machine, &["runc"]);
    assert_kept(machine, DISABLED);
}

fn no_file(machine: &mut Machine) {
    machine.ok(&format!(
        "rm {CONFIG}; systemctl reset-failed containerd; systemctl restart containerd"
    ));
    prepared(machine, &["runc"]);
}

/// A daemon that speaks it gets the keys where version 3 has them; an older one would not start
/// with such a file, and is told so.
fn version_3(machine: &mut Machine) {
    let version = machine.ok("containerd --version");
    let two = version.contains(" 2.") || version.contains(" v2.");
    write(machine, "version = 3\n# ours\n[debug]\n  level = 'info'\n");
    if two {
        machine.ok("systemctl reset-failed containerd; systemctl restart containerd");
        prepared(machine, &["runc"]);
        let now = machine.ok(&format!("cat {CONFIG}"));
        assert!(
            now.contains("\"io.containerd.cri.v1.images\".pinned_images]"),
            "{now}"
        );
        return;
    }
    let report = told(machine, "check", 1);
    let cause = report["entries"][0]["boot"]["reason"].as_str().unwrap();
    assert!(cause.contains("config.toml is version 3"), "{cause}");
    told(machine, "apply", 1);
    assert_eq!(machine.ok(&format!("head -n 1 {CONFIG}")), "version = 3");
}

fn stopped(machine: &mut Machine) {
    write(machine, NVIDIA);
    machine.ok("systemctl stop containerd; systemctl disable containerd 2>/dev/null");
    let report = told(machine, "check", 2);
    assert_eq!(state(&report, "service", "live"), "differs");
    assert_eq!(state(&report, "service", "boot"), "differs");
    prepared(machine, &["nvidia", "runc"]);
}

/// systemd has counted so many starts that it refuses the next.
fn too_often(machine: &mut Machine) {
    write(machine, NVIDIA);
    const LIMIT: &str = "/run/systemd/system/containerd.service.d/limit.conf";
    machine.ok(&format!(
        "mkdir -p $(dirname {LIMIT}); printf '[Unit]\\nStartLimitIntervalSec=1h\\n' >{LIMIT}; \
         systemctl daemon-reload; for i in 1 2 3 4 5 6; do systemctl restart containerd || true; done"
    ));
    assert_ne!(machine.run("systemctl restart containerd").code, 0);
    prepared(machine, &["nvidia", "runc"]);
    machine.ok(&format!("rm {LIMIT}; systemctl daemon-reload"));
}

/// Text that is broken is left alone, and a daemon that runs goes on.
fn broken(machine: &mut Machine) {
    write(machine, BROKEN);
    let start = start_of(machine);
    for command in ["check", "apply"] {
        let report = told(machine, command, 1);
        let cause = report["entries"][0]["boot"]["reason"].as_str().unwrap();
        assert!(
            cause.starts_with(&format!("{CONFIG}:2 is no TOML")),
            "{cause}"
        );
    }
    assert_eq!(machine.ok(&format!("cat {CONFIG}")), BROKEN.trim_end());
    assert_eq!(start, start_of(machine));
}

/// A table of CRI that makes no sense to the daemon: CRI was off, enabling it brings no CRI back.
fn restored(machine: &mut Machine) {
    // The first is no text: the daemon ends, the second no time: it runs without CRI.
    for timeout in ["5", "\"soon\""] {
        restored_from(machine, timeout);
    }
}

fn restored_from(machine: &mut Machine, timeout: &str) {
    let bad = format!(
        "disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \
         \"io.containerd.cri.v1.runtime\"]\n{NVIDIA}\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  \
         stream_idle_timeout = {timeout}\n"
    );
    write(machine, &bad);
    machine.ok("systemctl reset-failed containerd; systemctl restart containerd");
    let report = told(machine, "apply", 1);
    let failed = entry(&report, "cri");
    assert_eq!(failed["outcome"], "failed", "{report:#}");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("is as it was"), "{error}");
    eprintln!("  {error}");
    assert_eq!(machine.ok(&format!("cat {CONFIG}")), bad.trim_end());
    assert_eq!(machine.ok("systemctl is-active containerd"), "active");
}

fn mirrors(machine: &mut Machine) {
    write(machine, NVIDIA);
    machine.ok(
        "printf '[containerd.mirrors.\"docker.io\"]\\nserver = \"https://registry-1.docker.io\"\\nendpoints = [\"https://mirror.example\"]\\n' >>/root/containerd.toml; systemctl reset-failed containerd; systemctl restart containerd",
    );
    if machine.ok("containerd --version").contains(" 1.4") {
        let report = told(machine, "check", 2);
        assert_eq!(state(&report, "config_path", "boot"), "blocked");
        machine.ok("sed -i '/mirrors/,$d' /root/containerd.toml");
        return prepared(machine, &["nvidia", "runc"]);
    }
    prepared(machine, &["nvidia", "runc"]);
    let dump = machine.ok("containerd config dump | grep config_path");
    assert!(dump.contains("/etc/containerd/certs.d"), "{dump}");
    let hosts = machine.ok("cat /etc/containerd/certs.d/docker.io/hosts.toml");
    assert!(
        hosts.contains("[host.\"https://mirror.example\"]"),
        "{hosts}"
    );
}

fn write(machine: &mut Machine, text: &str) {
    machine.ok(&format!("cat >{CONFIG} <<'END'\n{text}END"));
}

/// Every line of the old text but values of ours is in the new one, in order.
fn assert_kept(machine: &mut Machine, old: &str) {
    let new = machine.ok(&format!("cat {CONFIG}"));
    let mut left = new.lines();
    let ours = ["SystemdCgroup", "disabled_plugins"];
    for line in old
        .lines()
        .filter(|line| ours.iter().all(|key| !line.contains(key)))
    {
        assert!(left.any(|new| new == line), "{line:?} is lost:\n{new}");
    }
}

/// When containerd was last started.
fn start_of(machine: &mut Machine) -> String {
    machine.ok("systemctl show containerd -p ExecMainStartTimestampMonotonic")
}

/// Runs the program on the scenario's profile, looks at its exit code, and returns its report.
fn told(machine: &mut Machine, command: &str, code: i32) -> Value {
    let output = machine.run(&format!(
        "nodeprep {command} /root/containerd.toml --output json"
    ));
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    assert_eq!(output.code, code, "{command}:\n{stdout}{stderr}");
    serde_json::from_str(stdout).expect("a json report")
}

fn entry<'a>(report: &'a Value, subject: &str) -> &'a Value {
    let mut entries = report["entries"].as_array().unwrap().iter();
    let entry = entries.find(|entry| entry["subject"] == subject);
    entry.unwrap_or_else(|| panic!("no {subject}: {report:#}"))
}

fn state(report: &Value, subject: &str, aspect: &str) -> String {
    entry(report, subject)[aspect]["state"]
        .as_str()
        .unwrap()
        .to_owned()
}
