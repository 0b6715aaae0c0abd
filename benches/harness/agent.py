"""Small programs that the benches run inside a namespace: a web server, and clients that time what they see.

Times are CLOCK_MONOTONIC, which all processes of a machine share. Results are JSON on standard output.
"""

import json
import os
import socket
import subprocess
import sys
import time


def serve(address, port):
    """Answers every connection with one small HTTP response."""
    server = socket.create_server((address, int(port)), backlog=64)
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"
    while True:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(page)


def first_byte(host, port, *command):
    """Starts `command`, asks for a page as a program would until it arrives, ends it; the times in milliseconds."""
    before = read_resolv_conf()
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    tries, switched, failures = 0, None, {}
    try:
        while True:
            tries += 1
            if switched is None and read_resolv_conf() != before:
                switched = time.monotonic()
            try:
                with socket.create_connection((host, int(port)), 5) as connection:
                    connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                    if connection.recv(1):
                        arrived = time.monotonic()
                        break
            except OSError as error:
                failures[str(error)] = failures.get(str(error), 0) + 1
            if process.poll() is not None or time.monotonic() - start > 30:
                sys.exit(f"no answer: {failures}")
            time.sleep(0.002)
        time.sleep(0.3)
        asked = time.monotonic()
    finally:
        process.terminate()
        process.wait()
    ended = time.monotonic()
    print(json.dumps({"first_byte_ms": (arrived - start) * 1e3, "tries": tries, "failures": failures,
                      "resolver_ms": ((switched or arrived) - start) * 1e3, "stop_ms": (ended - asked) * 1e3,
                      "restored": read_resolv_conf() == before, "exit": process.returncode}))


def refused(host, port, count):
    """Connects `count` times to a port that is not allowed; how long each refusal took, in milliseconds."""
    took, said = [], {}
    address = socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)[0][4]
    for _ in range(int(count)):
        start = time.monotonic()
        try:
            socket.create_connection(address, 5).close()
            sys.exit("the port is open")
        except OSError as error:
            took.append((time.monotonic() - start) * 1e3)
            said[os.strerror(error.errno) if error.errno else str(error)] = len(took)
    print(json.dumps({"took_ms": took, "said": said}))


def echo(address, port):
    """Answers the first byte of every connection with the same byte."""
    server = socket.create_server((address, int(port)), backlog=64)
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(connection.recv(1))
            connection.recv(1)


def connect(host, port, count):
    """Connections one after the other, a byte there and back on each: the median and the 99th percentile, in us."""
    took = []
    for _ in range(int(count)):
        start = time.perf_counter_ns()
        with socket.create_connection((host, int(port)), 5) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(b"x")
            if connection.recv(1) != b"x":
                sys.exit("no echo")
            took.append((time.perf_counter_ns() - start) / 1e3)
    took.sort()
    print(json.dumps({"p50_us": took[len(took) // 2], "p99_us": took[len(took) * 99 // 100]}))


def read_resolv_conf():
    """The text of the file that names the resolvers."""
    with open("/etc/resolv.conf") as file:
        return file.read()


if __name__ == "__main__":
    programs = {"serve": serve, "first-byte": first_byte, "refused": refused, "echo": echo, "connect": connect}
    programs[sys.argv[1]](*sys.argv[2:])
