#!/usr/bin/env python3
"""How long the connector takes to start, to refuse and to stop, and what it costs while nothing happens.

start    from just before the connector is executed to the first byte of a protected HTTP answer, asked for by name
         through the system's resolver again and again (2 ms after each failure); state folder kept between the runs
stop     from SIGTERM to the end of the process
refusal  connecting, by name, to a port that the application does not allow
idle     CPU time, context switches and resident memory of all the connector's processes over a minute
"""

import argparse
import json
import os
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import agent, figures, world as w  # noqa: E402
from harness.clients import Connector, connector_binary  # noqa: E402

NAME = "wiki.corp.example.com"
REFUSED_PORT = 81
START_BAR_MS, STOP_BAR_MS, REFUSAL_BAR_MS = 500, 2000, 50
IDLE_BAR_PERCENT, MEMORY_BAR_MIB = 0.2, 30


def main():
    options = parse()
    for line in figures.machine():
        print(line)
    world = w.World([])
    client, rows = Connector(world, connector_binary(options.binary)), []
    try:
        server = world.start("internal", sys.executable, agent.__file__, "serve", w.INTERNAL_HOST, 80)
        world.until("the web server listens",
                    lambda: "LISTEN" in world.run("internal", "ss", "-Htln", "sport = 80"), server)
        for _ in range(options.rounds):
            rows.append(start_and_stop(world, client))
            print("#", rows[-1], file=sys.stderr)
        quiet = stay(world, client, options)
    finally:
        world.close()
    figures.keep(options.json, [*rows, quiet])
    report(rows, quiet)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the connector (default: the release build)")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--refusals", type=int, default=50)
    parser.add_argument("--idle", type=int, default=60, help="seconds")
    parser.add_argument("--json", help="append every single measurement to this file")
    return parser.parse_args()


def start_and_stop(world, client):
    """One start to the first byte, and one stop."""
    gateway = world.start_gateway()
    try:
        return json.loads(world.run("client", "env", f"OPENZTNA_STATE_DIR={client.state}", sys.executable,
                                    agent.__file__, "first-byte", NAME, 80, *client.command()))
    finally:
        world.stop(gateway)


def stay(world, client, options):
    """Refusals, then a minute in which nothing happens."""
    gateway, process = world.start_gateway(), client.start()
    try:
        world.until("the name resolves", lambda: world.run("client", "ping", "-c", 1, "-W", 1, NAME), process)
        refusals = json.loads(world.run("client", sys.executable, agent.__file__, "refused", NAME, REFUSED_PORT,
                                        options.refusals))
        time.sleep(5)
        cpu, switches = figures.cpu_seconds(process.pid), wakeups(process.pid)
        start = time.monotonic()
        time.sleep(options.idle)
        seconds = time.monotonic() - start
        tree = figures.process_tree(process.pid)
        return {"refusal_ms": refusals["took_ms"], "refusal_said": list(refusals["said"]), "idle_s": seconds,
                "idle_cpu_percent": 100 * (figures.cpu_seconds(process.pid) - cpu) / seconds,
                "idle_wakeups_per_s": (wakeups(process.pid) - switches) / seconds,
                "resident_MiB": [figures.status_number(pid, "VmRSS") / 1024 for pid in tree]}
    finally:
        world.stop(process)
        world.stop(gateway)


def wakeups(pid):
    """How often the threads of the processes went to sleep."""
    return sum(figures.status_number(one, "voluntary_ctxt_switches") for one in figures.process_tree(pid))


def report(rows, quiet):
    first = [row["first_byte_ms"] for row in rows]
    stop = [row["stop_ms"] for row in rows]
    refusal = quiet["refusal_ms"]
    print(f"\nstart to first byte, ms   {figures.spread(first, 0)}")
    print(f"  of it to own resolver   {figures.spread([row['resolver_ms'] for row in rows], 0)}")
    print(f"SIGTERM to end, ms        {figures.spread(stop, 0)}")
    print(f"refusal, ms               {figures.spread(refusal)}   said: {', '.join(quiet['refusal_said'])}")
    print(f"idle over {quiet['idle_s']:.0f} s           CPU {quiet['idle_cpu_percent']:.3f} %, "
          f"{quiet['idle_wakeups_per_s']:.2f} wake-ups a second")
    print(f"resident, MiB             {' + '.join(f'{value:.1f}' for value in quiet['resident_MiB'])} "
          "(connector + guardian)")
    bad = [row for row in rows if row["exit"] != 0 or not row["restored"]]
    print(f"stops with another exit code than 0 or with resolv.conf changed: {len(bad)}\n")
    print(figures.bar("start, median", statistics.median(first), START_BAR_MS, " ms"))
    print(figures.bar("stop, longest", max(stop), STOP_BAR_MS, " ms"))
    print(figures.bar("refusal, longest", max(refusal), REFUSAL_BAR_MS, " ms"))
    print(figures.bar("idle CPU", quiet["idle_cpu_percent"], IDLE_BAR_PERCENT, " %"))
    print(figures.bar("resident, both processes", sum(quiet["resident_MiB"]), MEMORY_BAR_MIB, " MiB"))


if __name__ == "__main__":
    main()
