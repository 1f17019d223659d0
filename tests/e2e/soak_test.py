"""Mixed load against the running proxy: bodies, pipelines, upgrades, raw TCP, aborts; meanwhile configuration reloads, an upstream that restarts, certificates that are renewed.

HMS_SOAK_SECONDS (default 4) says how long; HMS_SOAK_SEED (default 1) which load. At the end every request was answered as the service answers or
with an x-hms-error, what callers, proxy and service counted agrees, and memory and descriptors are where they were.
"""

import collections
import os
import random
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

SECONDS = float(os.environ.get("HMS_SOAK_SECONDS", "4"))
SEED = int(os.environ.get("HMS_SOAK_SEED", "1"))
MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "certs", "make")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
BLOCK = bytes(range(256)) * 256


class Service:
    """Echoes: the body of a request is its reply's; an upgraded connection sends back what comes. Counts whole requests."""

    def __init__(self, port=0):
        self.count = collections.Counter()
        self.lock = threading.Lock()
        self.origin = hms.RawOrigin(script=self.serve, port=port)
        self.port = self.origin.port

    def serve(self, connection):
        while True:
            head = connection.read_head()
            if not head:
                return
            if hms.field(head, "upgrade") == "websocket":
                with self.lock:
                    self.count["upgrades"] += 1
                connection.send(SWITCH)
                while connection.read_exactly(1):
                    at = connection.position
                    connection.send(connection.received[at - 1:])
                    connection.position = len(connection.received)
                    self.forget(connection)
                return
            body = connection.read_body(head)
            with self.lock:
                self.count["requests"] += 1
            length = hms.field(head, "content-length")
            connection.send(hms.response(200, body if length else b"dechunked"))
            self.forget(connection)

    @staticmethod
    def forget(connection):
        """What was read is not kept: the soak's own memory is not what is measured, but it is not to be used up either."""
        connection.received = connection.received[connection.position:]
        connection.position = 0

    def close(self):
        self.origin.close()
        self.origin.connections.clear()


class Callers:
    """Threads that do one thing after the other and count what came of it."""

    def __init__(self, plain, secure, context):
        self.plain, self.secure, self.context = plain, secure, context
        self.count = collections.Counter()
        self.errors = []
        self.lock = threading.Lock()
        self.over = threading.Event()

    def note(self, what, number=1):
        with self.lock:
            self.count[what] += number

    def connect(self, dice):
        if dice.random() < 0.3:
            caller = hms.RawCaller.__new__(hms.RawCaller)
            plain = socket.create_connection(hms.split_address(self.secure), timeout=hms.PATIENCE)
            caller.socket, caller.buffer = self.context.wrap_socket(plain, server_hostname="localhost"), b""
            return caller
        return hms.RawCaller(self.plain)

    def run(self, seed):
        dice = random.Random(seed)
        works = (self.keep_alive, self.keep_alive, self.pipeline, self.upgrade, self.abort_upload, self.abort_download, self.chunked)
        while not self.over.is_set():
            work = dice.choice(works)
            try:
                caller = self.connect(dice)
                try:
                    work(caller, dice)
                finally:
                    caller.close()
            except Exception as error:
                with self.lock:
                    self.errors.append(f"{work.__name__}: {error!r}")

    def reply(self, caller, body):
        """A reply is the service's, whole and as it must be, or the proxy's own and says so."""
        reply = caller.read_reply()
        own = reply.header("x-hms-error")
        if own:
            self.note("own")
            self.note("own " + own)
            return reply.header("connection") != "close"
        if reply.status != 200 or reply.body != body:
            raise AssertionError(f"{reply.status} with {len(reply.body)} bytes, not {len(body)}")
        self.note("answered")
        return True

    @staticmethod
    def post(body, path=b"/soak"):
        return b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path, len(body)) + body

    def keep_alive(self, caller, dice):
        for _ in range(dice.randrange(1, 20)):
            body = BLOCK[:dice.choice((0, 1, 1000, 16384, 65536))] * dice.choice((1, 1, 8))
            self.note("sent")
            caller.send(self.post(body, b"/split" if dice.random() < 0.3 else b"/soak"))
            if not self.reply(caller, body):
                return

    def pipeline(self, caller, dice):
        bodies = [BLOCK[:dice.randrange(2000)] for _ in range(dice.randrange(2, 6))]
        caller.send(b"".join(self.post(body) for body in bodies))
        for body in bodies:
            self.note("sent")
            if not self.reply(caller, body):
                return

    def chunked(self, caller, dice):
        pieces = [BLOCK[:dice.randrange(1, 3000)] for _ in range(dice.randrange(1, 5))]
        self.note("sent")
        caller.send(b"POST /soak HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n")
        self.reply(caller, b"dechunked")

    def upgrade(self, caller, dice):
        self.note("sent")
        caller.send(b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        head = caller.read_head()
        if b" 101 " not in head.split(b"\r\n")[0]:
            if b"x-hms-error" not in head.lower():
                raise AssertionError(head)
            return self.note("own")
        self.note("answered")
        self.note("upgraded")
        for _ in range(dice.randrange(4)):
            words = BLOCK[:dice.randrange(1, 5000)]
            caller.send(words)
            try:
                if caller.read_exactly(len(words)) != words:
                    raise AssertionError("an echo differs")
            except (EOFError, ConnectionError):
                return self.note("tunnel_cut")  # the service restarts

    def abort_upload(self, caller, dice):
        caller.send(b"POST /soak HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + BLOCK[:dice.randrange(50_000)])
        self.note("sent")
        self.note("aborted")
        caller.reset()

    def abort_download(self, caller, dice):
        body = BLOCK * 8
        self.note("sent")
        self.note("aborted")
        with_errors = (ConnectionError, EOFError, ssl.SSLError)
        try:
            caller.send(self.post(body))
            caller.socket.recv(dice.randrange(1, 1000))
        except with_errors:
            pass
        caller.reset()


class Soak(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.certs = self.folder()
        self.certificate()
        self.config_path = os.path.join(self.folder(), "proxy.yaml")

    def certificate(self, *names):
        subprocess.run([MAKE, "-d", self.certs, "shop", *names], check=True, stdout=subprocess.DEVNULL)

    def configure(self, app, weight, tls=True):
        secure = f", tls: {{certificate: {self.certs}/shop.pem, key: {self.certs}/shop.key}}" if tls else ""
        self.write(self.config_path, f"""
listeners: {{inbound: {{app: "{app}"{secure}}}}}
upstreams:
  one: {{endpoints: ["{app}"], outlier: {{consecutive: 0}}}}
  two: {{endpoints: ["{app}", "localhost:{app.rpartition(':')[2]}"], balance: round_robin, health_check: {{interval: 100ms}}}}
routes:
  - {{match: {{path: /split}}, split: [{{upstream: one, weight: {weight}}}, {{upstream: two, weight: {100 - weight}}}]}}
""")

    def metrics(self, proxy):
        return hms.prometheus_values(hms.get(proxy.address("admin"), "/metrics").body.decode())

    def total(self, proxies, name):
        return sum(value for proxy in proxies for key, value in self.metrics(proxy).items() if key.startswith(name))

    def test_counts_agree_and_nothing_grows(self):
        service = Service()
        self._exit.callback(lambda: service.close())
        app = f"127.0.0.1:{service.port}"
        common = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--threads", "2")
        self.configure(app, 50)
        secure = self.start("hms-proxy", "--config", self.config_path, *common)
        plain = self.start("hms-proxy", "--app", app, *common)
        proxies = (plain, secure)
        context = ssl.create_default_context(cafile=f"{self.certs}/ca.pem")
        callers = Callers(plain.address("inbound"), secure.address("inbound"), context)
        dice = random.Random(SEED)

        def load(seconds, disturb):
            callers.over.clear()
            threads = [threading.Thread(target=callers.run, args=(SEED * 1000 + dice.randrange(1000),)) for _ in range(6)]
            for thread in threads:
                thread.start()
            end, turn = time.monotonic() + seconds, 0
            nonlocal service
            while time.monotonic() < end:
                self.assertTrue(plain.running() and secure.running())
                if disturb:
                    turn += 1
                    self.configure(app, dice.randrange(101))
                    if turn % 3 == 1:
                        self.certificate(f"turn-{turn}.example")
                    if turn % 3 == 2:
                        old, counted = service, service.count
                        old.close()
                        service = Service(old.port)
                        service.count.update(counted)
                callers.over.wait(0.5)
            callers.over.set()
            for thread in threads:
                thread.join(2 * hms.PATIENCE)
                self.assertFalse(thread.is_alive(), "a caller hangs")

        def quiet():
            hms.wait_for(lambda: all(self.metrics(p)["hms_proxy_requests_running"] == 0 and self.metrics(p)['hms_proxy_connections_open{direction="inbound"}'] == 0 for p in proxies), what="all connections to end")

        load(min(SECONDS / 4, 10), disturb=False)
        quiet()
        self.assertEqual(callers.errors, [], "without disturbance nothing fails")
        self.assertEqual(callers.count["own"], 0, callers.count)
        self.assertEqual(callers.count["sent"], callers.count["answered"] + callers.count["aborted"], callers.count)
        before = [(p.rss_bytes(), p.descriptors()) for p in proxies]

        load(SECONDS, disturb=True)
        quiet()
        count = callers.count
        # While the service restarts a reply may be cut: the caller sees a broken connection, never a wrong answer.
        broken = [error for error in callers.errors if not any(kind in error for kind in ("ConnectionResetError", "EOFError", "BrokenPipeError", "ConnectionAbortedError"))]
        self.assertEqual(broken, [])
        self.assertEqual(count["sent"], count["answered"] + count["own"] + count["aborted"] + len(callers.errors), (count, callers.errors[:5]))
        # What callers know was answered, the service counted; it may have counted more: replies that nobody waited for, attempts that were repeated.
        counted = service.count["requests"] + service.count["upgrades"]
        self.assertGreaterEqual(counted, count["answered"], (service.count, count))
        # The proxies read every head that callers sent, but for aborted ones that were gone before.
        heads = self.total(proxies, "hms_proxy_requests_total")
        self.assertGreaterEqual(heads, count["answered"] + count["own"], count)
        self.assertLessEqual(heads, count["sent"] + len(callers.errors), count)
        # A service that was ended while it answered 101 may have counted an upgrade that never arrived.
        tunnels = self.total(proxies, "hms_proxy_tunnels_total")
        self.assertLessEqual(tunnels, service.count["upgrades"])
        self.assertGreaterEqual(tunnels, service.count["upgrades"] - count["aborted"] - len(callers.errors) - count["own"])
        self.assertEqual(self.total(proxies, "hms_proxy_tunnels_open"), 0)
        measured = sum(value for p in proxies for key, value in self.metrics(p).items() if key.startswith("http_server_request_duration_seconds_count"))
        self.assertEqual(measured, heads)
        for proxy, (memory, descriptors) in zip(proxies, before):
            hms.wait_for(lambda p=proxy, d=descriptors: p.descriptors() < d + 40, what="idle connections to services to end")
            if not hms.SANITIZED:
                self.assertLess(proxy.rss_bytes(), memory + 16 * 1024 * 1024)
        print(f"soak: {SECONDS:g} s, {dict(count)}, service {dict(service.count)}, broken {len(callers.errors)}, "
              f"memory {[(b[0] >> 10, p.rss_bytes() >> 10) for b, p in zip(before, proxies)]} KiB, descriptors {[(b[1], p.descriptors()) for b, p in zip(before, proxies)]}", file=sys.stderr)
        for proxy in proxies:
            self.assertEqual(proxy.terminate(), 0)


if __name__ == "__main__":
    hms.main()
