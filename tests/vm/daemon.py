"""What the daemon costs while nothing happens, and how soon it puts right what drifts; rows for BENCHMARKS.md.

Beside it, in the machine: its process and the kernel's values are read without starting a program, which
takes far longer here than what is measured.
"""

import ctypes
import os
import signal
import statistics
import subprocess
import time

CALM, IDLE, ROUNDS = 60, 240, 100
# A look at everything takes a second here, and is followed by a rest of five at most (agent/daemon/agenda.rs).
REST = 7
# The fifth time within ten minutes is contested, and two ways share a value.
TIMES = 2
CRICTL, FORWARD = "/etc/crictl.yaml", "/proc/sys/net/ipv4/ip_forward"
DROP_IN = "/etc/sysctl.d/kubernetes.conf"
SERVICE = "/sys/fs/cgroup/system.slice/idle.service/cgroup.procs"
LIBC = ctypes.CDLL(None, use_errno=True)


def process():
    show = ["systemctl", "show", "-p", "MainPID", "--value", "nodeprep"]
    return int(subprocess.check_output(show))


PID = process()


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def status(key):
    lines = read(f"/proc/{PID}/status").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(key + ":")))


def processor():
    """Nanoseconds (proc_pid_schedstat(5))."""
    return int(read(f"/proc/{PID}/schedstat").split()[0])


def waits():
    """In epoll_wait(2), by the name of what the kernel is in (proc_pid_wchan(5))."""
    return read(f"/proc/{PID}/wchan") in ("ep_poll", "do_epoll_wait")


def settle():
    """Until it waits for events, and has neither read nor written for a while."""
    before = None
    while before != (before := read(f"/proc/{PID}/io")) or not waits():
        time.sleep(0.2)


def idle():
    time.sleep(CALM)
    settle()
    begin, used, wakes = time.monotonic(), processor(), status("voluntary_ctxt_switches")
    time.sleep(IDLE)
    took = time.monotonic() - begin
    used, wakes = processor() - used, status("voluntary_ctxt_switches") - wakes
    print("| idle, kernel values polled every 5 s | |\n|---|--:|")
    print(f"| measured for | {took:.0f} s |")
    print(f"| processor | {used / took / 1e7:.3f} % of a core |")
    print(f"| wake-ups an hour | {wakes * 3600 / took:.0f} |")
    print(f"| resident memory | {status('VmRSS') / 1024:.1f} MiB |")
    print(f"| file descriptors | {len(os.listdir(f'/proc/{PID}/fd'))} |\n")


class File:
    """A line of crictl.yaml is another, in the file or in another in its place."""

    def __init__(self, right, wrong, is_replaced):
        self.right, self.wrong, self.is_replaced = right, wrong, is_replaced

    def drift(self):
        text = read(CRICTL).replace(self.right, self.wrong)
        write(CRICTL + "~" * self.is_replaced, text)
        if self.is_replaced:
            os.rename(CRICTL + "~", CRICTL)

    def is_right(self):
        return self.right in read(CRICTL)


class DropIn:
    def __init__(self):
        self.length = len(read(DROP_IN))

    def drift(self):
        os.remove(DROP_IN)

    def is_right(self):
        return len(read(DROP_IN)) == self.length


class Value:
    def drift(self):
        write(FORWARD, "0")

    def is_right(self):
        return read(FORWARD) == "1\n"


class Swap:
    def drift(self):
        assert LIBC.swapon(b"/swap", 0) == 0, os.strerror(ctypes.get_errno())

    def is_right(self):
        return "/swap" not in read("/proc/swaps")


class Module:
    def drift(self):
        assert LIBC.delete_module(b"ip_vs_sh", os.O_NONBLOCK) == 0, os.strerror(ctypes.get_errno())

    def is_right(self):
        return "ip_vs_sh " in read("/proc/modules")


class Service:
    """Its process ends; another is there once it is started again."""

    before = None

    def drift(self):
        self.before = read(SERVICE)
        os.kill(int(self.before), signal.SIGTERM)

    def is_right(self):
        return read(SERVICE) not in ("", self.before)


class Rules:
    """The kernel itself tells of the rule that is there again."""

    def __init__(self):
        self.news = subprocess.Popen(["nft", "monitor", "rules"], stdout=subprocess.PIPE)
        os.set_blocking(self.news.stdout.fileno(), False)
        self.told = b"add rule 10250\n"

    def drift(self):
        self.told = b""
        subprocess.check_call(["nft", "flush", "chain", "inet", "filter", "input"])

    def is_right(self):
        self.told += self.news.stdout.read() or b""
        return any(line.startswith(b"add rule") and b"10250" in line for line in self.told.splitlines())


def reaction(way):
    settle()
    assert way.is_right()
    way.drift()
    begin = time.monotonic()
    while not way.is_right():
        time.sleep(0.001)
        assert time.monotonic() - begin < 60, "nobody puts it right"
    return (time.monotonic() - begin) * 1000


def drifts():
    ways = {
        "a file is edited in place": File("timeout: 10", "timeout: 2", False),
        "a file is replaced": File("debug: false", "debug: true", True),
        "a drop-in is removed": DropIn(),
        "a kernel value is written": Value(),
        "a swap is turned on": Swap(),
        "a module is unloaded": Module(),
        "a service ends": Service(),
        "the packet filter's rules are flushed": Rules(),
    }
    took = {name: [] for name in ways}
    for _ in range(ROUNDS):
        # Who changes back that often is left alone otherwise.
        os.kill(PID, signal.SIGHUP)
        time.sleep(REST)
        for name, way in ways.items():
            took[name] += [reaction(way) for _ in range(TIMES)]
    print("| from drift to repaired | times | median | 99th of 100 | longest |\n|---|--:|--:|--:|--:|")
    for name, times in took.items():
        row(name, times)
    print("\n| for comparison | times | median | 99th of 100 | longest |\n|---|--:|--:|--:|--:|")
    row("a check of everything, by a program started for it", [check() for _ in range(20)])


def check():
    begin = time.monotonic()
    subprocess.check_call(["nodeprep", "check"], stdout=subprocess.DEVNULL)
    return (time.monotonic() - begin) * 1000


def row(name, times):
    times = sorted(times)
    middle, high = statistics.median(times), times[len(times) * 99 // 100]
    print(f"| {name} | {len(times)} | {middle:.0f} ms | {high:.0f} ms | {times[-1]:.0f} ms |")


idle()
drifts()
