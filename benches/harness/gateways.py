"""The gateways that a bench puts behind the clients: each is started anew for every arm of a round."""

import os

from . import world as w
from .clients import Floor, program


class WireguardGo:
    """Debian's wireguard-go: it reads and sends datagrams one by one."""

    name = "wireguard-go"

    def __init__(self, world):
        self.world = world

    def start(self):
        return self.world.start_gateway()


class OurGateway:
    """`openztna-gateway`, which lets the client reach the internal network."""

    def __init__(self, world, egress, stack="auto", binary=None):
        self.world, self.egress, self.name = world, egress, f"our gateway, {egress} egress"
        self.binary = program("openztna-gateway", binary)
        self.config = world.path(f"gateway-{egress}-{stack}.toml")
        with open(self.config, "w") as file:
            file.write(f"""
listen = ["0.0.0.0:{w.GATEWAY_ENDPOINT.split(':')[1]}"]
private_key_file = "{world.path('gateway.key')}"
dns = ["{w.INTERNAL_DNS}"]
egress = "{egress}"
stack = "{stack}"
audit_file = "{world.path('audit.jsonl')}"

[[application]]
name = "range"
hosts = ["{w.INTERNAL_NETWORK}"]
ports = ["tcp/*", "udp/*", "icmp"]

[[peer]]
name = "client"
public_key = "{world.client_public}"
allowed_ips = ["{w.CLIENT_ADDRESS}/32"]
applications = ["range"]
""")

    def start(self):
        state = self.world.path("gateway-state")
        os.makedirs(state, exist_ok=True)
        return self.world.start("gateway", self.binary, "run", "--config", self.config,
                                env={"OPENZTNA_STATE_DIR": state})


class FloorGateway:
    """The other end of the floor."""

    name = "floor"

    def __init__(self, world, binary):
        self.floor = Floor(world, binary, "gateway", "10.77.8.1", f"{w.CLIENT_ADDRESS}/32", "198.51.100.2:51820")

    def start(self):
        return self.floor.start()
