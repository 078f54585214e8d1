//! Services and the time: what is told of every unit is what systemctl says of it, links and masks are
//! those it would make, a daemon that does not start says why, and all is taken back. Two boots.

use crate::guest::{self, Report};
use crate::image::Image;
use crate::machine::Machine;

/// Units of every kind that behaves in its own way, and a host in another zone.
const BARE: &str = r#"
cd /etc/systemd/system
unit() { mkdir -p "$(dirname "$1")"; cat >"$1"; }
lib=/usr/lib/systemd/system
service() { printf '[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n%s\n' "$2" | unit $lib/$1.service; }
service lab-a 'Alias=lab-alias.service'
service lab-c ''
service lab-d 'Also=lab-d.socket'
service lab-e ''
printf '[Socket]\nListenStream=/run/lab-d\n[Install]\nWantedBy=sockets.target\n' | unit $lib/lab-d.socket
printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' | unit $lib/lab-b.service
printf '[Timer]\nOnCalendar=2099-01-01\n[Install]\nWantedBy=timers.target\n' | unit $lib/lab-e.timer
printf '[Service]\nExecStart=/bin/sh -c "echo port 99 is taken; exit 3"\n[Install]\nWantedBy=multi-user.target\n' | unit $lib/lab-bad.service
systemctl daemon-reload
systemctl -q enable --now lab-c lab-d lab-e.timer cron
systemctl start lab-d
ln -sf /usr/share/zoneinfo/America/New_York /etc/localtime
echo America/New_York >/etc/timezone
printf '0.0 0 0\n0\nLOCAL\n' >/etc/adjtime
cat >/root/units.toml <<'END'
schema = "v1alpha1"
[services]
lab-alias = { state = "running", boot = "enabled" }
lab-a = "enabled"
lab-b = "enabled"
lab-c = "masked"
lab-d = "disabled"
"lab-e.timer" = "disabled"
"getty@tty3" = { boot = "enabled" }
nowhere = "disabled"
[time]
zone = "Asia/Shanghai"
rtc = "utc"
END
sed 's/lab-alias = .*//; s/lab-a = .*/lab-bad = "enabled"/' /root/units.toml >/root/bad.toml
printf 'schema = "v1alpha1"\n[time]\nsynchronised = true\n' >/root/time.toml
"#;

/// Links of units, and what runs.
const STATE: &str = r#"
find /etc/systemd /etc/localtime /etc/timezone /etc/adjtime -printf '%p %y %m %l\n' | sort
cat /etc/timezone /etc/adjtime
for unit in lab-a lab-b lab-c lab-d lab-d.socket lab-e.timer cron; do echo "$unit $(systemctl is-active $unit) $(systemctl is-enabled $unit)"; done
"#;

/// Units of which a file tells another state than systemd does.
const LIARS: &str = r#"
for unit in $(systemctl list-units --all --plain --no-legend --type=service,mount | cut -d' ' -f1); do
    case $(systemctl show -P ActiveState "$unit" 2>/dev/null || systemctl show --value -p ActiveState "$unit") in
    inactive | failed) active=no ;;
    *) active=yes ;;
    esac
    # A mount that no process of systemd's made has none.
    if [ -L "/run/systemd/units/invocation:$unit" ]; then file=yes; else file=no; fi
    case $unit in *.service) [ $active = $file ] || echo "$unit active: $active, file: $file" ;; esac
done
"#;

/// A server of its own that the machine's chrony follows.
const SERVER: &str = r#"
printf 'local stratum 5\nallow 127.0.0.1\npidfile /run/lab-server.pid\ncmdport 0\nbindcmdaddress /\n' >/root/server.conf
chronyd -x -f /root/server.conf
printf 'server 127.0.0.1 iburst minpoll 0 maxpoll 1\nport 0\nrtcsync\nmakestep 1 3\n' >/etc/chrony/chrony.conf
"#;

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    let machine = &mut machine;
    assert_eq!(machine.ok(LIARS), "", "files about units");
    machine.ok(BARE);
    let bare = machine.ok(STATE);
    told(machine, "check", "units", 2);
    told(machine, "apply", "units", 0);
    as_wanted(machine);
    assert_eq!(told(machine, "apply", "units", 0).steps(), [""; 0]);
    machine.reboot();
    told(machine, "check", "units", 0);
    as_wanted(machine);
    assert_eq!(machine.ok(LIARS), "", "files about units after a boot");
    Report::with(machine, "remove", "", 0);
    let now = machine.ok(STATE);
    let diff = similar::TextDiff::from_lines(bare.as_str(), now.as_str());
    // What was started by hand is not started by the boot.
    let diff = diff.unified_diff().context_radius(0).to_string();
    assert_eq!(diff, "", "remove:\n{diff}");
    told(machine, "apply", "units", 0);
    // What is done by hand is no longer ours to take back.
    broken(machine);
    bad(machine);
    followed(machine);
    firewall(machine);
}

fn told(machine: &mut Machine, command: &str, profile: &str, code: i32) -> Report {
    Report::with(machine, command, &format!("/root/{profile}.toml"), code)
}

/// By the system's own tools.
fn as_wanted(machine: &mut Machine) {
    let is = |unit: &str, active: &str, enabled: &str| {
        let of = |word: &str, wanted: &str| {
            format!(
                "[ \"$(systemctl is-{word} {unit})\" = {wanted} ] || {{ systemctl status {unit}; exit 1; }}\n"
            )
        };
        of("active", active) + &of("enabled", enabled)
    };
    let script = [
        is("lab-a", "active", "enabled"),
        is("lab-b", "active", "enabled"),
        is("lab-c", "inactive", "masked"),
        is("lab-d", "inactive", "disabled"),
        is("lab-d.socket", "inactive", "disabled"),
        is("lab-e.timer", "inactive", "disabled"),
        "[ \"$(systemctl is-enabled getty@tty3)\" = enabled ]\n".into(),
        "[ \"$(date +%Z)\" = CST ] && [ \"$(cat /etc/timezone)\" = Asia/Shanghai ]\n".into(),
        "[ \"$(timedatectl show -p LocalRTC --value)\" = no ]\n".into(),
        // Its clock is the machine's, in UTC.
        "rtc=$(cat /sys/class/rtc/rtc0/since_epoch); off=$(($(date +%s) - rtc)); [ ${off#-} -lt 60 ]\n".into(),
    ];
    machine.ok(&script.concat());
}

/// Each by hand, each mended.
fn broken(machine: &mut Machine) {
    let ways = [
        ("systemctl -q disable --now lab-a", "services lab-a.service"),
        ("systemctl stop lab-b", "services lab-b.service"),
        (
            "systemctl -q unmask lab-c; systemctl start lab-c",
            "services lab-c.service",
        ),
        (
            "systemctl -q enable --now lab-d.socket",
            "services lab-d.service",
        ),
        (
            "systemctl -q mask lab-a 2>/dev/null; systemctl stop lab-a",
            "services lab-a.service",
        ),
        ("systemctl -q enable lab-e.timer", "services lab-e.timer"),
        (
            "ln -sf ../usr/share/zoneinfo/UTC /etc/localtime",
            "time zone",
        ),
        ("sed -i s/UTC/LOCAL/ /etc/adjtime", "time rtc"),
    ];
    for (way, subject) in ways {
        machine.ok(way);
        let found = told(machine, "check", "units", 2).subjects("differs");
        assert!(found.iter().any(|one| one == subject), "{way}: {found:?}");
        told(machine, "apply", "units", 0);
        as_wanted(machine);
    }
}

/// A unit that ends as soon as it is started: its words are in the error.
fn bad(machine: &mut Machine) {
    let output = machine.run("nodeprep apply /root/bad.toml 2>&1");
    assert_eq!(output.code, 1, "{}", output.stdout);
    assert!(
        output.stdout.contains("port 99 is taken"),
        "{}",
        output.stdout
    );
    machine.ok("systemctl -q disable lab-bad; systemctl reset-failed lab-bad");
    told(machine, "apply", "units", 0);
}

/// The clock follows a server once the source runs; until then that is what is missing.
fn followed(machine: &mut Machine) {
    machine.ok(SERVER);
    let before = told(machine, "check", "time", 2);
    assert_eq!(before.aspect("time clock", "live").0, "differs");
    assert_eq!(before.aspect("time source", "boot").0, "differs");
    machine.run("nodeprep apply /root/time.toml");
    machine.ok("systemctl -q is-active chrony && systemctl -q is-enabled chrony");
    machine.ok("for _ in $(seq 120); do nodeprep -q check /root/time.toml && exit 0; sleep 0.5; done; chronyc tracking; exit 1");
    machine.ok("[ \"$(timedatectl show -p NTPSynchronized --value)\" = yes ]");
    machine.ok("kill $(cat /run/lab-server.pid)");
}

/// A firewalld that goes takes its rules along before the ports are looked at: one apply is enough.
fn firewall(machine: &mut Machine) {
    machine.ok("printf 'schema = \"v1alpha1\"\n[services]\nfirewalld = \"disabled\"\n[ports]\nopen = [\"6443/tcp\"]\n' >/root/firewall.toml");
    machine.ok("systemctl -q enable --now firewalld");
    let plan = told(machine, "check", "firewall", 2);
    assert_eq!(plan.aspect("ports 6443/tcp", "live").0, "blocked");
    told(machine, "apply", "firewall", 0);
    machine.ok("! systemctl -q is-active firewalld && ! systemctl -q is-enabled firewalld");
    assert!(told(machine, "apply", "firewall", 0).steps().is_empty());
    Report::with(machine, "rollback", "", 0);
    machine.ok("systemctl -q is-active firewalld && systemctl -q is-enabled firewalld");
    machine.ok("systemctl -q disable --now firewalld");
}
