#!/usr/bin/env python3
"""Counts instructions with valgrind: what a packet and a name cost, whatever else the machine does.

Each thing is done a few times and many times; the difference, divided, is the cost of one, without start and end.
`--check` compares with limits.json beside this file (5 % more is too much) and fails; `--write` writes it anew.
A packet's whole way has sealing and opening in it, whose code is chosen by the processor: the processor that valgrind
shows has no AVX-512, so that these two cost less outside. What the features of the full set-up add to the plain one
is limited too.
"""

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIMITS = HERE / "limits.json"
TOLERANCE = 1.05
# few times, many times, how many items one time has
ONE = (100, 1_100, 1)
SUPER = (5, 55, 44)

# name: crate, argument, times and items
MEASURED = {
    "parse a packet of 1,400 bytes": ("netstack", "parse", ONE),
    "parse, classify and translate it": ("netstack", "translate", ONE),
    "cut a segment of 1,360 bytes off a super-packet, with checksums": ("netstack", "cut", SUPER),
    "out, plain tunnel: a packet of 1,400 bytes": ("netstack", "out-plain-single", ONE),
    "out, all features: a packet of 1,400 bytes": ("netstack", "out-full-single", ONE),
    "out, plain tunnel: a segment of a super-packet": ("netstack", "out-plain-super", SUPER),
    "out, all features: a segment of a super-packet": ("netstack", "out-full-super", SUPER),
    "back, plain tunnel: a packet of 1,400 bytes": ("netstack", "back-plain-single", ONE),
    "back, all features: a packet of 1,400 bytes": ("netstack", "back-full-single", ONE),
    "back, plain tunnel: a segment of 44 joined": ("netstack", "back-plain-super", SUPER),
    "back, all features: a segment of 44 joined": ("netstack", "back-full-super", SUPER),
    "off-zone query and reply, 10 rules": ("dns", "10", ONE),
    "the same, 1,000 rules": ("dns", "1000", ONE),
    "the same, 100,000 rules": ("dns", "100000", ONE),
}


def build(crate):
    """Builds the bench with the release profile and gives its path."""
    command = ["cargo", "bench", "--locked", "--no-run", "-p", f"openztna-{crate}", "--bench", "instructions"]
    command += ["--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    made = [json.loads(line) for line in lines]
    return next(part["executable"] for part in made if part.get("executable"))


def count(program, argument, times):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, argument, str(times)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(re.search(r"Collected : (\d+)", run.stderr).group(1))


def cost(programs, crate, argument, times):
    """Instructions of one item."""
    fewer, more, items = times
    few, many = (count(programs[crate], argument, count_of) for count_of in (fewer, more))
    return round((many - few) / (more - fewer) / items)


def too_many(found):
    """What costs more than it did, and where features cost more than they may."""
    limits = json.loads(LIMITS.read_text())
    for name, instructions in found.items():
        if instructions > limits[name] * TOLERANCE:
            yield f"`{name}`: {instructions}, limit {limits[name]} and 5 %"
        plain = name.replace("all features", "plain tunnel")
        if instructions > found[plain] * TOLERANCE:
            yield f"`{name}`: {instructions}, without the features {found[plain]}"


def main():
    programs = {crate: build(crate) for crate in ("netstack", "dns")}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(MEASURED, pool.map(lambda what: cost(programs, *what), MEASURED.values())))
    for name, instructions in found.items():
        print(f"{instructions:>8}  {name}")
    if "--write" in sys.argv:
        LIMITS.write_text(json.dumps(found, indent=2) + "\n")
    if "--check" in sys.argv:
        worse = list(too_many(found))
        for what in worse:
            print(f"too many instructions: {what}", file=sys.stderr)
        sys.exit(1 if worse else 0)


if __name__ == "__main__":
    main()
