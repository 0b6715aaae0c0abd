#!/usr/bin/env python3
"""Throughput and latency of the connector beside wireguard-go, in turns: A B A B …

Each arm of a round gets a fresh gateway (Debian's wireguard-go), then one TCP stream up and down by iperf3 to an
address and, for the connector, to a name, and 500 pings. The figure to compare is CPU seconds of the client process
for 10^9 bytes of payload that arrived: client, gateway and both iperf3 share the machine, so Gbit/s is the sum of all
their costs and varies with what else the machine does.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import figures, world as w  # noqa: E402
from harness.clients import Connector, connector_binary, reference_clients  # noqa: E402

NAME = "files.corp.example.com"
CPU_BAR = 0.6


def main():
    options = parse()
    for line in figures.machine():
        print(line)
    world = w.World(["iperf3", "ping"])
    arms = [Connector(world, connector_binary(options.binary)), *reference_clients(world)]
    rows = []
    try:
        for round_number in range(options.rounds):
            for arm in arms:
                try:
                    rows += measure(world, arm, round_number, options.seconds)
                except RuntimeError as error:
                    print(f"failed: {arm.name}: {error}", file=sys.stderr)
    finally:
        world.close()
    figures.keep(options.json, rows)
    report(rows, [arm.name for arm in arms])


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the connector (default: the release build)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="length of each iperf3 run")
    parser.add_argument("--json", help="append every single measurement to this file")
    return parser.parse_args()


def measure(world, arm, round_number, seconds):
    """One arm of one round: started, measured, stopped. A test that fails is said and left out."""
    rows, client, gateway = [], None, world.start_gateway()
    try:
        client = arm.start()
        world.until(f"{arm.name} reaches the internal host",
                    lambda: world.run("client", "ping", "-c", 1, "-W", 1, w.INTERNAL_HOST), client)
        tests = [("up", w.INTERNAL_HOST, ()), ("down", w.INTERNAL_HOST, ("-R",))]
        if isinstance(arm, Connector):
            world.until("names resolve", lambda: world.run("client", "ping", "-c", 1, "-W", 1, NAME), client)
            tests += [("up by name", NAME, ()), ("down by name", NAME, ("-R",))]
        for test, host, extra in tests:
            try:
                row = throughput(world, client, host, seconds, extra)
            except (RuntimeError, KeyError, ValueError, subprocess.TimeoutExpired) as error:
                print(f"failed: {arm.name} {test}: {error}", file=sys.stderr)
                continue
            rows.append({"arm": arm.name, "test": test, "round": round_number, **row})
        rows.append({"arm": arm.name, "test": "ping", "round": round_number, **latency(world),
                     "resident_MiB": figures.status_number(client.pid, "VmRSS") / 1024})
    finally:
        if client:
            world.stop(client)
        world.stop(gateway)
    for row in rows:
        print("#", " ".join(f"{key}={value:.3f}" if isinstance(value, float) else str(value)
                            for key, value in row.items()), file=sys.stderr)
    return rows


def throughput(world, client, host, seconds, extra):
    """One iperf3 run against a server that serves once."""
    server = world.start("internal", "iperf3", "-s", "-1", "-B", w.INTERNAL_HOST)
    world.until("iperf3 listens", lambda: "LISTEN" in world.run("internal", "ss", "-Htln", "sport = 5201"), server)
    before = figures.cpu_seconds(client.pid)
    try:
        output = world.run("client", "iperf3", "-J", "-c", host, "-t", seconds, *extra, timeout=seconds + 20)
        cpu = figures.cpu_seconds(client.pid) - before
    finally:
        world.stop(server)
    arrived = json.loads(output)["end"]["sum_received"]
    return {"cpu_s_per_GB": cpu / (arrived["bytes"] / 1e9), "Gbit_s": arrived["bits_per_second"] / 1e9}


def latency(world):
    """Round trips of 500 pings of 64 bytes, one each 2 ms, in microseconds."""
    output = world.run("client", "ping", "-i", "0.002", "-c", 500, w.INTERNAL_HOST)
    times = sorted(float(found) * 1e3 for found in re.findall(r"time=([\d.]+)", output))
    return {"p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100]}


def report(rows, arms):
    def values(arm, test, metric):
        return [row[metric] for row in rows if row["arm"] == arm and row["test"] == test]

    print(f"\n{'arm':<15}{'test':<14}{'CPU s per GB, median (min–max)':<34}{'Gbit/s':<30}")
    for arm in arms:
        for test in ("up", "down", "up by name", "down by name"):
            if values(arm, test, "Gbit_s"):
                print(f"{arm:<15}{test:<14}{figures.spread(values(arm, test, 'cpu_s_per_GB')):<34}"
                      f"{figures.spread(values(arm, test, 'Gbit_s')):<30}")
    print(f"\n{'arm':<15}{'ping p50, us':<34}{'p99, us':<30}{'resident after it, MiB':<30}")
    for arm in arms:
        print(f"{arm:<15}{figures.spread(values(arm, 'ping', 'p50_us'), 0):<34}"
              f"{figures.spread(values(arm, 'ping', 'p99_us'), 0):<30}"
              f"{figures.spread(values(arm, 'ping', 'resident_MiB'), 1):<30}")
    print()
    for test in ("up", "down", "up by name", "down by name"):
        ours = values("connector", test, "cpu_s_per_GB")
        theirs = values("wireguard-go", test.split()[0], "cpu_s_per_GB")
        if ours and theirs:
            ratio = statistics.median(ours) / statistics.median(theirs)
            print(figures.bar(f"CPU per GB, one TCP stream {test}, ratio of medians to wireguard-go's", ratio, CPU_BAR))


if __name__ == "__main__":
    main()
