#!/usr/bin/env python3
"""One TCP stream through the connector's SOCKS proxy, whatever carries it, beside wireguard-go with a TUN, in turns.

Arms: the private namespace and the stack in user space (both `run --no-tun`), the proxy of a connector with a TUN, that
connector without the proxy, and Debian's wireguard-go. iperf3 runs under proxychains4 where a proxy is used. The
figure to compare is CPU seconds of the client process, its threads and its children, for 10^9 bytes of payload that
arrived.
"""

import argparse
import json
import os
import statistics
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import figures, world as w  # noqa: E402
from harness.clients import Connector, Userspace, connector_binary  # noqa: E402

CPU_BAR = 0.6
# Of transparent access in the same run.
SPEED_BAR = 0.85


class Proxied(Connector):
    """The connector, reached by its SOCKS proxy; `stack` for one without a TUN."""

    def __init__(self, world, binary, name, stack=None):
        super().__init__(world, binary)
        self.name, self.stack = name, stack
        self.env["OPENZTNA_CLIENT_TUNNELING_STACK"] = stack or "auto"
        self.chain = world.path("proxychains.conf")
        with open(self.chain, "w") as file:
            file.write("strict_chain\nquiet_mode\n[ProxyList]\nsocks5 127.0.0.1 1080\n")

    def command(self):
        return [*super().command(), *(["--no-tun"] if self.stack else [])]

    def prefix(self):
        return ["proxychains4", "-q", "-f", self.chain]


def main():
    options = parse()
    for line in figures.machine():
        print(line)
    world = w.World(["iperf3", "proxychains4", "curl"])
    binary = connector_binary(options.binary)
    arms = [
        Proxied(world, binary, "namespace", "namespace"),
        Proxied(world, binary, "smoltcp", "smoltcp"),
        Proxied(world, binary, "socks and tun"),
        Connector(world, binary),
        Userspace(world, "wireguard-go", ["wireguard-go", "-f"]),
    ]
    arms = [arm for arm in arms if not options.arm or arm.name in options.arm]
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
    parser.add_argument("--arm", action="append", help="only this arm (several times for several)")
    parser.add_argument("--json", help="append every single measurement to this file")
    return parser.parse_args()


def measure(world, arm, round_number, seconds):
    """One arm of one round: started, measured, stopped."""
    rows, client, gateway = [], None, world.start_gateway()
    prefix = arm.prefix() if isinstance(arm, Proxied) else []
    try:
        client = arm.start()
        world.until(f"{arm.name} reaches the internal host", lambda: reaches(world, arm), client)
        for test, extra in (("up", ()), ("down", ("-R",))):
            row = throughput(world, client, prefix, seconds, extra)
            rows.append({"arm": arm.name, "test": test, "round": round_number, **row})
    finally:
        if client:
            world.stop(client)
        world.stop(gateway)
    for row in rows:
        print("#", " ".join(f"{key}={value:.3f}" if isinstance(value, float) else str(value)
                            for key, value in row.items()), file=sys.stderr)
    return rows


def reaches(world, arm):
    """Whether the way is open: the host refuses a connection to a port where nobody listens, which curl tells as 7, or
    97 by a proxy."""
    proxy = ["--socks5", "127.0.0.1:1080"] if isinstance(arm, Proxied) else []
    script = 'curl -s -m 2 "$@"; code=$?; [ $code = 7 ] || [ $code = 97 ]'
    world.run("client", "sh", "-c", script, "sh", *proxy, f"http://{w.INTERNAL_HOST}:5299/")
    return True


def throughput(world, client, prefix, seconds, extra):
    """One iperf3 run against a server that serves once."""
    server = world.start("internal", "iperf3", "-s", "-1", "-B", w.INTERNAL_HOST)
    world.until("iperf3 listens", lambda: "LISTEN" in world.run("internal", "ss", "-Htln", "sport = 5201"), server)
    before = figures.cpu_seconds(client.pid)
    try:
        command = (*prefix, "iperf3", "-J", "-c", w.INTERNAL_HOST, "-t", seconds, *extra)
        output = world.run("client", *command, timeout=seconds + 20)
        cpu = figures.cpu_seconds(client.pid) - before
    finally:
        world.stop(server)
    arrived = json.loads(output[output.index("{"):])["end"]["sum_received"]
    return {"cpu_s_per_GB": cpu / (arrived["bytes"] / 1e9), "Gbit_s": arrived["bits_per_second"] / 1e9}


def report(rows, arms):
    def values(arm, test, metric):
        return [row[metric] for row in rows if row["arm"] == arm and row["test"] == test]

    print(f"\n{'arm':<15}{'test':<7}{'CPU s per GB, median (min–max)':<34}{'Gbit/s':<30}")
    for arm in arms:
        for test in ("up", "down"):
            print(f"{arm:<15}{test:<7}{figures.spread(values(arm, test, 'cpu_s_per_GB')):<34}"
                  f"{figures.spread(values(arm, test, 'Gbit_s')):<30}")
    print()
    for test in ("up", "down"):
        theirs = values("wireguard-go", test, "cpu_s_per_GB")
        for arm in ("namespace", "smoltcp"):
            ours = values(arm, test, "cpu_s_per_GB")
            if ours and theirs:
                ratio = statistics.median(ours) / statistics.median(theirs)
                print(figures.bar(f"CPU per GB, {arm}, {test}, ratio of medians to wireguard-go's", ratio, CPU_BAR))
        direct, proxied = values("connector", test, "Gbit_s"), values("socks and tun", test, "Gbit_s")
        if direct and proxied:
            ratio = statistics.median(proxied) / statistics.median(direct)
            verdict = "met" if ratio >= SPEED_BAR else "MISSED"
            print(f"{verdict:<7}throughput by SOCKS beside a TUN, {test}, to transparent: {ratio:.2f} (bar {SPEED_BAR})")


if __name__ == "__main__":
    main()
