#!/usr/bin/env python3
"""How long transfers take on lossy paths between a connector without a TUN and our gateway, which both end TCP.

Runs the end-to-end tests `proxied_transfers_end_well_on_a_lossy_path_…`, in turns with the kernel's TCP from end to end
(wireguard-go at both ends) through the same relay: up, then down, by SOCKS. The private namespace answers loss by BBR,
the stack in user space by CUBIC; `--kernel-tcp` says how the kernel at both ends does. Silence is the longest time
without a byte at who receives.
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
TESTS = {"namespace": "proxied_transfers_end_well_on_a_lossy_path_in_private_namespaces",
         "smoltcp": "proxied_transfers_end_well_on_a_lossy_path_over_the_stack_in_user_space"}
LINE = re.compile(r"round (\d+) (\S+): up (\d+) down (\d+) silence up (\d+) down (\d+)")
RATIO_BAR = 1.3
SILENCE_BAR_S = 3


def main():
    options = parse()
    for line in figures.machine():
        print(line)
    for stack in options.stack or TESTS:
        rows = [row(found) for found in LINE.finditer(measure(options, stack))]
        figures.keep(options.json, [{"loss": options.loss, "rtt_ms": options.rtt, "mib": options.mib,
                                     "kernel_tcp": options.kernel_tcp, **one} for one in rows])
        report(rows, stack)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=100, help="each way")
    parser.add_argument("--loss", type=float, default=0.001, help="chance between 0 and 1")
    parser.add_argument("--rtt", type=int, default=20, help="milliseconds there and back")
    parser.add_argument("--kernel-tcp", default="cubic", help="congestion control of the kernel's transfers, or bbr")
    parser.add_argument("--stack", action="append", choices=list(TESTS), help="only this one")
    parser.add_argument("--release", action="store_true", help="the release build instead of the development build")
    parser.add_argument("--json", help="append every single measurement to this file")
    return parser.parse_args()


def measure(options, stack):
    """What the test prints."""
    release = ["--release"] if options.release else []
    command = ["cargo", "test", *release, "--test", "e2e", "--", "--nocapture", TESTS[stack]]
    variables = {"ROUNDS": options.rounds, "MIB": options.mib, "LOSS": options.loss, "RTT_MS": options.rtt}
    variables = {f"OPENZTNA_E2E_PROXIED_{name}": str(value) for name, value in variables.items()}
    variables["OPENZTNA_E2E_TCP"] = options.kernel_tcp
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"error: the test failed\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def row(found):
    """One transfer both ways."""
    number, client, *times = found.groups()
    names = ("up_s", "down_s", "silence_up_s", "silence_down_s")
    return {"round": int(number), "client": client, **{name: int(ms) / 1000 for name, ms in zip(names, times)}}


def report(rows, stack):
    """Seconds and silences per direction, and our ratio to the kernel."""
    for way in ("up", "down"):
        values = {client: [one[f"{way}_s"] for one in rows if one["client"] == client] for client in (stack, "kernel")}
        silence = max(one[f"silence_{way}_s"] for one in rows if one["client"] == stack)
        print(f"{stack} {way}: {figures.spread(values[stack])} s, kernel {figures.spread(values['kernel'])} s")
        ratio = figures.statistics.median(values[stack]) / figures.statistics.median(values["kernel"])
        print(" ", figures.bar("time over that of the kernel", ratio, RATIO_BAR))
        print(" ", figures.bar("longest silence", silence, SILENCE_BAR_S, " s"))


if __name__ == "__main__":
    main()
