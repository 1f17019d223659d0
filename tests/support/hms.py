"""Harness of the end-to-end tests: real programs, raw peers, no sleeps.

A test starts the binaries of $HMS_BIN (the build's bin directory) on port 0, waits for the log line with "msg":"ready" and
drives them over sockets. Nothing here interprets HTTP on the origin's side: RawOrigin records the bytes that arrive and answers bytes.
Standard library only. Everything a test starts is stopped by pid when the test ends.

    import os, sys
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
    import hms

    class GoldenPath(hms.TestCase):
        def test_a_request_is_answered(self):
            origin = self.use(hms.RawOrigin(answer=hms.response(200, b"hello")))
            proxy = self.start("hms-proxy", "--app", origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
            reply = hms.get(proxy.address("inbound"), "/")
            self.assertEqual(reply.status, 200)

    if __name__ == "__main__":
        hms.main()
"""

import collections
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

SANITIZED = any(name in os.environ.get("HMS_BIN", "").split(os.sep) for name in ("asan", "tsan"))
MEMORY_FACTOR = 4 if SANITIZED else 1  # how much more a program takes under a sanitizer
# Generous: sanitizer builds on a busy two-core machine. Reached only by a test that fails.
PATIENCE = float(os.environ.get("HMS_TEST_PATIENCE", "30"))


def binary(name):
    """Path of a program under $HMS_BIN."""
    folder = os.environ.get("HMS_BIN")
    if not folder:
        raise RuntimeError("HMS_BIN is not set: the build's bin directory, for example build/release/bin")
    path = os.path.join(folder, name)
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"{path} is not an executable: build the target {name} first")
    return path


def unpacked(package, program):
    """A peer that `./dev` unpacked into build/deps (it must not run as a system service), or the installed one; None if there is neither."""
    ours = os.path.join(os.path.dirname(__file__), "..", "..", "build", "deps", package, "usr", "bin", program)
    return os.path.abspath(ours) if os.access(ours, os.X_OK) else shutil.which(program)


def wait_for(condition, at_most=PATIENCE, what=None):
    """Calls `condition` until it gives something true and returns that; AssertionError after `at_most` seconds."""
    deadline = time.monotonic() + at_most
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not become true within {at_most:g} s: {what or condition}")
        time.sleep(pause)  # polling interval, not synchronisation
        pause = min(pause * 1.5, 0.05)


def split_address(address):
    """"127.0.0.1:8080" or ("127.0.0.1", 8080) -> ("127.0.0.1", 8080)."""
    if isinstance(address, (tuple, list)):
        return address[0], int(address[1])
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def free_port():
    """A port that was free a moment ago (only for what cannot bind port 0 itself)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---------------------------------------------------------------- programs


class Program:
    """One running binary. Collects stderr as log lines (JSON objects, or {"text": line} for anything else) and stdout as lines."""

    def __init__(self, name, *arguments, env=None, cwd=None, wait_ready=True, at_most=PATIENCE):
        self.name = os.path.basename(name)
        path = name if os.path.sep in name else binary(name)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_") and (not k.startswith("HMS_") or k.startswith("HMS_TEST"))}
        environment.update(env or {})
        self.arguments = [path, *map(str, arguments)]
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=cwd)
        self.pid = self.process.pid
        self.log = []     # every stderr line, parsed
        self.output = []  # every stdout line, text
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._collect, args=(self.process.stderr, self._add_log), daemon=True),
            threading.Thread(target=self._collect, args=(self.process.stdout, self._add_output), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.ready = None
        if wait_ready:
            try:
                self.ready = self.wait_log("ready", at_most=at_most)
            except AssertionError:
                self.kill()
                raise AssertionError(f"{self.name} did not become ready; it said:\n{self.text_of_log()}") from None

    def _collect(self, pipe, add):
        for raw in pipe:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            with self._changed:
                add(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _add_log(self, line):
        try:
            value = json.loads(line)
        except ValueError:
            value = {"text": line}
        self.log.append(value if isinstance(value, dict) else {"text": line})

    def _add_output(self, line):
        self.output.append(line)

    def address(self, listener):
        """A bound address of the ready line: address("inbound") -> "127.0.0.1:43123"."""
        return self.ready[listener]

    def wait_log(self, message=None, where=None, at_most=PATIENCE, since=0):
        """The first log line (index >= since) with that "msg" (exact) for which `where(line)` holds."""
        def found():
            for line in self.log[since:]:
                if (message is None or line.get("msg") == message) and (where is None or where(line)):
                    return line
            return None

        return self._wait(found, f"{self.name} to log {message!r}", at_most)

    def wait_output(self, where, at_most=PATIENCE):
        """The first stdout line for which `where(line)` holds."""
        return self._wait(lambda: next((line for line in self.output if where(line)), None), f"{self.name} to write a line", at_most)

    def _wait(self, found, what, at_most):
        deadline = time.monotonic() + at_most
        with self._changed:
            while True:
                value = found()
                if value:
                    return value
                if self.process.poll() is not None and not any(r.is_alive() for r in self._readers):
                    raise AssertionError(f"{self.name} ended with {self.process.returncode} while waiting for {what}:\n{self.text_of_log()}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"waited {at_most:g} s for {what}:\n{self.text_of_log()}")
                self._changed.wait(min(left, 0.2))

    def text_of_log(self):
        return "\n".join(line["text"] if list(line) == ["text"] else json.dumps(line) for line in self.log[-60:])

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def wait(self, at_most=PATIENCE):
        """Waits for the end; returns the exit code, and all output has been collected."""
        code = self.process.wait(at_most)
        for reader in self._readers:
            reader.join(5)
        return code

    def terminate(self, at_most=PATIENCE):
        """SIGTERM (drains), then waits. Returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(at_most)

    def kill(self):
        """kill -9 by pid."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def close(self):
        """What a test's end does: asks politely twice (a second SIGTERM stops at once), then kills. A sanitizer's finding fails the test."""
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGTERM)
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.kill()
                    raise AssertionError(f"{self.name} did not stop after two SIGTERM:\n{self.text_of_log()}") from None
        self.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        findings = [l["text"] for l in self.log if "text" in l and ("Sanitizer" in l["text"] or "runtime error:" in l["text"] or "invariant broken" in l["text"])]
        if findings:
            raise AssertionError(f"{self.name}: {findings[0]}\n{self.text_of_log()}")

    def rss_bytes(self):
        """Resident memory now."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(name, *arguments, env=None, at_most=PATIENCE):
    """Runs a program to its end: (exit code, stdout text, stderr text)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HMS_", "OTEL_"))}
    environment.update(env or {})
    done = subprocess.run([name if os.path.sep in name else binary(name), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=at_most, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


# ---------------------------------------------------------------- HTTP callers


class Reply:
    """A whole reply: status, headers (list of pairs, as they came), body."""

    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    def header(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<Reply {self.status} {self.headers} {self.body[:200]!r}>"


def request(address, method="GET", target="/", headers=None, body=None, timeout=PATIENCE):
    """One request on its own connection through http.client. `headers`: a dict or a list of pairs."""
    connection = http.client.HTTPConnection(*split_address(address), timeout=timeout)
    try:
        return send_on(connection, method, target, headers, body)
    finally:
        connection.close()


def send_on(connection, method="GET", target="/", headers=None, body=None):
    """One request on an open http.client connection (keep-alive)."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
    names = {key.lower() for key, _ in pairs}
    connection.putrequest(method, target, skip_host="host" in names, skip_accept_encoding=True)
    for key, value in pairs:
        connection.putheader(key, value)
    if body is not None and "content-length" not in names and "transfer-encoding" not in names:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    return Reply(answer.status, answer.reason, answer.getheaders(), answer.read())


def get(address, target="/", headers=None, timeout=PATIENCE):
    return request(address, "GET", target, headers, None, timeout)


def post(address, target, body, headers=None, timeout=PATIENCE):
    return request(address, "POST", target, headers, body.encode() if isinstance(body, str) else body, timeout)


def post_json(address, target, value, headers=None, method="POST"):
    return request(address, method, target, [("Content-Type", "application/json"), *(headers or {}).items()], json.dumps(value).encode())


def get_json(address, target, headers=None):
    reply = get(address, target, headers)
    if reply.status != 200:
        raise AssertionError(f"GET {target}: {reply}")
    return reply.json()


class RawCaller:
    """A socket that sends bytes and reads replies by its own small parser (which is told nothing by a library)."""

    def __init__(self, address, timeout=PATIENCE):
        self.socket = socket.create_connection(split_address(address), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)
        return self

    def read_until(self, marker):
        while marker not in self.buffer:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError(f"connection ended before {marker!r}; got {self.buffer[:400]!r}")
            self.buffer += piece
        head, _, self.buffer = self.buffer.partition(marker)
        return head + marker

    def read_exactly(self, count):
        while len(self.buffer) < count:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError(f"connection ended after {len(self.buffer)} of {count} bytes")
            self.buffer += piece
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def read_to_end(self):
        """Everything until the peer closes. A reset raises ConnectionResetError."""
        pieces = [self.buffer]
        self.buffer = b""
        while True:
            piece = self.socket.recv(65536)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

    def read_head(self):
        return self.read_until(b"\r\n\r\n")

    def read_reply(self, to_head=False):
        """One reply with a body by Content-Length, chunked or until close. 1xx are returned like any other."""
        head = self.read_head()
        status, reason, headers = parse_reply_head(head)
        lower = {key.lower(): value for key, value in headers}
        body = b""
        if not to_head and status >= 200 and status not in (204, 304):
            if "chunked" in lower.get("transfer-encoding", "").lower():
                body = self.read_chunked()
            elif "content-length" in lower:
                body = self.read_exactly(int(lower["content-length"]))
            else:
                body = self.read_to_end()
        return Reply(status, reason, headers, body)

    def read_chunked(self):
        pieces = []
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while self.read_until(b"\r\n") != b"\r\n":
                    pass
                return b"".join(pieces)
            pieces.append(self.read_exactly(size))
            self.read_exactly(2)

    def closed_by_peer(self, at_most=PATIENCE):
        """True once the peer has closed (FIN or RST); what it still sends is thrown away."""
        self.socket.settimeout(at_most)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            return True
        except (TimeoutError, socket.timeout):
            return False
        return True

    def reset(self):
        """Closes with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.socket.close()

    def close(self):
        self.socket.close()


def parse_reply_head(head):
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    headers = []
    for line in lines[1:]:
        if line:
            key, _, value = line.partition(":")
            headers.append((key, value.strip()))
    return int(parts[1]), parts[2] if len(parts) > 2 else "", headers


def exchange(address, data, timeout=PATIENCE):
    """Sends raw bytes on a new connection and returns all that comes back until the peer closes."""
    caller = RawCaller(address, timeout)
    try:
        caller.send(data)
        return caller.read_to_end()
    finally:
        caller.close()


class SseReader:
    """Reads a Server-Sent Events stream in a thread; `events` are dicts with event, id, data (text); `comments` are texts."""

    def __init__(self, address, target, headers=None, timeout=PATIENCE):
        self.connection = http.client.HTTPConnection(*split_address(address), timeout=timeout)
        self.connection.request("GET", target, headers={"Accept": "text/event-stream", **(headers or {})})
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.events, self.comments, self.ended = [], [], False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        event, data, identifier = "message", [], ""
        with contextlib.suppress(Exception):
            for raw in self.response:
                line = raw.decode("utf-8").rstrip("\r\n")
                with self._changed:
                    if not line:
                        if data:
                            self.events.append({"event": event, "id": identifier, "data": "\n".join(data)})
                        event, data = "message", []
                    elif line.startswith(":"):
                        self.comments.append(line[1:].strip())
                    else:
                        field, _, value = line.partition(":")
                        value = value[1:] if value.startswith(" ") else value
                        if field == "event":
                            event = value
                        elif field == "data":
                            data.append(value)
                        elif field == "id":
                            identifier = value
                    self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def wait(self, where=lambda event: True, at_most=PATIENCE):
        """The first event (from the start of the stream) for which `where(event)` holds."""
        deadline = time.monotonic() + at_most
        with self._changed:
            while True:
                for event in self.events:
                    if where(event):
                        return event
                left = deadline - time.monotonic()
                if left <= 0 or self.ended:
                    raise AssertionError(f"no such event within {at_most:g} s (ended: {self.ended}); last: {self.events[-5:]}")
                self._changed.wait(min(left, 0.2))

    def close(self):
        with contextlib.suppress(OSError):
            if self.connection.sock:
                self.connection.sock.shutdown(socket.SHUT_RDWR)
            elif self.response.fp:
                self.response.close()
        self._thread.join(2)
        self.connection.close()


# ---------------------------------------------------------------- origins


def response(status=200, body=b"", headers=(), reason="OK"):
    """Bytes of a reply with Content-Length."""
    lines = [f"HTTP/1.1 {status} {reason}".encode()]
    lines += [f"{key}: {value}".encode("latin-1") for key, value in headers]
    lines.append(f"Content-Length: {len(body)}".encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class OriginConnection:
    """One connection that arrived at a RawOrigin: `received` are all its bytes so far."""

    def __init__(self, sock, origin):
        self.socket, self.origin = sock, origin
        self.received = b""   # everything, in order
        self.position = 0     # how far read_head/read_exactly have come
        self.ended = None     # None while open, "fin" or "reset" after

    def _more(self):
        try:
            piece = self.socket.recv(1 << 16)
        except OSError:
            piece, self.ended = b"", self.ended or "reset"
        if not piece:
            self.ended = self.ended or "fin"
            return False
        with self.origin.changed:
            self.received += piece
            self.origin.changed.notify_all()
        return True

    def read_head(self):
        """The next message head as raw bytes, or b"" when the peer is gone."""
        while True:
            at = self.received.find(b"\r\n\r\n", self.position)
            if at >= 0:
                head = self.received[self.position:at + 4]
                self.position = at + 4
                return head
            if not self._more():
                return b""

    def read_exactly(self, count):
        while len(self.received) - self.position < count and self._more():
            pass
        taken = self.received[self.position:self.position + count]
        self.position += len(taken)
        return taken

    def read_body(self, head):
        """The body of a request by its head (Content-Length or chunked), as it came on the wire."""
        length, chunked = 0, False
        for line in head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == "content-length":
                length = int(value)
            elif key.lower() == "transfer-encoding":
                chunked = True
        if not chunked:
            return self.read_exactly(length)
        start = self.position
        while True:
            at = self.received.find(b"\r\n", self.position)
            if at < 0:
                if not self._more():
                    return self.received[start:]
                continue
            size = int(self.received[self.position:at].split(b";")[0], 16)
            self.position = at + 2
            if size > 0:
                self.read_exactly(size + 2)
                continue
            while True:  # trailers
                at = self.received.find(b"\r\n", self.position)
                if at < 0:
                    if not self._more():
                        return self.received[start:]
                    continue
                blank = at == self.position
                self.position = at + 2
                if blank:
                    return self.received[start:self.position]

    def wait_end(self):
        """Reads until the peer closes: "fin" or "reset"."""
        while self._more():
            pass
        return self.ended

    def send(self, data):
        self.socket.sendall(data)

    def shutdown_write(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.socket.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # a close alone does not end a connection that another thread reads
        with contextlib.suppress(OSError):
            self.socket.close()


class RawOrigin:
    """A TCP server that records exactly what arrives and answers bytes.

    answer:  bytes sent for every request head that arrives (keep-alive), or a function (head, body) -> bytes;
             None inside a function's result closes the connection.
    script:  instead of `answer`, a function (OriginConnection) that owns the connection's thread: read and send as it likes.
    """

    def __init__(self, answer=None, script=None, port=0, backlog=1024, host="127.0.0.1"):
        self.answer = response(200, b"ok") if answer is None and script is None else answer
        self.script = script
        self.changed = threading.Condition()
        self.connections = []  # OriginConnection, in order of arrival
        self.requests = []     # (head, body) bytes, in order of completion
        self.errors = []       # what scripts raised
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(backlog)
        self.port = self.listener.getsockname()[1]
        self.address = f"{host}:{self.port}"
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = OriginConnection(sock, self)
            with self.changed:
                if self._closing:
                    sock.close()
                    return
                self.connections.append(connection)
                self.changed.notify_all()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.script:
                self.script(connection)
            else:
                self._answer_all(connection)
        except OSError:
            pass
        except Exception as error:  # a test's script is wrong: shown by the test
            self.errors.append(error)
        finally:
            connection.close()

    def _answer_all(self, connection):
        while True:
            head = connection.read_head()
            if not head:
                return
            body = connection.read_body(head)
            with self.changed:
                self.requests.append((head, body))
                self.changed.notify_all()
            answer = self.answer(head, body) if callable(self.answer) else self.answer
            if answer is None:
                return
            connection.send(answer)

    def bytes_received(self):
        """Everything that arrived on any connection."""
        with self.changed:
            return b"".join(connection.received for connection in self.connections)

    def wait_requests(self, count, at_most=PATIENCE):
        wait_for(lambda: len(self.requests) >= count, at_most, f"{count} requests at the origin, so far {len(self.requests)}")
        return self.requests

    def stop_listening(self):
        """Refuses new connections; open ones live on."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def close(self):
        with self.changed:
            self._closing = True
        self.stop_listening()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
            connection.close()


def head_fields(head):
    """Field lines of a raw head as (name, value) pairs, in order."""
    pairs = []
    for line in head.decode("latin-1").split("\r\n")[1:]:
        if line:
            key, _, value = line.partition(":")
            pairs.append((key, value.strip()))
    return pairs


def field(head, name, default=None):
    """First value of a field in a raw head."""
    return next((value for key, value in head_fields(head) if key.lower() == name.lower()), default)


class RecordingCollector(RawOrigin):
    """Takes telemetry batches like a collector: records (path, headers, body) per POST and answers 200 (or `self.status`).

    self.batches: list of dicts path, headers (lower-case names), body (bytes as sent). Other requests: 404.
    """

    def __init__(self, port=0, status=200):
        self.status = status
        self.batches = []
        super().__init__(answer=self._take, port=port)

    def _take(self, head, body):
        method, path, _ = head.decode("latin-1").split("\r\n")[0].split(" ", 2)
        if method != "POST":
            return response(404, b"", reason="Not Found")
        with self.changed:
            self.batches.append({"path": path, "headers": {k.lower(): v for k, v in head_fields(head)}, "body": body, "status": self.status})
            self.changed.notify_all()
        if self.status is None:
            return None
        return response(self.status, b"", reason="Told")

    def wait_batches(self, count, where=lambda batch: True, at_most=PATIENCE):
        return wait_for(lambda: (lambda found: found if len(found) >= count else None)([b for b in list(self.batches) if where(b)]), at_most, f"{count} batches")


# ---------------------------------------------------------------- tests


class TestCase(unittest.TestCase):
    """Stops what it started, in reverse order, and gives temporary folders."""

    def setUp(self):
        self._exit = contextlib.ExitStack()
        self.addCleanup(self._exit.close)

    def use(self, thing):
        """Closes `thing` (close()) when the test ends."""
        self._exit.callback(thing.close)
        return thing

    def start(self, name, *arguments, **options):
        return self.use(Program(name, *arguments, **options))

    def folder(self):
        """A fresh directory, removed at the end."""
        path = tempfile.mkdtemp(prefix="hms-e2e-")
        self._exit.callback(shutil.rmtree, path, True)
        return path

    def write(self, path, text):
        """Writes a file as editors do: a new file moved over the old one."""
        temporary = path + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(temporary, path)
        return path

    def wait_for(self, condition, at_most=PATIENCE, what=None):
        return wait_for(condition, at_most, what)


class NumberedSender(threading.Thread):
    """Sends numbered batches in order, each until it is acknowledged, as a sidecar does; rests while `available` is not set."""

    def __init__(self, instance, path, make):
        super().__init__(daemon=True)
        self.instance, self.path, self.make = instance, path, make
        self.address = None
        self.acknowledged = 0  # batches 1 to this
        self.stopping, self.available = threading.Event(), threading.Event()

    def run(self):
        while not self.stopping.is_set():
            if not self.available.wait(0.05):
                continue
            sequence = self.acknowledged + 1
            try:
                reply = post_json(self.address, self.path, self.make(sequence), {"x-hms-batch": f"{self.instance}/1/{sequence}"})
            except (OSError, http.client.HTTPException):
                continue  # the answer is lost, the batch may be stored or not: it is sent again
            if reply.status in (200, 202):
                self.acknowledged = sequence
            elif reply.status not in (429, 503):
                raise AssertionError(reply)


def kill_under_load(begin, senders, rounds, batches, chance):
    """Begins the program `rounds` times and kills it each time after some acknowledged batches (of the range `batches`); ends the senders."""
    for sender in senders:
        sender.start()
    for _ in range(rounds):
        program = begin()
        wanted = sum(s.acknowledged for s in senders) + chance.randint(*batches)
        for sender in senders:
            sender.address = program.address("listen")
            sender.available.set()
        wait_for(lambda: sum(s.acknowledged for s in senders) >= wanted, what="batches acknowledged")
        program.kill()
        for sender in senders:
            sender.available.clear()
    for sender in senders:
        sender.stopping.set()
    for sender in senders:
        sender.join(PATIENCE)
        if sender.is_alive():
            raise AssertionError(f"{sender.instance} does not end")


class Load:
    """Callers in threads that send requests on keep-alive connections until stopped; counts statuses and failures."""

    def __init__(self, address, connections=4, make=None):
        self.address = address
        self.make = make or (lambda n: ("GET", "/", {}, None))
        self.statuses = collections.Counter()
        self.failures = []
        self.replies = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(connections)]
        for thread in self._threads:
            thread.start()

    def _run(self, seed):
        connection, number = None, seed
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(*split_address(self.address), timeout=PATIENCE)
                reply = send_on(connection, *self.make(number))
                number += len(self._threads)
                with self._lock:
                    self.statuses[reply.status] += 1
                    self.replies += 1
                if connection.sock is None:
                    connection = None
            except Exception as error:
                with self._lock:
                    if not self._stop.is_set():
                        self.failures.append(repr(error))
                if connection:
                    connection.close()
                connection = None
        if connection:
            connection.close()

    def wait_replies(self, more, at_most=PATIENCE):
        """Waits until `more` further replies have come."""
        target = self.replies + more
        wait_for(lambda: self.replies >= target or self.failures, at_most, f"{more} more replies")

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        return self.statuses

    close = stop


def prometheus_values(text):
    """Prometheus text as {'name{labels}': value}."""
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values


def unquote(text):
    return urllib.parse.unquote(text)


def report(line):
    """A finding worth a line beside "Passed": printed, and shown by ./dev test below the test's own line."""
    print(line)
    path = os.environ.get("HMS_TEST_REPORT")
    if path:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            out.write(line + "\n")


def main():
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[1:]])
