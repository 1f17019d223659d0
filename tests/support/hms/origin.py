"""Services and collectors that are sockets: they record the bytes that arrive and answer bytes. Nothing here interprets more than it must."""

import contextlib
import socket
import threading

from .common import PATIENCE, wait_for


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
