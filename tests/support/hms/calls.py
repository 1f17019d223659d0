"""Whole requests through http.client: what a test sends when bytes do not matter."""

import http.client
import json

from .common import PATIENCE, split_address


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
