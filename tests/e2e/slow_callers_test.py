"""Callers that open connections and say nothing, or half a sentence: they make room for those who ask."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms
import sidecar

ADMIN_CONNECTIONS = 64


class SlowCallers(hms.TestCase):
    def setUp(self):
        super().setUp()
        origin = self.use(hms.RawOrigin())
        self.admin = self.start("hms-proxy", "--app", origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0").address("admin")

    def call(self, text=b"", at=None):
        caller = self.use(hms.RawCaller(at or self.admin))
        return caller.send(text) if text else caller

    def test_the_health_check_is_answered_while_the_admin_port_is_full(self):
        half, whole = b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        for said, rest in ((b"", whole), (half, b"\r\n"), (whole, whole)):
            slow = [self.call(said) for _ in range(ADMIN_CONNECTIONS + 10)]
            for _ in range(5):
                for path in ("/healthz", "/readyz", "/metrics"):
                    self.assertEqual(hms.get(self.admin, path).status, 200, (said, path))
            self.assertTrue(slow[0].closed_by_peer(), said)
            self.assertEqual(slow[-1].send(rest).read_reply().status, 200, said)
            for caller in slow:
                caller.close()
        page = hms.get(self.admin, "/metrics").body.decode()
        self.assertGreaterEqual(hms.prometheus_values(page)["hms_proxy_admin_connections_displaced_total"], 30)

    def test_idle_connections_go_before_unfinished_ones(self):
        half = [self.call(b"GET /healthz HTTP/1.1\r\nHost: a\r\n") for _ in range(ADMIN_CONNECTIONS - 1)]
        idle = self.call(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(idle.read_reply().status, 200)
        newest = self.call(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(newest.read_reply().status, 200)
        self.assertTrue(idle.closed_by_peer())
        for caller in half:
            self.assertEqual(caller.send(b"\r\n").read_reply().status, 200)

    def test_a_collector_that_may_open_few_files_answers_while_its_listener_is_full(self):
        folder = self.folder()
        limited = self.write(os.path.join(folder, "limited"), f'#!/bin/sh\nulimit -n 512\nexec "{hms.binary("hms-collector")}" "$@"\n')
        os.chmod(limited, 0o755)
        at = self.start(limited, "--data", os.path.join(folder, "data"), "--listen", "127.0.0.1:0", "--otlp-listen", "off").address("listen")
        reader = self.use(hms.SseReader(at, "/ops/stream"))
        slow = [self.call(b"POST /ingest HTTP/1.1\r\nHost: a\r\nContent-Le", at) for _ in range(200)]
        for _ in range(10):
            self.assertEqual(hms.get(at, "/healthz").status, 200)
        self.assertEqual(hms.post_json(at, "/ingest", {"type": "log", "payload": {"msg": "kept", "service": "shop"}}).status, 202)
        self.assertTrue(slow[0].closed_by_peer())
        values = hms.prometheus_values(hms.get(at, "/metrics").body.decode())
        self.assertGreaterEqual(values['hms_collector_http_connections_displaced_total{listener="api"}'], 70)
        self.assertLessEqual(values['hms_collector_http_connections_open{listener="api"}'], 128)
        self.assertEqual(values['hms_collector_http_connections_refused_total{listener="api"}'], 0)
        sidecar.post_metrics(at, "claims", [sidecar.point(int(time.time()) - 1, 5)])
        self.assertIn("claims", reader.wait(lambda event: event["event"] == "message")["data"])  # nobody gave up the stream


if __name__ == "__main__":
    hms.main()
