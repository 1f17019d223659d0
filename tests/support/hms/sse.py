"""A reader of Server-Sent Events."""

import contextlib
import http.client
import socket
import threading
import time

from .common import PATIENCE, split_address
from .origin import field


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
