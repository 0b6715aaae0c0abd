"""An HTTP Event Collector: keeps events on the disk before it answers, and confirms them when it is asked.

    hec.py ADDRESS PORT FILE ack|plain|garbage|silent
"""

import gzip
import http.server
import json
import os
import sys
import threading
import time

ADDRESS, PORT, FILE, MODE = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
TOKEN = "Splunk 11111111-fake-fake-fake-111111111111"
lock = threading.Lock()
out = open(FILE, "a", encoding="utf-8")
next_ack = [0]


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if MODE == "silent":
            time.sleep(3600)
        if MODE == "garbage":
            return self.answer(200, b"\0\xff<html>log in first" * 10_000)
        if self.headers.get("Authorization") != TOKEN:
            return self.answer(403, {"text": "Invalid token", "code": 4})
        if not self.headers.get("X-Splunk-Request-Channel"):
            return self.answer(400, {"text": "Data channel is missing", "code": 10})
        if self.path == "/services/collector/ack":
            return self.answer(200, {"acks": {str(number): True for number in json.loads(body)["acks"]}})
        if self.path != "/services/collector/event":
            return self.answer(404, {"text": "Not found", "code": 404})
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        text, decoder, place = body.decode(), json.JSONDecoder(), 0
        with lock:
            while place < len(text):
                event, place = decoder.raw_decode(text, place)
                float(event["time"])
                out.write(json.dumps(event["event"]) + "\n")
            out.flush()
            os.fsync(out.fileno())
            next_ack[0] += 1
            ack = {"ackId": next_ack[0]} if MODE == "ack" else {}
        return self.answer(200, {"text": "Success", "code": 0, **ack})


http.server.ThreadingHTTPServer((ADDRESS, PORT), Collector).serve_forever()
