"""CPU time and memory of processes out of /proc, and medians with their spread."""

import json
import os
import statistics
import subprocess

TICKS = os.sysconf("SC_CLK_TCK")


def process_tree(pid):
    """`pid` and all its descendants."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_seconds(pid):
    """User and system time of the process with all its threads and descendants. The grain is one tick (10 ms)."""
    total = 0
    for one in process_tree(pid):
        try:
            with open(f"/proc/{one}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def status_number(pid, key):
    """A number of /proc/PID/status, such as VmRSS (KiB), summed over the threads for the context switches."""
    total = 0
    paths = [f"/proc/{pid}/status"]
    if key.endswith("ctxt_switches"):
        paths = [f"/proc/{pid}/task/{task}/status" for task in os.listdir(f"/proc/{pid}/task")]
    for path in paths:
        with open(path) as file:
            total += next(int(line.split()[1]) for line in file if line.startswith(key + ":"))
    return total


def spread(values, digits=2):
    """`median (min-max) n=…`."""
    if not values:
        return "no result"
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f}) n={len(values)}"


def machine():
    """What a reader needs to know about the machine, as lines."""
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    yield f"machine: {os.cpu_count()} × {model}, Linux {os.uname().release}, load average {load}"
    packages = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}, ", "wireguard-go", "iperf3", "unbound",
                               "dnsperf", "dnsmasq-base"], capture_output=True, text=True).stdout
    yield f"programs: {packages.rstrip(', ')}"


def bar(what, value, limit, unit=""):
    """One line that sets a figure beside its bar."""
    verdict = "met" if value <= limit else "MISSED"
    return f"{verdict:<7}{what}: {value:.2f}{unit} (bar {limit}{unit})"


def keep(path, rows):
    """Appends every single measurement to a file, one JSON object a line."""
    if path:
        with open(path, "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
