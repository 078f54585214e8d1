"""What the daemon costs while nothing happens, and how soon it puts right what drifts; rows for BENCHMARKS.md.

Beside it, in the machine: its process and the kernel's values are read without starting a program, which
takes far longer here than what is measured.
"""

import os
import signal
import subprocess
import time

CALM, IDLE, TIMES = 60, 240, 20
CRICTL, FORWARD = "/etc/crictl.yaml", "/proc/sys/net/ipv4/ip_forward"
DROP_IN = "/etc/sysctl.d/kubernetes.conf"


def process():
    show = ["systemctl", "show", "-p", "MainPID", "--value", "nodeprep"]
    return int(subprocess.check_output(show))


PID = process()


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
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


def settle():
    """Until it has neither read nor written for a while."""
    before = None
    while before != (before := read(f"/proc/{PID}/io")):
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


def replace(path, text):
    write(path + "~", text)
    os.rename(path + "~", path)


def drifts():
    drop_in = read(DROP_IN)
    ways = {
        "a file is edited in place": (
            lambda: write(CRICTL, read(CRICTL).replace("timeout: 10", "timeout: 2")),
            lambda: "timeout: 10" in read(CRICTL),
        ),
        "a file is replaced": (
            lambda: replace(CRICTL, read(CRICTL).replace("timeout: 10", "timeout: 3")),
            lambda: "timeout: 10" in read(CRICTL),
        ),
        "a drop-in is removed": (lambda: os.remove(DROP_IN), lambda: len(read(DROP_IN)) == len(drop_in)),
        "a kernel value is written": (lambda: write(FORWARD, "0"), lambda: read(FORWARD) == "1\n"),
    }
    print("| from drift to repaired | times | median | 90th of 100 | longest |\n|---|--:|--:|--:|--:|")
    for name, (way, is_right) in ways.items():
        took = sorted(reaction(way, is_right) for _ in range(TIMES))
        middle, high, last = took[TIMES // 2], took[TIMES * 9 // 10], took[-1]
        print(f"| {name} | {TIMES} | {middle:.0f} ms | {high:.0f} ms | {last:.0f} ms |")


def reaction(way, is_right):
    # Who changes back that often is left alone otherwise.
    os.kill(PID, signal.SIGHUP)
    time.sleep(0.1)
    settle()
    assert is_right()
    way()
    begin = time.monotonic()
    while not is_right():
        time.sleep(0.001)
        assert time.monotonic() - begin < 60, "nobody puts it right"
    return (time.monotonic() - begin) * 1000


idle()
drifts()
