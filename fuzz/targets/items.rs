//! The items that edit files, each on hosts made of the files it reads.

use super::host::{Case, File, Keeps};

/// A kernel and its modules, so that what a module brings is not the question.
const KERNEL: [File; 6] = [
    ("/proc/sys/kernel/osrelease", "6.1.0\n"),
    ("/boot/vmlinuz-6.1.0", ""),
    ("/lib", "-> usr/lib"),
    ("/lib/modules/6.1.0/", ""),
    (
        "/lib/modules/6.1.0/modules.dep",
        "k/br_netfilter.ko: k/bridge.ko\nk/bridge.ko:\nk/nf_conntrack.ko:\n",
    ),
    ("/etc/modules-load.d/a.conf", "br_netfilter\nnf_conntrack\n"),
];

pub fn swap(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &["[swap]\nstate = \"off\"\n"],
        fuzzed: &[
            "/etc/fstab",
            "/proc/swaps",
            "/usr/lib/systemd/zram-generator.conf",
            "/etc/systemd/zram-generator.conf.d/a.conf",
            "/proc/cmdline",
            "/run/udev/data/b8:5",
            "/proc/self/mountinfo",
        ],
        fixed: &[
            ("/usr/lib/systemd/system-generators/zram-generator", ""),
            (
                "/usr/lib/systemd/system-generators/systemd-gpt-auto-generator",
                "",
            ),
            ("/usr/lib/systemd/libsystemd-shared-252.so", ""),
            ("/sys/dev/block/8:1", "-> ../sda/sda1"),
            ("/sys/dev/block/../sda/sda1/partition", "1\n"),
            ("/sys/dev/block/../sda/sda5/", ""),
            ("/sys/dev/block/../sda/sda5/dev", "8:5\n"),
        ],
        keeps: Keeps::Everything,
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn selinux(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[selinux]\nstate = \"disabled\"\n",
            "[selinux]\nstate = \"permissive\"\n",
            "[selinux]\nstate = \"enforcing\"\n",
        ],
        fuzzed: &[
            "/etc/selinux/config",
            "/proc/cmdline",
            "/boot/grub2/grub.cfg",
            "/boot/loader/entries/a-6.1.0.conf",
            "/boot/grub2/grubenv",
            "/etc/default/grub",
            "/etc/default/grub.d/b.cfg",
            "/sys/fs/selinux/enforce",
            "/sys/kernel/security/lsm",
            "/boot/config-6.1.0",
        ],
        fixed: &KERNEL,
        keeps: Keeps::Lines(|line| line.starts_with(b"SELINUX=")),
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn modules(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[modules]\nload = [\"br_netfilter\", \"overlay\", \"nf_conntrack_ipv4\", \"ip-vs\"]\n",
        ],
        fuzzed: &[
            "/etc/modules-load.d/kubernetes.conf",
            "/usr/lib/modules-load.d/b.conf",
            "/etc/modprobe.d/c.conf",
            "/proc/cmdline",
            "/lib/modules/6.1.0/modules.dep",
            "/lib/modules/6.1.0/modules.builtin",
            "/sys/module/overlay/initstate",
            "/etc/default/grub",
        ],
        fixed: &[KERNEL[0], KERNEL[1], KERNEL[2], KERNEL[3]],
        keeps: Keeps::Lines(is_of_conntrack),
        theirs: &[],
    };
    CASE.settles(input);
}

/// Whether a line names the module that kernels call by two names.
fn is_of_conntrack(line: &[u8]) -> bool {
    String::from_utf8_lossy(line).contains("conntrack")
}

pub fn sysctl(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[sysctl.keys]\n\"net.ipv4.ip_forward\" = 1\n\"vm.swappiness\" = 0\n\
             \"net.ipv4.conf.eth0/1.rp_filter\" = 2\n\"net.ipv4.tcp_rmem\" = \"4096 87380 6291456\"\n\
             \"net.netfilter.nf_conntrack_max\" = { at_least = 131072 }\n\
             \"fs.inotify.max_user_watches\" = { at_least = 1048576 }\n\"fs.nr_open\" = { at_least = 9 }\n",
            "[sysctl.keys]\n\"net.ipv4.conf.all.forwarding\" = 1\n\"net.ipv4.ip_forward\" = 1\n\
             \"user.max_inotify_watches\" = 5\n",
        ],
        fuzzed: &[
            "/etc/sysctl.d/kubernetes.conf",
            "/etc/sysctl.d/zz-site.conf",
            "/etc/sysctl.d/zzz-nodeprep.conf",
            "/etc/sysctl.d/zzzz.conf",
            "/usr/lib/sysctl.d/50-default.conf",
            "/etc/ufw/ufw.conf",
            "/etc/default/ufw",
            "/etc/ufw/sysctl.conf",
            "/etc/tuned/active_profile",
            "/etc/tuned/tuned-main.conf",
            "/etc/tuned/a/tuned.conf",
            "/etc/sysctl.conf",
            "/proc/sys/fs/inotify/max_user_watches",
        ],
        fixed: &[
            KERNEL[0],
            KERNEL[1],
            KERNEL[2],
            KERNEL[3],
            KERNEL[4],
            KERNEL[5],
            ("/proc/sys/net/ipv4/ip_forward", "0\n"),
            ("/proc/sys/net/ipv4/conf/all/forwarding", "0\n"),
            ("/proc/sys/vm/swappiness", "60\n"),
            ("/proc/sys/net/ipv4/conf/eth0.1/rp_filter", "1\n"),
            ("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
            ("/proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
            ("/proc/sys/fs/inotify/max_user_watches", "8192\n"),
            ("/proc/sys/user/max_inotify_watches", "8192\n"),
            ("/proc/sys/fs/nr_open", "1048576\n"),
            ("/usr/lib/systemd/libsystemd-shared-252.so", ""),
            ("/usr/lib/systemd/system/tuned.service", ""),
            ("/etc/systemd/system/multi-user.target.wants/", ""),
            (
                "/etc/systemd/system/multi-user.target.wants/tuned.service",
                "",
            ),
        ],
        keeps: Keeps::Lines(names_a_key),
        theirs: &[],
    };
    CASE.settles(input);
}

/// Whether a line of sysctl.d is about one of the profiles' keys, or blank.
fn names_a_key(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let names = [
        "forward",
        "swappiness",
        "rp_filter",
        "tcp_rmem",
        "nf_conntrack_max",
        "inotify",
        "nr_open",
    ];
    names.iter().any(|name| line.contains(name)) || line.trim().is_empty()
}

pub fn journald(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[journald.keys]\nStorage = \"persistent\"\nCompress = true\nSyncIntervalSec = \"5m\"\n\
             RateLimitInterval = \"30s\"\nRateLimitBurst = 1000\nSystemMaxUse = \"10G\"\n\
             MaxRetentionSec = \"2week\"\nForwardToSyslog = false\n",
        ],
        fuzzed: &[
            "/etc/systemd/journald.conf.d/99-kubernetes.conf",
            "/etc/systemd/journald.conf",
            "/etc/systemd/journald.conf.d/zz.conf",
            "/etc/systemd/journald.conf.d/zzz-nodeprep.conf",
            "/etc/systemd/journald.conf.d/zzzz.conf",
            "/usr/lib/systemd/journald.conf.d/syslog.conf",
            "/proc/cmdline",
            "/sys/fs/cgroup/system.slice/systemd-journald.service/cgroup.procs",
            "/proc/237/stat",
            "/proc/stat",
            "/etc/machine-id",
        ],
        fixed: &[],
        keeps: Keeps::Lines(|line| {
            line.contains(&b'=') || line.contains(&b'\\') || line.starts_with(b"#")
        }),
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn containerd(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[containerd]\nsandbox_image = \"registry.k8s.io/pause:3.10.1\"\nsystemd_cgroup = true\n",
            "[containerd]\nsystemd_cgroup = false\n[containerd.mirrors.\"docker.io\"]\n\
             endpoints = [\"https://mirror.example\"]\n",
        ],
        fuzzed: &[
            "/etc/containerd/config.toml",
            "/etc/containerd/conf.d/a.toml",
            "/var/lib/dpkg/status",
            "/etc/systemd/system/containerd.service.d/b.conf",
            "/etc/containerd/certs.d/docker.io/hosts.toml",
        ],
        fixed: &[(
            "/usr/lib/systemd/system/containerd.service",
            "[Service]\nExecStart=/usr/bin/containerd\n[Install]\nWantedBy=multi-user.target\n",
        )],
        keeps: Keeps::Tested,
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn crictl(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[crictl]\nruntime-endpoint = \"unix:///run/containerd/containerd.sock\"\ntimeout = 10\ndebug = false\n",
        ],
        fuzzed: &["/etc/crictl.yaml", "/etc/environment"],
        fixed: &[],
        keeps: Keeps::Lines(|line| {
            let line = String::from_utf8_lossy(line);
            ["runtime-endpoint", "timeout", "debug"]
                .iter()
                .any(|name| line.contains(name))
        }),
        theirs: &[],
    };
    CASE.settles(input);
}
