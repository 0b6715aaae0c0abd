"""Arms in turns, A B C A B C: each is started with a gateway of its own, measured, stopped."""

import argparse
import subprocess
import sys

from . import figures


def options(documentation, seconds=5):
    """A parser of the options that all benches in rounds have."""
    parser = argparse.ArgumentParser(description=documentation,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the connector (default: the release build)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=seconds, help="length of each iperf3 run")
    parser.add_argument("--arm", action="append", help="only this arm (several times for several)")
    parser.add_argument("--json", help="append every single measurement to this file")
    return parser


def run(world, arms, given, tests):
    """`tests(arm, client, gateway)` gives pairs of a name and a function that returns a row. All rows; a test that
    fails is said and left out."""
    arms = [arm for arm in arms if not given.arm or arm.name in given.arm]
    rows = []
    try:
        for number in range(given.rounds):
            for arm in arms:
                try:
                    rows += one(world, arm, number, tests)
                except RuntimeError as error:
                    print(f"failed: {arm.name}: {error}", file=sys.stderr)
    finally:
        world.close()
    figures.keep(given.json, rows)
    return rows


def one(world, arm, number, tests):
    rows, client, gateway = [], None, arm.gateway.start()
    try:
        client = arm.start()
        for test, measure in tests(arm, client, gateway):
            try:
                rows.append({"arm": arm.name, "test": test, "round": number, **measure()})
            except (RuntimeError, KeyError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
                print(f"failed: {arm.name} {test}: {error}", file=sys.stderr)
                continue
            print("#", " ".join(f"{key}={value:.3f}" if isinstance(value, float) else str(value)
                                for key, value in rows[-1].items()), file=sys.stderr, flush=True)
    finally:
        if client:
            world.stop(client)
        world.stop(gateway)
    return rows


def values(rows, arm, test, metric):
    """All measurements of one metric."""
    return [row[metric] for row in rows if row["arm"] == arm and row["test"] == test and metric in row]
