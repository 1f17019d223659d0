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

# The names that tests use; each module's head says what it is about.
from .calls import Reply, get, get_json, post, post_json, request, send_on  # noqa: F401
from .case import TestCase  # noqa: F401
from .common import MEMORY_FACTOR, PATIENCE, SANITIZED, binary, free_port, main, prometheus_values, report, split_address, unpacked, wait_for  # noqa: F401
from .load import Load, NumberedSender, kill_under_load  # noqa: F401
from .origin import OriginConnection, RawOrigin, RecordingCollector, field, head_fields, response  # noqa: F401
from .program import Program, run  # noqa: F401
from .raw_caller import RawCaller, exchange, parse_reply_head  # noqa: F401
from .sse import SseReader  # noqa: F401
