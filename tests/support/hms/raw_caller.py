"""A caller that sends bytes and reads replies by its own small parser."""

import socket

from .calls import Reply
from .common import PATIENCE, split_address


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
