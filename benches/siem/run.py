#!/usr/bin/env python3
"""Many events with hostile values to rsyslog and to an HTTP Event Collector, in each format: what arrives, and the cost.

arrives  every number once or more, every value as docs/events.md says it appears, by readers of this file's own
cost     processor time of an event: of the connector's thread (keep, chain, format, send) and of rsyslogd
kill     the receiver is killed (SIGKILL) again and again while events flow: which numbers never arrive

Needs root for nothing; rsyslogd and openssl must be installed.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COLLECTOR = os.path.join(REPOSITORY, "tests/e2e/servers/hec.py")
TOKEN = "Splunk 11111111-fake-fake-fake-111111111111"
VALUES = [
    "wiki", "a=b c=d", "msg=forged cs1=x", "x|y\\|z", "\\", "back\\slash\\=", "line\nCEF:0|Evil|x|1|1|x|1|",
    "\r\n<13>1 - - - - - - forged", "tab\tsev=10", "nul\0nul", "\u202egpj.exe\u2066", "\ufeffbom\u0085next\u2028line",
    '"quote" {"a":1}', "ünïcödé 名前 🦀", "x leading and trailing", "\x1b[31mred", "long " * 150,
]
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
CPU_TICK = os.sysconf("SC_CLK_TCK")


def main():
    options = parse()
    binary = options.binary or os.path.join(
        os.environ.get("CARGO_TARGET_DIR", os.path.join(REPOSITORY, "target")), "release/examples/siem_load")
    with tempfile.TemporaryDirectory() as folder:
        certificates(folder)
        write(folder, "values.json", json.dumps(VALUES))
        bad = 0
        for transport in options.transports.split(","):
            for form in options.formats.split(","):
                bad += once(folder, binary, transport, form, options.count, options.kills)
    sys.exit(1 if bad else 0)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the example siem_load (default: the release build)")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--transports", default="tcp,tls,hec")
    parser.add_argument("--formats", default="CEF,LEEF,JSON")
    parser.add_argument("--kills", type=int, default=0, help="how often the receiver is killed meanwhile")
    return parser.parse_args()


def once(folder, binary, transport, form, count, kills):
    place = tempfile.mkdtemp(dir=folder)
    port = free_port()
    receiver = Receiver(folder, place, transport, port)
    destination = {
        "tcp": f"syslog+tcp://127.0.0.1:{port}",
        "tls": f"syslog+tls://localhost:{port}",
        "udp": f"syslog://127.0.0.1:{port}",
        "hec": f"http://127.0.0.1:{port}/services/collector/event",
    }[transport]
    config = write(place, "c.toml", f"""[logging]
siem_integration = true
siem_format = "{form}"
siem_destination = "{destination}"
siem_http_headers = {{ "Authorization" = "{TOKEN}" }}
siem_additional_fields = ["application"]
siem_ca_file = "{folder}/ca.pem"
""")
    state = os.path.join(place, "state")
    load = subprocess.Popen([binary, config, state, str(count), os.path.join(folder, "values.json")],
                            stdout=subprocess.PIPE, text=True)
    for _ in range(kills):
        time.sleep(1.5)
        if load.poll() is None:
            receiver.kill_and_start()
    report = load.communicate()[0]
    if load.returncode != 0:
        receiver.stop()
        print(f"{transport} {form}: the load failed")
        return 1
    report = json.loads(report)
    receiver.settle(count)
    cost = receiver.cpu()
    receiver.stop()
    found, doubled, differences = check(receiver.file, form, transport)
    missing = count - len(found)
    print(f"{transport:4} {form:4}: {len(found)} of {count} arrived, {missing} missing, {doubled} twice, "
          f"{differences} differences, {report['lost']} lost, {report['elapsed']:.1f} s; an event costs us "
          f"{report['cpu'] / count * 1e6:.1f} us" + (f", rsyslogd {cost / count * 1e6:.1f} us" if cost and not kills else ""),
          flush=True)
    return int(bool(differences or report["lost"] or (missing and not kills)))


class Receiver:
    def __init__(self, folder, place, transport, port):
        self.folder, self.place, self.transport, self.port = folder, place, transport, port
        self.file = os.path.join(place, "received.jsonl")
        self.start()

    def start(self):
        if self.transport == "hec":
            command = [sys.executable, COLLECTOR, "127.0.0.1", str(self.port), self.file, "ack"]
        else:
            text = RSYSLOG.replace("@FOLDER@", self.folder).replace("@PLACE@", self.place)
            module = "imudp" if self.transport == "udp" else "imtcp"
            tls = ' StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"'
            text += f'input(type="{module}" address="127.0.0.1" port="{self.port}"{tls if self.transport == "tls" else ""})\n'
            config = write(self.place, "rsyslog.conf", text)
            command = ["/usr/sbin/rsyslogd", "-n", "-f", config, "-i", os.path.join(self.place, "pid")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if self.transport == "udp":
            return time.sleep(1)
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.05)
        sys.exit("the receiver does not listen")

    def kill_and_start(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        try:
            os.remove(os.path.join(self.place, "pid"))
        except FileNotFoundError:
            pass
        self.start()

    def settle(self, count):
        """Waits until the file grows no more."""
        before = -1
        for _ in range(100):
            now = os.path.getsize(self.file)
            if now == before:
                return
            before = now
            time.sleep(0.5)

    def cpu(self):
        if self.transport == "hec":
            return None
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CPU_TICK

    def stop(self):
        self.process.terminate()
        self.process.wait()


RSYSLOG = """global(workDirectory="@PLACE@" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="@FOLDER@/ca.pem"
  defaultNetstreamDriverCertFile="@FOLDER@/siem.pem" defaultNetstreamDriverKeyFile="@FOLDER@/siem.key")
module(load="imudp")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="0")
template(name="raw" type="list" option.jsonf="on") {
  property(outname="id" name="msgid" format="jsonf")
  property(outname="sd" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
}
action(type="omfile" file="@PLACE@/received.jsonl" template="raw")
"""


def check(file, form, transport):
    """Reads what arrived: numbers of the load, how many came twice, how many are not as they were sent."""
    read = {"CEF": cef, "LEEF": leef, "JSON": as_json}[form]
    found, doubled, differences = set(), 0, 0
    for line in open(file, encoding="utf-8"):
        try:
            event = json.loads(line)
        except ValueError:
            continue  # a receiver that was killed leaves half a line
        body = event if transport == "hec" else event["msg"].strip()
        if transport == "hec" and form == "JSON":
            body = json.dumps(event)
        values = read(body)
        if values["kind"] != "301":
            continue
        number, _, rest = values["msg"].partition(" ")
        number = int(number)
        value = VALUES[number % len(VALUES)]
        want = value if form == "JSON" else shown(value, form)
        same = all(values[key].strip() == want.strip() for key in ("application", "host", "reason"))
        same &= rest.strip() == want.strip() and values["port"] == str(number % 65_536) and values["source"] == "198.18.0.1"
        if not same:
            differences += 1
            if differences < 4:
                print(f"  differs: {values} wanted {want!r}")
        doubled += number in found
        found.add(number)
    return found, doubled, differences


def shown(value, form):
    if form == "LEEF":
        value = re.sub("[\t\r\n]", " ", value)
    return HIDDEN.sub(lambda match: match[0] if match[0] in "\r\n" else f"\\u{ord(match[0]):04x}", value)


def cef(body):
    header = re.match(r"CEF:0\|((?:[^|\\]|\\[|\\])*\|){6}", body)
    parts = re.findall(r"((?:[^|\\]|\\[|\\])*)\|", header[0][len("CEF:0|"):])
    rest, pairs = body[header.end():], {}
    marks = list(re.finditer(r"(?:^|(?<= ))([A-Za-z0-9]+)=", rest))
    assert marks[0].start() == 0, rest
    for mark, after in zip(marks, marks[1:] + [None]):
        value = rest[mark.end():after.start() - 1 if after else len(rest)]
        assert not re.search(r"(?<!\\)(?:\\\\)*\\(?![\\=nr])|(?<!\\)(?:\\\\)*=", value), value
        assert mark[1] not in pairs, mark[1]
        pairs[mark[1]] = re.sub(r"\\(.)", lambda e: {"n": "\n", "r": "\r"}.get(e[1], e[1]), value)
    return {"kind": parts[3], "msg": pairs["msg"], "application": pairs.get("cs1"), "host": pairs.get("dhost"),
            "reason": pairs.get("reason"), "port": pairs.get("dpt"), "source": pairs.get("src")}


def leef(body):
    version, _, _, _, kind, delimiter, rest = body.split("|", 6)
    assert (version, delimiter) == ("LEEF:2.0", "x09"), body
    pairs = [pair.split("=", 1) for pair in rest.split("\t")]
    assert len(dict(pairs)) == len(pairs), body
    pairs = dict(pairs)
    return {"kind": kind, "msg": pairs["msg"], "application": pairs.get("application"), "host": pairs.get("dstHost"),
            "reason": pairs.get("reason"), "port": pairs.get("dstPort"), "source": pairs.get("src")}


def as_json(body):
    event = json.loads(body)
    own, to = event.get("openztna", {}), event.get("destination", {})
    return {"kind": event["event"]["code"], "msg": event["message"], "application": own.get("application"),
            "host": to.get("domain"), "reason": event["event"].get("reason"), "port": str(to.get("port")),
            "source": event.get("source", {}).get("ip")}


def certificates(folder):
    def openssl(arguments):
        subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)
    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    openssl(f"req -x509 {key} -days 30 -subj /CN=authority -keyout ca.key -out ca.pem")
    write(folder, "names", "subjectAltName=DNS:localhost\n")
    openssl(f"req {key} -subj /CN=localhost -keyout siem.key -out siem.csr")
    openssl("x509 -req -in siem.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names -out siem.pem")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


if __name__ == "__main__":
    main()
