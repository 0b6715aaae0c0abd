#!/usr/bin/env python3
"""One TCP stream through the connector's SOCKS proxy, whatever carries it, beside wireguard-go with a TUN, in turns.

Arms: the private namespace and the stack in user space (both `run --no-tun`), the proxy of a connector with a TUN, that
connector without the proxy, Debian's wireguard-go, and the floor. iperf3 runs under proxychains4 where a proxy is used.
The figure to compare is CPU seconds of the client process, its threads and its children, for 10^9 bytes of payload that
arrived. The gateway is `openztna-gateway` with kernel egress, which sends and takes datagrams in batches.
"""

import os
import statistics
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import figures, loads, rounds, world as w  # noqa: E402
from harness.clients import Connector, Floor, Userspace, connector_binary, program  # noqa: E402
from harness.gateways import FloorGateway, OurGateway  # noqa: E402

# Of wireguard-go with a TUN, and of the floor.
CPU_BARS = {"namespace": (0.6, 1.7), "smoltcp": (0.6, 2.1)}
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
    given = rounds.options(__doc__).parse_args()
    for line in figures.machine():
        print(line)
    world = w.World(["iperf3", "proxychains4", "curl"])
    arms = arms_of(world, given)
    rows = rounds.run(world, arms, given, lambda *of: tests(world, given, *of))
    report(rows, [arm.name for arm in arms])


def arms_of(world, given):
    binary, floor = connector_binary(given.binary), program("floor")
    arms = [
        Proxied(world, binary, "namespace", "namespace"),
        Proxied(world, binary, "smoltcp", "smoltcp"),
        Proxied(world, binary, "socks and tun"),
        Connector(world, binary),
        Userspace(world, "wireguard-go", ["wireguard-go", "-f"]),
    ]
    kernel = OurGateway(world, "kernel")
    for arm in arms:
        arm.gateway = kernel
    least = Floor(world, floor)
    least.gateway = FloorGateway(world, floor)
    return [*arms, least]


def tests(world, given, arm, client, gateway):
    """Up and down, after the way is open."""
    world.until(f"{arm.name} reaches the internal host", lambda: reaches(world, arm), client)
    prefix = arm.prefix() if isinstance(arm, Proxied) else ()

    def measure(is_down):
        meter = loads.Meter(client=client, gateway=gateway)
        return loads.tcp(world, meter, given.seconds, is_down=is_down, prefix=prefix)

    return [("up", lambda: measure(False)), ("down", lambda: measure(True))]


def reaches(world, arm):
    """Whether the way is open: the host refuses a connection to a port where nobody listens, which curl tells as 7, or
    97 by a proxy."""
    proxy = ["--socks5", "127.0.0.1:1080"] if isinstance(arm, Proxied) else []
    script = 'curl -s -m 2 "$@"; code=$?; [ $code = 7 ] || [ $code = 97 ]'
    world.run("client", "sh", "-c", script, "sh", *proxy, f"http://{w.INTERNAL_HOST}:5299/")
    return True


def report(rows, arms):
    def median(arm, test, metric):
        found = rounds.values(rows, arm, test, metric)
        return statistics.median(found) if found else None

    print(f"\n{'arm':<15}{'test':<7}{'CPU s per GB, median (min–max)':<34}{'Gbit/s':<30}")
    for arm in arms:
        for test in ("up", "down"):
            print(f"{arm:<15}{test:<7}{figures.spread(rounds.values(rows, arm, test, 'client_s_per_GB')):<34}"
                  f"{figures.spread(rounds.values(rows, arm, test, 'Gbit_s')):<30}")
    print()
    for test in ("up", "down"):
        for arm, bars in CPU_BARS.items():
            ours = median(arm, test, "client_s_per_GB")
            for reference, bar in zip(("wireguard-go", "floor"), bars):
                theirs = median(reference, test, "client_s_per_GB")
                if ours and theirs:
                    what = f"CPU per GB, {arm}, {test}, ratio of medians to {reference}'s"
                    print(figures.bar(what, ours / theirs, bar))
        direct, proxied = median("connector", test, "Gbit_s"), median("socks and tun", test, "Gbit_s")
        if direct and proxied:
            verdict = "met" if proxied / direct >= SPEED_BAR else "MISSED"
            print(f"{verdict:<7}throughput by SOCKS beside a TUN, {test}, to transparent: {proxied / direct:.2f} "
                  f"(bar {SPEED_BAR})")


if __name__ == "__main__":
    main()
