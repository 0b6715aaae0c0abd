"""A laptop, a WAN router, a WireGuard gateway and an internal host, as four network namespaces of one machine.

    client 198.51.100.2 --- .1 wan 203.0.113.1 --- .2 gateway 10.77.0.1 --- 10.77.0.2 internal
                               192.0.2.53 public DNS                        10.77.0.53 internal DNS

Needs root. The names carry the process id, so runs do not meet; `World.close` ends what it started and removes the
namespaces. It is called on every exit but `kill -9`.
"""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CLIENT_ADDRESS = "10.77.9.3"
GATEWAY_ENDPOINT = "203.0.113.2:51820"
INTERNAL_HOST = "10.77.0.2"
INTERNAL_DNS = "10.77.0.53"
INTERNAL_NETWORK = "10.77.0.0/24"
PUBLIC_DNS = "192.0.2.53"
TUNNEL_MTU = 1420
# Long enough that nothing expires within a run.
ANSWER_TTL_S = 7200


class World:
    """The namespaces, a folder for scratch files, and every process started in them."""

    def __init__(self, programs):
        require(["ip", "wg", "wireguard-go", "dnsmasq", *programs])
        self.folder = tempfile.mkdtemp(prefix="connector-bench.")
        os.chmod(self.folder, 0o755)
        self.spaces = {role: f"bench{os.getpid()}-{role}" for role in ("client", "wan", "gateway", "internal")}
        self.link = f"bg{os.getpid()}"
        self.processes = []
        # A signal becomes an exception, so that the clean-up below runs.
        for ending in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(ending, lambda number, _frame: sys.exit(128 + number))
        atexit.register(self.close)
        self._namespaces()
        self._keys()
        self._servers()

    def command(self, role, *arguments):
        """The command line that runs `arguments` in the namespace of `role`."""
        return ["ip", "netns", "exec", self.spaces[role], *map(str, arguments)]

    def run(self, role, *arguments, timeout=60):
        """Runs a program to its end and returns its output; a failure is a RuntimeError with what it said."""
        done = subprocess.run(self.command(role, *arguments), capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, arguments))}: {(done.stderr or done.stdout).strip()[-300:]}")
        return done.stdout

    def start(self, role, *arguments, env=None):
        """Starts a program that stays; its output goes to a log in the folder. `ip netns exec` becomes the program."""
        log = self.path(f"{len(self.processes):03d}-{os.path.basename(str(arguments[0]))}.log")
        with open(log, "wb") as output:
            process = subprocess.Popen(self.command(role, *arguments), stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
        process.log = log
        self.processes.append(process)
        return process

    def stop(self, process, seconds=10):
        """Ends a process that `start` gave, by SIGTERM, after `seconds` by SIGKILL."""
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def path(self, name):
        """A scratch file."""
        return os.path.join(self.folder, name)

    def until(self, what, check, process=None, seconds=20, every=0.02):
        """Waits until `check()` is true; it may raise RuntimeError to say not yet."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if check():
                    return
            except (RuntimeError, subprocess.TimeoutExpired):
                pass
            if process and process.poll() is not None:
                break
            time.sleep(every)
        log = open(process.log).read()[-1500:] if process else ""
        raise RuntimeError(f"{what}: not within {seconds} s\n{log}")

    def start_gateway(self):
        """A gateway of Debian's wireguard-go that knows the client's key; fresh for every arm."""
        process = self.start("gateway", "wireguard-go", "-f", self.link, env={"WG_PROCESS_FOREGROUND": "1"})
        configure = ("wg", "set", self.link, "listen-port", GATEWAY_ENDPOINT.split(":")[1], "private-key",
                     self.path("gateway.key"), "peer", self.client_public, "allowed-ips", f"{CLIENT_ADDRESS}/32")
        self.until("the gateway starts", lambda: self.run("gateway", *configure) is not None, process)
        self._ip("gateway", "link", "set", self.link, "mtu", TUNNEL_MTU, "up")
        self._ip("gateway", "route", "add", f"{CLIENT_ADDRESS}/32", "dev", self.link)
        return process

    def close(self):
        """Ends every process and removes the namespaces; safe to call twice."""
        atexit.unregister(self.close)
        for process in reversed(self.processes):
            self.stop(process)
        for space in self.spaces.values():
            subprocess.run(["ip", "netns", "del", space], capture_output=True)
        shutil.rmtree(f"/etc/netns/{self.spaces['client']}", ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ip(self, role, *arguments):
        subprocess.run(["ip", "-n", self.spaces[role], *map(str, arguments)], check=True)

    def _namespaces(self):
        os.makedirs(f"/etc/netns/{self.spaces['client']}")
        with open(f"/etc/netns/{self.spaces['client']}/resolv.conf", "w") as file:
            file.write(f"nameserver {PUBLIC_DNS}\n")
        for role, space in self.spaces.items():
            subprocess.run(["ip", "netns", "add", space], check=True)
            self._ip(role, "link", "set", "lo", "up")
            if role in ("wan", "gateway"):
                self.run(role, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self._cable("client", "eth0", "198.51.100.2/24", "wan", "eth0", "198.51.100.1/24")
        self._cable("wan", "eth1", "203.0.113.1/24", "gateway", "eth0", "203.0.113.2/24")
        self._cable("gateway", "eth1", "10.77.0.1/24", "internal", "eth0", f"{INTERNAL_HOST}/24")
        self._ip("internal", "addr", "add", f"{INTERNAL_DNS}/24", "dev", "eth0")
        self._ip("wan", "addr", "add", f"{PUBLIC_DNS}/32", "dev", "lo")
        self._ip("client", "route", "add", "default", "via", "198.51.100.1")
        self._ip("gateway", "route", "add", "default", "via", "203.0.113.1")
        self._ip("internal", "route", "add", "default", "via", "10.77.0.1")

    def _cable(self, one, one_link, one_address, other, other_link, other_address):
        subprocess.run(["ip", "link", "add", one_link, "netns", self.spaces[one], "type", "veth",
                        "peer", "name", other_link, "netns", self.spaces[other]], check=True)
        for role, link, address in ((one, one_link, one_address), (other, other_link, other_address)):
            self._ip(role, "addr", "add", address, "dev", link)
            self._ip(role, "link", "set", link, "up")

    def _keys(self):
        self.client_public = self._key("client.key")
        self.gateway_public = self._key("gateway.key")

    def _key(self, name):
        private = subprocess.run(["wg", "genkey"], check=True, capture_output=True, text=True).stdout
        with open(os.open(self.path(name), os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(private)
        public = subprocess.run(["wg", "pubkey"], input=private, check=True, capture_output=True, text=True).stdout
        return public.strip()

    def _servers(self):
        """Internal DNS answers every name with the internal host; public DNS knows no protected name."""
        self.dnsmasq("internal", INTERNAL_DNS, 53, f"--address=/#/{INTERNAL_HOST}")
        self.dnsmasq("wan", PUBLIC_DNS, 53, "--local=/example.com/", "--local=/example/")

    def dnsmasq(self, role, address, port, *options):
        """A DNS server without a cache and without upstreams."""
        return self.start(role, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=",
                          "--user=root", "--no-resolv", "--no-hosts", "--bind-interfaces", "--cache-size=0",
                          f"--listen-address={address}", f"--port={port}", f"--local-ttl={ANSWER_TTL_S}", *options)


def require(programs):
    """Ends with a message if this is not root or a program is missing."""
    if os.geteuid() != 0:
        sys.exit("error: needs root: it makes network namespaces")
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        sys.exit(f"error: not installed: {', '.join(missing)}\nhint: apt-get install dnsmasq dnsperf iperf3 iproute2 "
                 "iputils-ping unbound wireguard-go wireguard-tools")
