#!/usr/bin/env python3
"""Memory of many flows through the SOCKS proxy: opened and unused, and after some of them carried 1 MiB down and up.

Resident memory is that of the connector and its children; what the kernel holds for sockets is not in it.
"""

import argparse
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
UNUSED_BAR_KIB = 40
USED_BAR_KIB = 160


def main():
    if len(sys.argv) > 1 and sys.argv[1] in ("serve", "drive"):
        return {"serve": serve, "drive": drive}[sys.argv[1]](*sys.argv[2:])
    options = parse()
    for line in figures.machine():
        print(line)
    raise_limit()  # what is started here inherits it; two descriptors a flow are needed in the private namespace
    world = w.World([])
    try:
        for stack in ("namespace", "smoltcp"):
            measure(world, Proxied(world, connector_binary(options.binary), stack, stack), options)
    finally:
        world.close()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the connector (default: the release build)")
    parser.add_argument("--flows", type=int, default=10000)
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
