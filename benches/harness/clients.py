"""The clients under test: the connector, and programs that speak the WireGuard userspace interface."""

import os
import shutil
import subprocess
import sys
import tempfile

from . import world as w

WILDCARD = "*.corp.example.com"


class Connector:
    """The connector of this repository, configured for an address range, a wildcard name and any number of domains.

    Its state folder lasts as long as the object: a start finds what the start before it kept.
    """

    def __init__(self, world, binary, include_domains=()):
        self.world, self.binary, self.name = world, binary, "connector"
        self.state = tempfile.mkdtemp(prefix="state.", dir=world.folder)
        self.env = {"OPENZTNA_STATE_DIR": self.state}
        self.config = world.path(f"connector-{len(include_domains)}.toml")
        domains = ", ".join(f'"{domain}"' for domain in include_domains)
        with open(self.config, "w") as file:
            file.write(self._settings())
            if domains:
                file.write(f"\n[split_tunneling]\nenabled = true\ninclude_domains = [{domains}]\n")

    def command(self):
        """What starts it in the foreground."""
        return [self.binary, "run", "--config", self.config]

    def start(self):
        """Starts it without waiting for anything."""
        return self.world.start("client", *self.command(), env=self.env)

    def resolver(self):
        """The address of its resolver, as resolv.conf names it; None while the system asks others."""
        words = self.world.run("client", "cat", "/etc/resolv.conf").split()
        found = words[words.index("nameserver") + 1]
        return None if found == w.PUBLIC_DNS else found

    def _settings(self):
        # The ports leave tcp/81 out on purpose: the refusal bench connects to it.
        return f"""
[[gateway]]
name = "hq"
public_key = "{self.world.gateway_public}"
endpoint = "{w.GATEWAY_ENDPOINT}"
address = ["{w.CLIENT_ADDRESS}/32"]
allowed_ips = ["10.77.0.0/16"]
private_key_file = "{self.world.path('client.key')}"
dns = ["{w.INTERNAL_DNS}"]

[[application]]
name = "range"
host = "{w.INTERNAL_NETWORK}"
ports = ["tcp/*", "udp/*", "icmp"]
gateway = "hq"

[[application]]
name = "names"
host = "{WILDCARD}"
ports = ["tcp/80", "tcp/5201", "udp/*", "icmp"]
gateway = "hq"
"""


class Userspace:
    """A program that makes a link and is set up by `wg` and `ip`: wireguard-go and its relatives."""

    def __init__(self, world, name, command):
        self.world, self.name, self.command = world, name, command
        self.link = f"bc{os.getpid()}"

    def start(self):
        """Starts it and sets key, peer, address and route."""
        process = self.world.start("client", *self.command, self.link, env={"WG_PROCESS_FOREGROUND": "1"})
        configure = ("wg", "set", self.link, "private-key", self.world.path("client.key"),
                     "peer", self.world.gateway_public, "endpoint", w.GATEWAY_ENDPOINT,
                     "allowed-ips", "10.77.0.0/16", "persistent-keepalive", "25")
        self.world.until(f"{self.name} starts", lambda: self.world.run("client", *configure) is not None, process)
        for words in (("addr", "add", f"{w.CLIENT_ADDRESS}/32", "dev", self.link),
                      ("link", "set", self.link, "mtu", str(w.TUNNEL_MTU), "up"),
                      ("route", "add", w.INTERNAL_NETWORK, "dev", self.link)):
            subprocess.run(["ip", "-n", self.world.spaces["client"], *words], check=True)
        return process


def reference_clients(world):
    """wireguard-go, and boringtun and gotatun if they are in PATH or named by BORINGTUN_CLI and GOTATUN_CLI."""
    found = [Userspace(world, "wireguard-go", ["wireguard-go", "-f"])]
    for name, variable in (("boringtun-cli", "BORINGTUN_CLI"), ("gotatun-cli", "GOTATUN_CLI")):
        program = os.environ.get(variable) or shutil.which(name)
        if program:
            found.append(Userspace(world, name, [program, "-f", "--disable-drop-privileges"]))
    return found


class Floor:
    """The least that a tunnel can cost: `benches/floor`, whose both ends are alike."""

    name = "floor"

    def __init__(self, world, binary, role="client", address=w.CLIENT_ADDRESS, network=w.INTERNAL_NETWORK,
                 peer=w.GATEWAY_ENDPOINT):
        self.world, self.binary, self.role = world, binary, role
        self.address, self.network, self.peer = address, network, peer

    def start(self):
        """Starts it and sets address and route of the link that it made."""
        process = self.world.start(self.role, self.binary, f"fl{self.role[0]}", "51820", self.peer)
        self.world.until("the floor starts", lambda: open(process.log).read().endswith("\n"), process)
        link = open(process.log).read().split()[-1]
        for words in (("addr", "add", f"{self.address}/32", "dev", link),
                      ("link", "set", link, "mtu", str(w.TUNNEL_MTU), "up"),
                      ("route", "add", self.network, "dev", link)):
            subprocess.run(["ip", "-n", self.world.spaces[self.role], *words], check=True)
        return process


def connector_binary(given):
    """The connector to measure: what was given, or the release build of this repository."""
    return program("openztna-client-connector", given)


def program(name, given=None):
    """A program of this repository: what was given, or the release build."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
    binary = os.path.abspath(given or os.path.join(target, "release", name))
    if not os.access(binary, os.X_OK):
        sys.exit(f"error: no program at `{binary}`\nhint: cargo build --release --workspace --bins")
    return binary
