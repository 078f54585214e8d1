//! The rest of a node's preparation, each item on hosts made of the files it reads.

use super::host::{Case, File, Keeps};

/// Two daemons that write resolv.conf and look after interfaces, both running.
const DAEMONS: [File; 6] = [
    (
        "/sys/fs/cgroup/system.slice/NetworkManager.service/cgroup.procs",
        "5\n",
    ),
    (
        "/sys/fs/cgroup/system.slice/systemd-networkd.service/cgroup.procs",
        "6\n",
    ),
    (
        "/usr/lib/systemd/system/NetworkManager.service",
        "[Service]\nExecStart=/n\n",
    ),
    (
        "/usr/lib/systemd/system/systemd-networkd.service",
        "[Service]\nExecStart=/d\n",
    ),
    ("/proc/sys/kernel/osrelease", "6.1.0\n"),
    ("/usr/sbin/dhclient", ""),
];
/// A kernel that the next boot takes.
const KERNEL: [File; 3] = [
    ("/proc/sys/kernel/osrelease", "6.1.0\n"),
    ("/boot/vmlinuz-6.1.0", ""),
    ("/lib/modules/6.1.0/", ""),
];

pub fn hosts(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[hostname]\nname = \"k8s-1\"\n[hosts.entries]\n\"192.0.2.10\" = [\"m1\", \"api.example\"]\n\"::2\" = \"six\"\n",
            "[hostname]\n[hosts]\nown_address = \"192.0.2.7\"\n",
        ],
        fuzzed: &[
            "/etc/hosts",
            "/etc/hostname",
            "/etc/nsswitch.conf",
            "/etc/cloud/cloud.cfg",
            "/etc/cloud/cloud.cfg.d/a.cfg",
            "/proc/sys/kernel/hostname",
        ],
        fixed: &[],
        keeps: Keeps::Tested,
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn dns(input: &[u8]) {
    const PROFILES: &[&str] = &[
        "[dns]\nnameservers = [\"192.0.2.53\", \"::53\"]\nsearch = [\"a.example\", \"b\"]\n",
        "[dns]\nnameservers = [\"192.0.2.53\"]\n",
        "[dns]\nsearch = [\"a.example\"]\n",
        "[dns]\n",
    ];
    const FUZZED: &[&str] = &[
        "/etc/resolv.conf",
        "/var/lib/kubelet/config.yaml",
        "/etc/network/interfaces",
        "/etc/NetworkManager/conf.d/zzz-nodeprep-dns.conf",
    ];
    const PLAIN: Case = Case {
        profiles: PROFILES,
        fuzzed: FUZZED,
        fixed: &[],
        keeps: Keeps::Lines(is_of_resolver),
        theirs: &[],
    };
    const MANAGED: Case = Case {
        profiles: PROFILES,
        fuzzed: FUZZED,
        fixed: &DAEMONS,
        keeps: Keeps::Lines(is_of_resolver),
        theirs: &[],
    };
    PLAIN.settles(input);
    MANAGED.settles(input);
}

/// Whether a line is about what the profiles ask for.
fn is_of_resolver(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let names = ["nameserver", "search", "domain", "servers", "[", "\\"];
    names.iter().any(|name| line.contains(name))
}

pub fn network_manager(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[network_manager]\n",
            "[network_manager]\nunmanaged = [\"cali*\", \"eth?\"]\n",
        ],
        fuzzed: &[
            "/etc/NetworkManager/NetworkManager.conf",
            "/etc/NetworkManager/conf.d/50-a.conf",
            "/etc/NetworkManager/conf.d/zzz-nodeprep.conf",
            "/etc/NetworkManager/conf.d/zzzz.conf",
            "/usr/lib/NetworkManager/conf.d/b.conf",
            "/etc/systemd/network/10-c.network",
            "/etc/systemd/network/00-nodeprep.network",
            "/usr/lib/systemd/network/80-d.network",
        ],
        fixed: &DAEMONS,
        keeps: Keeps::Tested,
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn limits(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[limits.\"containerd.service\"]\nLimitNOFILE = \"65536:131072\"\nLimitNPROC = \"infinity\"\nTasksMax = 4000\n",
        ],
        fuzzed: &[
            "/usr/lib/systemd/system/containerd.service",
            "/etc/systemd/system/containerd.service.d/a.conf",
            "/etc/systemd/system/containerd.service.d/zzz-nodeprep-limits.conf",
            "/etc/systemd/system/service.d/b.conf",
            "/proc/5/limits",
            "/proc/5/stat",
            "/sys/fs/cgroup/system.slice/containerd.service/pids.max",
            "/proc/sys/fs/nr_open",
        ],
        fixed: &[(
            "/sys/fs/cgroup/system.slice/containerd.service/cgroup.procs",
            "5\n",
        )],
        keeps: Keeps::Tested,
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn kernel(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[kernel]\nminimum = \"5.4\"\nconfiguration = true\narguments = [\"selinux=0\", \"a=b\"]\nabsent = [\"quiet\", \"c=d\"]\n[cgroups]\nversion = 2\n",
            "[cgroups]\ncontrollers = [\"memory\", \"cpu\"]\n",
        ],
        fuzzed: &[
            "/proc/cmdline",
            "/boot/grub/grub.cfg",
            "/boot/grub2/grubenv",
            "/boot/loader/entries/a-6.1.0.conf",
            "/etc/default/grub",
            "/etc/default/grub.d/b.cfg",
            "/boot/config-6.1.0",
            "/proc/cgroups",
            "/sys/fs/cgroup/cgroup.controllers",
        ],
        fixed: &KERNEL,
        keeps: Keeps::Lines(has_arguments),
        theirs: &[],
    };
    CASE.settles(input);
}

/// Whether a line is one of kernel arguments; GRUB's environment is filled up with `#`.
fn has_arguments(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let names = [
        "linux",
        "options",
        "GRUB_CMDLINE",
        "kernelopts",
        "saved_entry",
        "##",
    ];
    names.iter().any(|name| line.contains(name))
}

pub fn kubelet(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[kubelet]\nversion = \"1.34\"\ncgroup_driver = \"systemd\"\nargs = { node-ip = \"192.0.2.7\", v = \"2\" }\n",
        ],
        fuzzed: &[
            "/etc/default/kubelet",
            "/etc/sysconfig/kubelet",
            "/usr/lib/systemd/system/kubelet.service",
            "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
            "/var/lib/kubelet/kubeadm-flags.env",
            "/var/lib/kubelet/config.yaml",
            "/var/lib/dpkg/status",
        ],
        fixed: &[],
        keeps: Keeps::Lines(|line| {
            let line = String::from_utf8_lossy(line);
            line.contains("KUBELET_EXTRA_ARGS") || line.contains('\\')
        }),
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn services(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[services]\na = \"enabled\"\n\"d@1\" = { boot = \"enabled\" }\n",
            "[services]\nb = \"disabled\"\n\"c.timer\" = \"masked\"\n",
        ],
        fuzzed: &[
            "/usr/lib/systemd/system/a.service",
            "/etc/systemd/system/b.service",
            "/usr/lib/systemd/system/b.socket",
            "/usr/lib/systemd/system/c.timer",
            "/usr/lib/systemd/system/d@.service",
            "/etc/systemd/system/a.service.d/e.conf",
        ],
        fixed: &[
            ("/etc/systemd/system/", ""),
            ("/etc/systemd/system/multi-user.target.wants/", ""),
            ("/etc/systemd/system/sockets.target.wants/", ""),
            (
                "/etc/systemd/system/multi-user.target.wants/b.service",
                "-> /etc/systemd/system/b.service",
            ),
            (
                "/etc/systemd/system/sockets.target.wants/b.socket",
                "-> /usr/lib/systemd/system/b.socket",
            ),
        ],
        keeps: Keeps::Tested,
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn time(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[time]\nzone = \"Asia/Shanghai\"\nrtc = \"utc\"\nsynchronised = true\n",
            "[time]\nrtc = \"local\"\n",
        ],
        fuzzed: &[
            "/etc/adjtime",
            "/etc/timezone",
            "/usr/lib/systemd/system/chrony.service",
            "/usr/lib/systemd/system/systemd-timesyncd.service",
            "/sys/class/rtc/rtc0/since_epoch",
        ],
        fixed: &[("/usr/share/zoneinfo/Asia/Shanghai", "TZif2")],
        keeps: Keeps::Tested,
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn files(input: &[u8]) {
    const CASE: Case = Case {
        profiles: &[
            "[files]\n\"/etc/profile\" = { block = \"export A=1\" }\n\"/etc/motd\" = { content = \"x\\n\", mode = \"0600\" }\n",
        ],
        fuzzed: &["/etc/profile", "/etc/motd"],
        fixed: &[],
        keeps: Keeps::Tested,
        theirs: &[],
    };
    CASE.settles(input);
}

/// Both families' lists of repositories.
pub fn repositories(input: &[u8]) {
    const PROFILES: &[&str] = &[
        "[repositories.kubernetes]\nkey = \"/k.asc\"\napt = { uri = \"https://a.example/deb/\", suites = [\"/\"] }\n\
         dnf = { baseurl = \"https://a.example/rpm/\", exclude = [\"kubelet\"] }\n\
         [repositories.base]\nunsigned = true\napt = { uri = \"http://b.example/\", suites = [\"s\"], components = [\"main\"] }\n\
         dnf = { mirrorlist = \"http://b.example/$releasever\" }\n",
    ];
    const APT: Case = Case {
        profiles: PROFILES,
        fuzzed: &[
            "/etc/apt/sources.list",
            "/etc/apt/sources.list.d/a.list",
            "/etc/apt/sources.list.d/b.sources",
            "/etc/apt/sources.list.d/kubernetes.sources",
        ],
        fixed: &[
            ("/var/lib/dpkg/status", ""),
            ("/etc/os-release", "ID=debian\n"),
            ("/k.asc", "key"),
        ],
        keeps: Keeps::Tested,
        theirs: &[],
    };
    const DNF: Case = Case {
        profiles: PROFILES,
        fuzzed: &[
            "/etc/yum.repos.d/CentOS-Base.repo",
            "/etc/yum.repos.d/kubernetes.repo",
            "/etc/yum.conf",
            "/etc/yum.repos.d/a.repo",
        ],
        fixed: &[
            ("/etc/os-release", "ID=centos\nID_LIKE=\"rhel fedora\"\n"),
            ("/usr/bin/yum", ""),
            ("/var/lib/rpm/", ""),
            ("/k.asc", "key"),
        ],
        keeps: Keeps::Tested,
        theirs: &[],
    };
    APT.settles(input);
    DNF.settles(input);
}
