#!/usr/bin/env python3
"""The claims service: Python's standard library only. GET /claims/{id} asks the store for the claim's documents.

It knows nothing of sidecars: urllib takes http_proxy from the environment, as it always has, and the correlation header that came in
(x-trace) goes on to the store, as this house has done for years. While the storm file exists 17 of 100 calls answer 500 at once. Version 2
(VERSION=2) has a bug of its own: every second call fails.
"""
import itertools
import json
import os
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = os.environ.get("VERSION", "1")
STORE = os.environ.get("STORE_URL", "http://store:8080")
STORM = os.environ.get("STORM_FILE", "")
calls = itertools.count()
lock = threading.Lock()


def fails() -> bool:
    with lock:
        number = next(calls)
    if VERSION == "2":
        return number % 2 == 1
    # 17 of 100, spread evenly rather than 17 in a row.
    return bool(STORM) and os.path.exists(STORM) and (number * 17) % 100 < 17


class Claims(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        claim = self.path.rsplit("/", 1)[-1]
        if fails():
            return self.answer(500, {"error": "claim could not be loaded", "claim": claim})
        forward = {"x-trace": self.headers["x-trace"]} if self.headers["x-trace"] else {}
        request = urllib.request.Request(f"{STORE}/documents/{claim}", headers=forward)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                documents = json.load(reply)
        except (OSError, ValueError) as error:
            return self.answer(502, {"error": str(error), "claim": claim})
        self.answer(200, {"claim": claim, "version": VERSION, "documents": documents})

    def answer(self, status, value):
        body = json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(os.environ.get("PORT", "0"))), Claims)
    print(f"listening on {server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
