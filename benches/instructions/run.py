#!/usr/bin/env python3
"""Counts instructions with valgrind: what a packet and a name cost, whatever else the machine does.

Each thing is done a few times and many times; the difference, divided, is the cost of one, without start and end.
`--check` compares with limits.json beside this file (5 % more is too much) and fails; `--write` writes it anew.
Sealing and opening are left out: their code is chosen by the processor, and valgrind shows another one.
"""

import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LIMITS = HERE / "limits.json"
TOLERANCE = 1.05
FEW, MANY = 100, 1_100

# name: crate, argument, how many items one time has
MEASURED = {
    "parse a packet of 1,400 bytes": ("netstack", "parse", 1),
    "parse, classify and translate it": ("netstack", "translate", 1),
    "cut a segment of 1,360 bytes off a super-packet, with checksums": ("netstack", "cut", 44),
    "off-zone query and reply, 10 rules": ("dns", "10", 1),
    "the same, 1,000 rules": ("dns", "1000", 1),
    "the same, 100,000 rules": ("dns", "100000", 1),
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


def main():
    programs = {crate: build(crate) for crate in ("netstack", "dns")}
    found = {}
    for name, (crate, argument, items) in MEASURED.items():
        few, many = (count(programs[crate], argument, times) for times in (FEW, MANY))
        found[name] = round((many - few) / (MANY - FEW) / items)
        print(f"{found[name]:>8}  {name}", flush=True)
    if "--write" in sys.argv:
        LIMITS.write_text(json.dumps(found, indent=2) + "\n")
    if "--check" in sys.argv:
        limits = json.loads(LIMITS.read_text())
        worse = [name for name, instructions in found.items() if instructions > limits[name] * TOLERANCE]
        for name in worse:
            print(f"too many instructions: `{name}`: {found[name]}, limit {limits[name]} and 5 %", file=sys.stderr)
        sys.exit(1 if worse else 0)


if __name__ == "__main__":
    main()
