#!/usr/bin/env python3
"""Memory of many flows through the SOCKS proxy: opened and unused, and after some of them carried 1 MiB down and up.

Resident memory is that of the connector and its children; what the kernel holds for sockets is not in it. With
`--rate N` instead: N new connections a second for `--seconds`, each opened, used for four bytes there and back, and
closed; what fails is counted.
"""

import argparse
import asyncio
import json
import os
import resource
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import figures, world as w  # noqa: E402
from harness.clients import connector_binary  # noqa: E402
from run import Proxied  # noqa: E402

PORT = 7007
CARRIED = 1 << 20
# How long a new connection may take before it counts as an error.
PATIENCE_S = 30
UNUSED_BAR_KIB = 40
USED_BAR_KIB = 160


def main():
    programs = {"serve": serve, "drive": drive, "echo": echo, "begin": begin}
    if len(sys.argv) > 1 and sys.argv[1] in programs:
        return programs[sys.argv[1]](*sys.argv[2:])
    options = parse()
    for line in figures.machine():
        print(line)
    raise_limit()  # what is started here inherits it; two descriptors a flow are needed in the private namespace
    world = w.World([])
    try:
        for stack in options.stack or ("namespace", "smoltcp"):
            (measure_rate if options.rate else measure)(world, Proxied(world, connector_binary(options.binary), stack, stack), options)
    finally:
        world.close()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the connector (default: the release build)")
    parser.add_argument("--flows", type=int, default=10000)
    parser.add_argument("--stack", action="append", choices=("namespace", "smoltcp"), help="only this one")
    parser.add_argument("--rate", type=int, help="new connections a second, instead of many at once")
    parser.add_argument("--seconds", type=int, default=30, help="how long at that rate")
    parser.add_argument("--used", type=int, default=1000, help="how many of them carry 1 MiB each way")
    return parser.parse_args()


def measure(world, arm, options):
    gateway, client = world.start_gateway(), None
    server = world.start("internal", sys.executable, os.path.abspath(__file__), "serve")
    try:
        client = arm.start()
        world.until("the way is open", lambda: world.run(
            "client", sys.executable, os.path.abspath(__file__), "drive", client.pid, 1, 1), client, seconds=30)
        output = world.run("client", sys.executable, os.path.abspath(__file__), "drive", client.pid, options.flows,
                           options.used, timeout=900)
        before, opened, used, seconds = map(float, output.split())
        unused = (opened - before) / options.flows
        print(f"{arm.name}: {options.flows} flows opened in {seconds:.1f} s; resident before {before:.0f} KiB")
        print(figures.bar(f"{arm.name}: a flow opened and unused", unused, UNUSED_BAR_KIB, " KiB"))
        grown = unused + (used - opened) / options.used
        print(figures.bar(f"{arm.name}: one after 1 MiB either way", grown, USED_BAR_KIB, " KiB"))
    finally:
        if client:
            world.stop(client)
        world.stop(server)
        world.stop(gateway)


def measure_rate(world, arm, options):
    gateway, client = world.start_gateway(), None
    server = world.start("internal", sys.executable, os.path.abspath(__file__), "echo")

    def begin_some(rate, count):
        output = world.run("client", sys.executable, os.path.abspath(__file__), "begin", rate, count, timeout=300)
        return json.loads(output)

    def is_open():
        return begin_some(10, 1)["errors"] == {}

    try:
        client = arm.start()
        world.until("the way is open", is_open, client, seconds=30)
        before = figures.cpu_seconds(client.pid)
        result = begin_some(options.rate, options.rate * options.seconds)
        cpu = figures.cpu_seconds(client.pid) - before
        each = cpu / (options.rate * options.seconds) * 1e6
        print(f"{arm.name}: {json.dumps(result)}; {each:.0f} us of the connector's CPU a connection")
        print(figures.bar(f"{arm.name}: errors", sum(result["errors"].values()), 0))
    finally:
        if client:
            world.stop(client)
        world.stop(server)
        world.stop(gateway)


def echo():
    """Sends back everything, on any number of connections."""
    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.data_received = transport.write

    async def run():
        server = await asyncio.get_running_loop().create_server(Echo, w.INTERNAL_HOST, PORT, backlog=4096)
        await server.serve_forever()
    raise_limit()
    asyncio.run(run())


def begin(rate, count):
    """Begins connections at a steady rate; prints the errors, how long it took, and the slowest ones as JSON."""
    rate, count, errors, took = int(rate), int(count), {}, []
    request = b"\x05\x01\x00\x05\x01\x00\x01" + socket.inet_aton(w.INTERNAL_HOST) + struct.pack("!H", PORT)

    async def one(at):
        await asyncio.sleep(max(0, at - time.monotonic()))
        start = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", 1080)
        try:
            writer.write(request)
            reply = await reader.readexactly(12)
            if reply[3] != 0:
                raise ConnectionError(f"reply {reply[3]}")
            writer.write(b"ping")
            await reader.readexactly(4)
            took.append(time.monotonic() - start)
        finally:
            writer.close()

    async def counted(at):
        try:
            await asyncio.wait_for(one(at), max(0, at - time.monotonic()) + PATIENCE_S)
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            name = f"{type(error).__name__} {error}"
            errors[name] = errors.get(name, 0) + 1

    async def run():
        start, tasks = time.monotonic(), set()
        for number in range(count):
            at = start + number / rate
            if at > time.monotonic() + 0.01:
                await asyncio.sleep(at - time.monotonic())
            tasks.add(task := asyncio.create_task(counted(at)))
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        took.sort()
        print(json.dumps({"connections": count, "seconds": round(time.monotonic() - start, 2), "errors": errors,
                          **{f"p{part}_ms": round(took[int(len(took) * part / 100) - 1] * 1e3, 1)
                             for part in (50, 99, 100) if took}}))
    raise_limit()
    asyncio.run(run())


def serve():
    """Gives and takes as many bytes as the client says; one at a time."""
    import selectors
    raise_limit()
    selector, listener = selectors.DefaultSelector(), socket.create_server((w.INTERNAL_HOST, PORT), backlog=4096)
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                selector.register(connection, selectors.EVENT_READ)
                continue
            head = key.fileobj.recv(4)
            if not head:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                continue
            count, = struct.unpack("!I", head)
            key.fileobj.sendall(bytes(count))
            take(key.fileobj, count)
            key.fileobj.sendall(b"!")


def drive(pid, flows, used):
    """Opens the flows, uses some; prints resident KiB before, opened, used, and how long opening took."""
    raise_limit()
    before, start, streams = resident(pid), time.monotonic(), []
    for _ in range(int(flows)):
        stream = socket.create_connection(("127.0.0.1", 1080), 20)
        stream.settimeout(60)
        stream.sendall(b"\x05\x01\x00")
        assert take(stream, 2) == b"\x05\x00"
        stream.sendall(b"\x05\x01\x00\x01" + socket.inet_aton(w.INTERNAL_HOST) + struct.pack("!H", PORT))
        reply = take(stream, 10)
        assert reply[1] == 0, f"{reply} to flow {len(streams)}"
        streams.append(stream)
    seconds = time.monotonic() - start
    time.sleep(1)
    opened = resident(pid)
    for stream in streams[-int(used):]:
        stream.sendall(struct.pack("!I", CARRIED))
        take(stream, CARRIED)
        stream.sendall(bytes(CARRIED))
        assert take(stream, 1) == b"!"
    time.sleep(1)
    print(before, opened, resident(pid), seconds)


def take(stream, count):
    data = bytearray()
    while len(data) < count:
        piece = stream.recv(min(1 << 16, count - len(data)))
        assert piece, "closed early"
        data += piece
    return bytes(data)


def resident(pid):
    return sum(figures.status_number(one, "VmRSS") for one in figures.process_tree(int(pid)))


def raise_limit():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
