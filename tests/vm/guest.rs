//! What scenarios do with the program in a machine, and what they look at without it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

use crate::image::Image;
use crate::machine::{Hardware, Machine};
use crate::program;

/// The profile of the scenarios, and a control plane's: as they are shipped, but for what a machine
/// without a network can't have: images from a registry, the time from a server, a name server, and a
/// kubelet.
pub const PROFILE: &str = r#"kubeadm-worker --set 'remove=["images", "time", "dns", "kubelet"]'"#;
pub const CONTROL_PLANE: &str =
    r#"kubeadm-control-plane --set 'remove=["images", "time", "dns", "kubelet"]'"#;

/// An nftables firewall that lets ssh in and nothing else.
pub const NFTABLES: &str = "cat >/etc/nftables.conf <<'END'
flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iif lo accept
		tcp dport 22 accept
	}
}
END
systemctl enable -q --now nftables";

/// What runs in the machines that were booted, by suite.
pub static VERSIONS: Mutex<BTreeMap<&str, String>> = Mutex::new(BTreeMap::new());

/// Boots a machine with the program in it.
pub fn boot(image: &Image) -> Machine {
    boot_with(image, Hardware::DEFAULT)
}

/// The same, of other hardware.
pub fn boot_with(image: &Image, hardware: Hardware) -> Machine {
    let mut machine = Machine::boot(image, hardware);
    machine.put(program::path(), "/usr/local/bin/nodeprep", "755");
    let mut versions = VERSIONS.lock().unwrap();
    versions.entry(image.suite).or_insert_with(|| {
        machine.ok(
            "echo Linux $(uname -r), $(systemctl --version | sed 's/ (.*//;q'), \
             containerd $(dpkg-query -f '${Version}' -W containerd)",
        )
    });
    drop(versions);
    machine
}

/// A json report of the program.
#[derive(Debug)]
pub struct Report(Value);

impl Report {
    /// Runs the program and expects an exit code.
    pub fn of(machine: &mut Machine, command: &str, code: i32) -> Self {
        Self::with(machine, command, PROFILE, code)
    }

    /// The same with another profile.
    pub fn with(machine: &mut Machine, command: &str, profile: &str, code: i32) -> Self {
        let output = machine.run(&format!("nodeprep {command} {profile} --output json"));
        let Ok(report) = serde_json::from_str(&output.stdout) else {
            panic!("{command}: no report: {}{}", output.stdout, output.stderr)
        };
        let report = Self(report);
        let found = [output.code.into(), report.0["exit_code"].clone()];
        let expected: [Value; 2] = [code.into(), code.into()];
        assert_eq!(
            found,
            expected,
            "{command}: {}{}",
            report.rest(),
            output.stderr
        );
        report
    }

    /// What is not as wanted and what failed, a line each.
    fn rest(&self) -> String {
        let fine = ["in_sync", "fixed", "not_applicable"];
        let rest = self
            .entries()
            .filter(|entry| !fine.contains(&text(&entry["outcome"])));
        let trouble = self.0["trouble"].as_array().into_iter().flatten();
        let lines = rest.chain(trouble).map(|line| format!("{line}\n"));
        lines.collect()
    }

    /// Subjects with this outcome, as `item subject`.
    pub fn subjects(&self, outcome: &str) -> Vec<String> {
        let with = |entry: &&Value| entry["outcome"] == outcome;
        let name = |entry: &Value| format!("{} {}", text(&entry["item"]), text(&entry["subject"]));
        self.entries().filter(with).map(name).collect()
    }

    /// One aspect of a subject: its state, and its origin if it has one.
    pub fn aspect(&self, subject: &str, aspect: &str) -> (String, String) {
        let named = |entry: &&Value| {
            subject == format!("{} {}", text(&entry["item"]), text(&entry["subject"]))
        };
        let entry = self
            .entries()
            .find(named)
            .unwrap_or_else(|| panic!("no {subject}"));
        (
            text(&entry[aspect]["state"]).to_owned(),
            text(&entry[aspect]["origin"]).to_owned(),
        )
    }

    /// Why something for a subject failed.
    pub fn error(&self, subject: &str) -> String {
        let named = |entry: &&Value| {
            subject == format!("{} {}", text(&entry["item"]), text(&entry["subject"]))
        };
        let entry = self.entries().find(named);
        text(&entry.unwrap_or_else(|| panic!("no {subject}"))["error"]).to_owned()
    }

    /// The steps, in words.
    pub fn steps(&self) -> Vec<&str> {
        self.0["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| text(&step["text"]))
            .collect()
    }

    fn entries(&self) -> impl Iterator<Item = &Value> {
        self.0["entries"].as_array().unwrap().iter()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Every file of the root file system with its change time and size, but the program's own state
/// (with the two directories it is in) and what the system writes by itself.
pub fn files(machine: &mut Machine) -> BTreeMap<String, String> {
    let list = machine.ok(
        r"find / -xdev \( -path /var/lib/nodeprep -o -path /var/log -o -path /var/lib/systemd \
          -o -path /var/lib/containerd -o -path /var/tmp -o -path /tmp -o -path /root \) -prune -o -path /run -o -path /var/lib \
          -o -printf '%p %C@ %s %m\n'",
    );
    let split = |line: &str| {
        line.split_once(' ')
            .map(|(path, rest)| (path.to_owned(), rest.to_owned()))
    };
    list.lines().filter_map(split).collect()
}

/// Paths that differ between two lists of files, directories left out where a file in them differs.
pub fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let all = before
        .keys()
        .chain(after.keys().filter(|path| !before.contains_key(*path)));
    let paths: Vec<&String> = all
        .filter(|path| before.get(*path) != after.get(*path))
        .collect();
    let holds = |dir: &String| {
        paths
            .iter()
            .any(|path| path.starts_with(&format!("{dir}/")))
    };
    let mut changed: Vec<String> = paths
        .iter()
        .filter(|path| !holds(path))
        .map(|p| (*p).clone())
        .collect();
    changed.sort();
    changed
}

/// When each service was last started.
pub fn start_times(machine: &mut Machine) -> String {
    machine.ok("systemctl show '*.service' -p Id -p ExecMainStartTimestampMonotonic | grep -v '=0$' | sort")
}
