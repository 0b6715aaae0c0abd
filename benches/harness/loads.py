"""What is sent through a client, and what it cost: CPU time of the client's and the gateway's processes."""

import json
import os
import re
import subprocess
import sys

from . import figures, world as w

AGENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agent.py")
# Datagrams a second between which the loss-free rate is looked for; iperf3 itself sends about 350,000 here.
LEAST_RATE, MOST_RATE, STEPS = 10e3, 400e3, 6
# In percent: more than this counts as loss.
MOST_LOSS = 0.5


class Meter:
    """CPU seconds of processes since it was made."""

    def __init__(self, **processes):
        self.processes = processes
        self.before = {name: figures.cpu_seconds(process.pid) for name, process in processes.items()}

    def read(self):
        """Seconds by name."""
        return {name: figures.cpu_seconds(process.pid) - self.before[name]
                for name, process in self.processes.items()}


def iperf(world, host, seconds, *extra, prefix=()):
    """One iperf3 run against a server that serves once; its report."""
    server = world.start("internal", "iperf3", "-s", "-1", "-B", w.INTERNAL_HOST)
    world.until("iperf3 listens", lambda: "LISTEN" in world.run("internal", "ss", "-Htln", "sport = 5201"), server)
    try:
        command = (*prefix, "iperf3", "-J", "-c", host, "-t", seconds, *extra)
        output = world.run("client", *command, timeout=seconds + 20)
        return json.loads(output[output.index("{"):])["end"]
    finally:
        world.stop(server)


def tcp(world, meter, seconds, host=w.INTERNAL_HOST, streams=1, is_down=False, prefix=()):
    """TCP streams for so long: CPU seconds for 10^9 bytes that arrived, and the rate."""
    end = iperf(world, host, seconds, "-P", streams, *(["-R"] if is_down else []), prefix=prefix)
    arrived = end["sum_received"]
    per_gb = {f"{name}_s_per_GB": spent / (arrived["bytes"] / 1e9) for name, spent in meter.read().items()}
    return {**per_gb, "Gbit_s": arrived["bits_per_second"] / 1e9}


def loss_free(world, meter_of, size, seconds=2):
    """The highest rate of datagrams of that size of which at most half a percent is lost, by bisection, and what each
    that arrived cost there. `meter_of`: makes a meter."""
    low, high, best = LEAST_RATE, MOST_RATE, {}
    for _ in range(STEPS):
        rate = (low * high) ** 0.5
        try:
            row = datagrams(world, meter_of(), size, rate, seconds)
        except (RuntimeError, KeyError, subprocess.TimeoutExpired):
            row = None
        if row is None or row["loss_percent"] > MOST_LOSS:
            high = rate
            continue
        low = rate
        if row["kpps"] > best.get("kpps", 0):
            best = row
    return best


def datagrams(world, meter, size, rate, seconds):
    """Datagrams at a rate: microseconds of CPU for each that arrived, and how many did not."""
    options = ("-u", "-w", "2M", "-l", size, "-b", int(rate * size * 8))
    total = iperf(world, w.INTERNAL_HOST, seconds, *options)["sum"]
    arrived = max(total["packets"] - total["lost_packets"], 1)
    cost = {f"{name}_us_each": spent / arrived * 1e6 for name, spent in meter.read().items()}
    return {**cost, "kpps": arrived / total["seconds"] / 1e3,
            "loss_percent": 100 * total["lost_packets"] / max(total["packets"], 1)}


def ping(world, count=500):
    """Round trips of pings of 64 bytes, one each 2 ms, in microseconds."""
    output = world.run("client", "ping", "-i", "0.002", "-c", count, w.INTERNAL_HOST)
    times = sorted(float(found) * 1e3 for found in re.findall(r"time=([\d.]+)", output))
    return {"p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100]}


def connections(world, meter, count=300):
    """TCP connections one after the other, one byte there and back on each: microseconds, and CPU of each."""
    server = world.start("internal", sys.executable, AGENT, "echo", w.INTERNAL_HOST, 5299)
    world.until("the echo listens", lambda: "LISTEN" in world.run("internal", "ss", "-Htln", "sport = 5299"), server)
    try:
        output = world.run("client", sys.executable, AGENT, "connect", w.INTERNAL_HOST, 5299, count)
    finally:
        world.stop(server)
    spent = meter.read()
    return {**json.loads(output), "client_us_each": spent["client"] / count * 1e6}
