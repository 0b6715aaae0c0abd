#!/usr/bin/env python3
"""What a protected name costs: the connector's resolver, reached through its TUN, beside unbound on loopback.

Each round runs every arm in turn: the connector with 10 configured domains, unbound with the same, then both with
100,000 domains. dnsperf asks for 1,000 names under those domains, which are all in the cache: once with 100 queries
outstanding (as fast as it goes) and once at a fixed rate. Then it asks once for names that nobody asked before:
the connector asks for them through its tunnel, unbound at a server on loopback. CPU is that of the server's processes; a query to the
connector is a packet read from the TUN and one written to it, a query to unbound a datagram received and one sent.
Beside it stands dnsperf's own CPU per query, in which the kernel's other half of the way is.
"""

import argparse
import os
import random
import re
import resource
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import figures, world as w  # noqa: E402
from harness.clients import Connector, connector_binary  # noqa: E402

FEW, MANY = 10, 100_000
NAMES = 1_000
# Never asked before; with those of the cache fewer than the addresses that one grant may give out.
NEW_NAMES = 12_000
UNBOUND_PORT, UPSTREAM_PORT = 5300, 5301
CPU_BAR, NEW_BAR, GROWTH_BAR, MEMORY_BAR_MIB = 0.5, 1.0, 1.05, 40


def main():
    options = parse()
    for line in figures.machine():
        print(line)
    world = w.World(["dnsperf", "unbound"])
    binary, rows = connector_binary(options.binary), []
    try:
        # unbound cannot ask through the tunnel, so it has a server of its own that gives the same answers.
        world.dnsmasq("client", "127.0.0.1", UPSTREAM_PORT, f"--address=/#/{w.INTERNAL_HOST}")
        for round_number in range(options.rounds):
            for count in (FEW, MANY):
                domains = [f"corp{index:06d}.example" for index in range(count)]
                chance = random.Random(round_number)
                questions = write_questions(world, "questions.txt", domains, chance, "host", NAMES)
                new = write_questions(world, "new.txt", domains, chance, "new", NEW_NAMES)
                for name, arm in (("connector", lambda: connector(world, binary, domains)),
                                  ("unbound", lambda: unbound(world, domains))):
                    row = {"arm": name, "domains": count, "round": round_number,
                           **measure(world, arm, questions, new, options)}
                    rows.append(row)
                    print("#", row, file=sys.stderr)
    finally:
        world.close()
    figures.keep(options.json, rows)
    report(rows, options)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the connector (default: the release build)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="length of each dnsperf run")
    parser.add_argument("--rate", type=int, default=2000, help="queries a second of the run at a fixed rate")
    parser.add_argument("--json", help="append every single measurement to this file")
    return parser.parse_args()


def write_questions(world, name, domains, chance, label, count):
    path = world.path(name)
    with open(path, "w") as file:
        file.writelines(f"{label}{index}.{chance.choice(domains)} A\n" for index in range(count))
    return path


def connector(world, binary, domains):
    """The connector with these domains in `[split_tunneling]`; what to stop, whose CPU to count, where to ask."""
    gateway = world.start_gateway()
    client = Connector(world, binary, domains)
    process = client.start()
    world.until("the connector's resolver is in resolv.conf", client.resolver, process, seconds=60)
    return [process, gateway], process, (client.resolver(), 53)


def unbound(world, domains):
    """unbound with one thread that forwards these domains and caches."""
    path = world.path("unbound.conf")
    with open(path, "w") as file:
        file.write(f"""server:
  interface: 127.0.0.1@{UNBOUND_PORT}
  do-daemonize: no
  use-syslog: no
  verbosity: 0
  username: ""
  chroot: ""
  pidfile: ""
  directory: "{world.folder}"
  num-threads: 1
  module-config: "iterator"
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  num-queries-per-thread: 4096
  outgoing-range: 8192
remote-control:
  control-enable: no
""")
        file.writelines(f'forward-zone:\n  name: "{domain}."\n  forward-addr: 127.0.0.1@{UPSTREAM_PORT}\n'
                        for domain in domains)
    process = world.start("client", "unbound", "-d", "-c", path)
    return [process], process, ("127.0.0.1", UNBOUND_PORT)


def measure(world, arm, questions, new, options):
    """Warms the cache, then counts CPU as fast as it goes and at a fixed rate, then memory."""
    start = time.monotonic()
    stop, server, where = arm()
    try:
        world.until("the server answers", lambda: ask(world, where, questions, "-n", 1, "-t", 1)["noerror"] > 99,
                    server, seconds=60)
        row = {"ready_s": time.monotonic() - start}
        row["idle_MiB"] = figures.status_number(server.pid, "VmRSS") / 1024
        runs = (("fast", questions, ("-l", options.seconds)),
                ("paced", questions, ("-l", options.seconds, "-Q", options.rate)), ("new", new, ("-n", 1)))
        for kind, file, extra in runs:
            if kind == "new":
                row["MiB"] = figures.status_number(server.pid, "VmRSS") / 1024
            before, asker_before = figures.cpu_seconds(server.pid), asker_seconds()
            result = ask(world, where, file, *extra)
            row[f"{kind}_us"] = (figures.cpu_seconds(server.pid) - before) / max(result["completed"], 1) * 1e6
            row[f"{kind}_asker_us"] = (asker_seconds() - asker_before) / max(result["completed"], 1) * 1e6
            row[f"{kind}_qps"] = result["qps"]
            row[f"{kind}_lost"] = result["lost"]
            row[f"{kind}_noerror"] = result["noerror"]
        return row
    finally:
        for process in stop:
            world.stop(process)


def asker_seconds():
    """CPU time of the programs that this one waited for: within a run, dnsperf."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ask(world, where, questions, *arguments):
    """One run of dnsperf."""
    output = world.run("client", "dnsperf", "-s", where[0], "-p", where[1], "-d", questions, "-c", 4, "-T", 1,
                       *arguments, timeout=120)

    def number(pattern):
        found = re.search(pattern, output)
        return float(found[1]) if found else 0.0

    return {"qps": number(r"Queries per second:\s+([\d.]+)"), "completed": number(r"Queries completed:\s+(\d+)"),
            "lost": number(r"Queries lost:\s+(\d+)"), "noerror": number(r"NOERROR \d+ \(([\d.]+)%\)")}


def report(rows, options):
    def values(arm, domains, metric):
        return [row[metric] for row in rows if row["arm"] == arm and row["domains"] == domains]

    print(f"\n{'arm':<11}{'domains':>8}  {'CPU us per query, fast':<26}{'of dnsperf':<26}{'CPU us, new name':<26}{'queries a second':<36}"
          f"{f'CPU us per query, {options.rate}/s':<30}{'resident, MiB':<26}{'lost':>6}")
    for arm in ("connector", "unbound"):
        for domains in (FEW, MANY):
            lost = sum(sum(values(arm, domains, f"{kind}_lost")) for kind in ("new", "fast", "paced"))
            print(f"{arm:<11}{domains:>8}  {figures.spread(values(arm, domains, 'fast_us')):<26}"
                  f"{figures.spread(values(arm, domains, 'fast_asker_us')):<26}"
                  f"{figures.spread(values(arm, domains, 'new_us'), 1):<26}"
                  f"{figures.spread(values(arm, domains, 'fast_qps'), 0):<36}"
                  f"{figures.spread(values(arm, domains, 'paced_us'), 1):<30}"
                  f"{figures.spread(values(arm, domains, 'MiB'), 1):<26}{lost:>6.0f}")
    cost = {(arm, domains): statistics.median(values(arm, domains, "fast_us"))
            for arm in ("connector", "unbound") for domains in (FEW, MANY)}
    memory = {domains: statistics.median(values("connector", domains, "MiB")) for domains in (FEW, MANY)}
    print()
    for domains in (FEW, MANY):
        print(figures.bar(f"CPU per cached query, {domains:,} domains, ratio of medians to unbound's",
                          cost["connector", domains] / cost["unbound", domains], CPU_BAR))
        new = {arm: statistics.median(values(arm, domains, "new_us")) for arm in ("connector", "unbound")}
        print(figures.bar(f"CPU per name that was never asked, {domains:,} domains, ratio of medians to unbound's",
                          new["connector"] / new["unbound"], NEW_BAR))
    print(figures.bar("CPU per cached query, 100,000 domains against 10, ratio of medians",
                      cost["connector", MANY] / cost["connector", FEW], GROWTH_BAR))
    print(figures.bar("memory, 100,000 domains less 10, difference of medians", memory[MANY] - memory[FEW],
                      MEMORY_BAR_MIB, " MiB"))


if __name__ == "__main__":
    main()
