"""A trace is found by what was sent to name it, and a name of nothing finds nothing."""

import os
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms
from sidecar import Events

NAMES = ["7", "1234567890123456", "deadbeefDEADBEEF", "a" * 20, "b" * 30, "0" * 16, "order 4711"]
ZEROS = ["0" * 32, "0" * 16, "00000000-0000-0000-0000-000000000000"]


def quote(text):
    return urllib.parse.quote(text, safe="")


class TraceNames(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.at = self.start("hms-collector", "--data", os.path.join(self.folder(), "data"), "--listen", "127.0.0.1:0", "--otlp-listen", "off").address("listen")

    def store(self, name):
        payload = {"traceId": name, "service": "shop"}
        items = [{"type": "log", "payload": {"msg": name, **payload}}, {"type": "trace", "payload": {"name": name, "durationMs": 1, **payload}}]
        self.assertEqual(hms.post_json(self.at, "/ingest", items).status, 202)

    def logs(self, trace, extra=""):
        return hms.get_json(self.at, f"/ops/logs?trace={quote(trace)}{extra}")

    def test_what_was_sent_finds_it(self):
        for name in NAMES:
            self.store(name)
        for name in NAMES:
            quoted = quote(name)
            for path in (f"/api/traces/{quoted}", f"/api/traces?traceID={quoted}"):
                data = hms.get_json(self.at, path)["data"]
                self.assertEqual([span["operationName"] for trace in data for span in trace["spans"]], [name], path)
            self.assertEqual(hms.get(self.at, f"/api/v3/traces/{quoted}").status, 200)
            self.assertEqual([line["msg"] for line in self.logs(name)["logs"]], [name])

    def test_an_id_whose_leading_zeros_were_dropped_finds_it_too(self):
        self.store("00000000000000001234567890123456")
        for trace in ("1234567890123456", "000001234567890123456"):
            self.assertEqual(len(hms.get_json(self.at, f"/api/traces/{trace}")["data"]), 1)
            self.assertEqual(len(self.logs(trace)["logs"]), 1)

    def test_the_pages_of_one_trace_are_of_that_trace(self):
        for name in ("00000000000000001234567890123456", "1234567890123456"):
            items = [{"type": "log", "payload": {"msg": f"{len(name)}-{n}", "traceId": name}} for n in range(5)]
            self.assertEqual(hms.post_json(self.at, "/ingest", items).status, 202)
        seen, cursor = [], ""
        while cursor is not None:
            page = self.logs("1234567890123456", "&limit=2" + (f"&cursor={cursor}" if cursor else ""))
            seen += [line["msg"] for line in page["logs"]]
            cursor = page["cursor"]
        self.assertEqual(sorted(seen), [f"16-{n}" for n in range(5)])

    def test_zeros_name_no_trace(self):
        self.store("somebody")
        hms.post_json(self.at, "/ingest", {"type": "log", "payload": {"msg": "of no trace"}})
        for zeros in ZEROS:
            self.assertEqual(self.logs(zeros)["logs"], [], zeros)
            self.assertEqual(hms.get(self.at, f"/api/traces/{zeros}").status, 404)

    def test_the_tail_of_zeros_is_silent(self):
        tails = {name: self.use(Events(self.at, f"/ops/logs/tail?trace={name}")) for name in (ZEROS[0], "1234567890123456")}
        for name in ("another", "1234567890123456"):
            self.store(name)
        tails["1234567890123456"].find(lambda name, value: value["msg"] == "1234567890123456")
        # What is heard by one reader was offered to every other.
        self.assertEqual([len(tail.data()) for tail in tails.values()], [0, 1])

    def test_a_404_names_what_was_asked(self):
        reply = hms.get(self.at, "/api/traces/nope")
        self.assertEqual(reply.status, 404)
        self.assertIn("nope", reply.json()["error"])


if __name__ == "__main__":
    hms.main()
