"""Whoever starts a program can wait for its ready line, and read the ports from it, whatever the log level is."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

LEVELS = ("debug", "info", "warn", "error")


class ReadyLine(hms.TestCase):
    def test_the_proxy_says_ready_at_every_level(self):
        for level in LEVELS:
            proxy = self.start("hms-proxy", "--app", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", level)
            self.assertEqual(hms.get(proxy.address("admin"), "/readyz").status, 200)

    def test_the_collector_says_ready_at_every_level(self):
        for level in LEVELS:
            collector = self.start("hms-collector", "--data", os.path.join(self.folder(), "data"), "--listen", "127.0.0.1:0", "--otlp-listen", "off", "--log-level", level)
            self.assertEqual(hms.get(collector.address("listen"), "/readyz").status, 200)


if __name__ == "__main__":
    hms.main()
