#!/usr/bin/env python3
"""How long transfers take on lossy paths of 20 ms, with the connector, with wireguard-go and without any tunnel.

Runs the end-to-end test `transfers_end_well_on_lossy_paths`, whose relay makes the loss and the delay: TCP (CUBIC) up,
then down, one client after the other in each round. The relay carries the tunnels' datagrams; without a tunnel a router
does the same to the packets. The ratio is that of the medians; losses that hit a connection while it is young make
single times differ by a factor.
"""

import argparse
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import figures  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEST = "transfers_end_well_on_lossy_paths"
LINE = re.compile(r"loss (\S+) round (\d+) ([^:]+): up (\d+) down (\d+)")
OURS, RATIO_BAR = "connector", 1.1


def main():
    options = parse()
    for line in figures.machine():
        print(line)
    rows = [row(found) for found in LINE.finditer(options.read.read() if options.read else measure(options))]
    figures.keep(options.json, rows)
    report(rows)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=8, help="each way")
    parser.add_argument("--release", action="store_true", help="the release build instead of the development build")
    parser.add_argument("--read", type=argparse.FileType(), help="what an earlier run of the test printed")
    parser.add_argument("--json", help="append every single measurement to this file")
    return parser.parse_args()


def measure(options):
    """What the test prints."""
    command = ["cargo", "test", *(["--release"] if options.release else []), "--test", "e2e", "--", "--nocapture", TEST]
    variables = {"OPENZTNA_E2E_LOSSY_ROUNDS": str(options.rounds), "OPENZTNA_E2E_LOSSY_MIB": str(options.mib)}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"error: the test failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def row(found):
    """One transfer both ways."""
    loss, number, client, up, down = found.groups()
    return {"loss": float(loss), "round": int(number), "client": client, "up_s": int(up) / 1000,
            "down_s": int(down) / 1000}


def report(rows):
    """Seconds per loss, direction and client, and our ratio to each of the others."""
    for loss in sorted({one["loss"] for one in rows}):
        for way in ("up_s", "down_s"):
            times = {}
            for one in rows:
                if one["loss"] == loss:
                    times.setdefault(one["client"], []).append(one[way])
            print(f"loss {loss:.1%} {way.removesuffix('_s')}")
            for client, values in times.items():
                print(f"  {client:14}{figures.spread(values)} s")
            for client, values in times.items():
                if client != OURS and times.get(OURS):
                    ratio = figures.statistics.median(times[OURS]) / figures.statistics.median(values)
                    print(" ", figures.bar(f"time over that of {client}", ratio, RATIO_BAR))


if __name__ == "__main__":
    main()
