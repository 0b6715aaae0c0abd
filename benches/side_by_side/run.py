#!/usr/bin/env python3
"""The connector beside other WireGuard clients and beside the floor, in turns: A B A B …

Each arm of a round gets a fresh gateway, then TCP streams by iperf3, datagrams, pings and connections. The figure to
compare is CPU seconds of the client's process for 10^9 bytes of payload that arrived: client, gateway and both iperf3
share the machine, so Gbit/s is the sum of all their costs and varies with what else the machine does.

All WireGuard clients have the same gateway, `openztna-gateway` with kernel egress unless told otherwise: one that sends
datagrams one by one makes every client's download dear. The floor has an end of its own kind. The arms "gateway, …" are
the same connector; what is compared there is the gateway's CPU.
"""

import statistics
import sys
import os

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import chart, figures, loads, rounds, world as w  # noqa: E402
from harness.clients import Connector, Floor, connector_binary, program, reference_clients  # noqa: E402
from harness.gateways import FloorGateway, OurGateway, WireguardGo  # noqa: E402

NAME = "files.corp.example.com"
TESTS = {
    "tcp up": dict(streams=1), "tcp down": dict(streams=1, is_down=True),
    "tcp4 up": dict(streams=4), "tcp4 down": dict(streams=4, is_down=True),
}
DATAGRAMS = {"udp 64": 64, "udp 1400": 1400}
# What is compared in which test, and how it is called.
METRICS = {**{test: ("client_s_per_GB", "CPU s/GB") for test in TESTS},
           **{test: ("client_us_each", "CPU us each") for test in DATAGRAMS},
           "ping": ("p50_us", "p50 us"), "connect": ("p50_us", "p50 us")}
# Of the floor in the same run.
BARS = {"tcp up": 1.25, "tcp down": 1.25, "tcp4 up": 1.25, "tcp4 down": 1.25, "udp 64": 1.5, "udp 1400": 1.2,
        "ping": 1.1, "connect": 1.1}
# Of Debian's wireguard-go.
PEER_BAR = 0.3


def main():
    parser = rounds.options(__doc__, seconds=4)
    parser.add_argument("--test", action="append", help="only this test (several times for several)")
    parser.add_argument("--gateway", choices=["ours", "wireguard-go"], default="ours", help="of the WireGuard clients")
    parser.add_argument("--chart", help="write a picture of CPU for each GB to this file, as SVG")
    given = parser.parse_args()
    for line in figures.machine():
        print(line)
    world = w.World(["iperf3", "ping"])
    arms = arms_of(world, given)
    rows = rounds.run(world, arms, given, lambda *of: tests(world, given, *of))
    names = [arm.name for arm in arms if not given.arm or arm.name in given.arm]
    report(rows, names)
    if given.chart:
        chart.write(given.chart, "CPU seconds of the client for 1 GB (less is better)", [
            (arm, {test: statistics.median(found) for test in ("tcp up", "tcp down")
                   if (found := rounds.values(rows, arm, test, "client_s_per_GB"))})
            for arm in names if not arm.startswith("gateway")])


def arms_of(world, given):
    binary, floor = connector_binary(given.binary), program("floor")
    kernel = OurGateway(world, "kernel")
    arms = [Floor(world, floor), Connector(world, binary), *reference_clients(world)]
    for arm in arms:
        arm.gateway = kernel if given.gateway == "ours" else WireguardGo(world)
    arms[0].gateway = FloorGateway(world, floor)
    userspace = Connector(world, binary)
    userspace.name, userspace.gateway = "gateway, userspace", OurGateway(world, "userspace")
    return [*arms, userspace]


def tests(world, given, arm, client, gateway):
    """The tests of one arm, after it is reachable."""
    world.until(f"{arm.name} reaches the internal host",
                lambda: world.run("client", "ping", "-c", 1, "-W", 1, w.INTERNAL_HOST), client)

    def meter():
        return loads.Meter(client=client, gateway=gateway)

    every = {test: lambda options=options: loads.tcp(world, meter(), given.seconds, **options)
             for test, options in TESTS.items()}
    if arm.name == "connector":
        world.until("names resolve", lambda: world.run("client", "ping", "-c", 1, "-W", 1, NAME) or True, client)
        every["by name up"] = lambda: loads.tcp(world, meter(), given.seconds, NAME)
        every["by name down"] = lambda: loads.tcp(world, meter(), given.seconds, NAME, is_down=True)
    if not arm.name.startswith("gateway"):
        for test, size in DATAGRAMS.items():
            every[test] = lambda size=size: loads.loss_free(world, meter, size)
        every["ping"] = lambda: {**loads.ping(world), "resident_MiB": figures.status_number(client.pid, "VmRSS") / 1024}
        every["connect"] = lambda: loads.connections(world, meter())
    return [(test, measure) for test, measure in every.items() if not given.test or test in given.test]


def report(rows, arms):
    tests_run = list(dict.fromkeys(row["test"] for row in rows))
    for test in tests_run:
        shown = list(dict.fromkeys(key for row in rows if row["test"] == test for key in row))[3:]
        print(f"\n{test}: " + ", ".join(shown))
        for arm in arms:
            cells = [figures.spread(rounds.values(rows, arm, test, key)) for key in shown]
            print(f"  {arm:<20}" + "".join(f"{cell:<28}" for cell in cells))
    print()

    def median(arm, test, metric):
        found = rounds.values(rows, arm, test, metric)
        return statistics.median(found) if found else None

    for test, bar in BARS.items():
        metric, what = METRICS[test]
        floor, ours = median("floor", test, metric), median("connector", test, metric)
        if floor and ours:
            figures_of = figures.bar(f"{test}, {what}, against the floor", ours / floor, bar, " ×")
            print(figures_of)
        peer = median("wireguard-go", test, metric)
        if peer and ours and test in TESTS:
            print(figures.bar(f"{test}, {what}, against wireguard-go", ours / peer, PEER_BAR, " ×"))
    for arm, bar in (("connector", 1.3), ("gateway, userspace", 2.5)):
        for test in ("tcp up", "tcp down"):
            floor, ours = median("floor", test, "gateway_s_per_GB"), median(arm, test, "gateway_s_per_GB")
            if floor and ours:
                kind = "kernel" if arm == "connector" else "userspace"
                print(figures.bar(f"gateway, {kind} egress, {test}, against the floor", ours / floor, bar, " ×"))


if __name__ == "__main__":
    main()
