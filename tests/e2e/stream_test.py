"""The live stream of a real collector: points of complete seconds, filters, resume, gaps, and the sidecars' configuration stream."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import hms  # noqa: E402
from sidecar import Events, Sidecar, point, post_metrics  # noqa: E402


class Stream(hms.TestCase):
    def collector(self, data=None):
        return self.start("hms-collector", "--data", data or self.folder(), "--listen", "127.0.0.1:0", "--otlp-listen", "off")

    def events(self, collector, target, headers=None):
        return self.use(Events(collector.address("listen"), target, headers))

    def test_a_point_a_second_for_each_service_and_route(self):
        collector = self.collector()
        stream = self.events(collector, "/ops/stream")
        self.assertEqual(stream.status, 200)
        self.assertEqual(stream.response.getheader("Content-Type"), "text/event-stream")
        self.use(Sidecar(collector.address("listen"), "claims", lambda second: [point(second, 19, 0.1), point(second, 1, 0.5, status=500), point(second, 4, 0.2, "/files")]))
        _, last, data = stream.find(lambda name, value: name == "message" and value["route"] == "/claims/{id}")
        self.assertEqual(set(data), {"ts", "service", "route", "rps", "error_rate", "p50", "p95", "p99", "count"})
        self.assertEqual((data["service"], data["count"], data["rps"]), ("claims", 20, 20))
        self.assertAlmostEqual(data["error_rate"], 0.05)
        self.assertAlmostEqual(data["p50"], 100, delta=3)
        self.assertAlmostEqual(data["p99"], 500, delta=15)
        self.assertEqual(data["ts"] % 1000, 0)
        epoch, _, sequence = last.rpartition("-")
        self.assertTrue(epoch and sequence.isdigit(), last)
        stream.find(lambda name, value: value["route"] == "/files")
        stream.find(lambda name, value: value["ts"] == data["ts"] + 2000)

    def test_a_point_comes_within_two_and_a_half_seconds_of_its_seconds_end(self):
        collector = self.collector()
        stream = self.events(collector, "/ops/stream")
        seen = {}
        self.use(Sidecar(collector.address("listen"), "claims", lambda second: [point(second, 1)]))
        stream.find(lambda name, value: seen.setdefault(value["ts"], time.time()) and len(seen) >= 3)
        print("seconds from a second's end to its point:", [round(at - ts / 1000 - 1, 2) for ts, at in seen.items()], file=sys.stderr)

    def test_filters(self):
        collector = self.collector()
        stream = self.events(collector, "/ops/stream?service=claims&route=%2Ffiles")
        self.use(Sidecar(collector.address("listen"), "claims", lambda second: [point(second, 1), point(second, 2, route="/files")]))
        self.use(Sidecar(collector.address("listen"), "ui", lambda second: [point(second, 3, route="/files")]))
        first = stream.find(lambda name, value: True)[2]
        stream.find(lambda name, value: value["ts"] >= first["ts"] + 2000)
        self.assertEqual({(data["service"], data["route"]) for data in stream.data()}, {("claims", "/files")})

    def test_a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice(self):
        collector = self.collector()
        self.use(Sidecar(collector.address("listen"), "claims", lambda second: [point(second, 1)]))
        first = self.events(collector, "/ops/stream")
        _, last, data = first.find(lambda name, value: True)
        first.close()
        whole = self.events(collector, "/ops/stream")
        whole.find(lambda name, value: value["ts"] >= data["ts"] + 2000)
        second = self.events(collector, "/ops/stream", {"Last-Event-ID": last})
        second.find(lambda name, value: value["ts"] >= data["ts"] + 3000)
        times = [data["ts"] for data in second.data()]
        self.assertEqual(times, sorted(set(times)))
        self.assertEqual(times[:2], [data["ts"] + 1000, data["ts"] + 2000])
        self.assertEqual(second.data("gap"), [])

    def test_an_id_of_another_life_is_told_as_a_gap(self):
        collector = self.collector()
        stream = self.events(collector, "/ops/stream", {"Last-Event-ID": "1234-5"})
        _, _, data = stream.find(lambda name, value: name == "gap")
        self.assertEqual(data["reason"], "unknown")

    def test_a_late_batch_corrects_its_second_under_the_same_ts(self):
        collector = self.collector()
        stream = self.events(collector, "/ops/stream")
        address = collector.address("listen")
        self.use(Sidecar(address, "claims", lambda second: [point(second, 5)]))
        _, _, data = stream.find(lambda name, value: value["count"] == 5)
        post_metrics(address, "claims", [point(data["ts"] // 1000, 2)], instance="late")
        stream.find(lambda name, value: value["ts"] == data["ts"] and value["count"] == 7)

    def test_spans_and_timings_stand_in_for_a_service_without_a_sidecar(self):
        collector = self.collector()
        stream = self.events(collector, "/ops/stream")
        items = [
            {"type": "trace", "payload": {"traceId": "order-17", "service": "legacy", "name": "GET /old", "durationMs": 40, "status": "error"}},
            {"type": "metric", "payload": {"name": "import", "value": 250, "kind": "timing", "unit": "ms", "service": "batch"}},
        ]
        self.assertEqual(hms.post_json(collector.address("listen"), "/ingest", items).status, 202)
        self.assertEqual(stream.find(lambda name, value: value["service"] == "legacy")[2]["error_rate"], 1)
        timing = stream.find(lambda name, value: value["service"] == "batch")[2]
        self.assertEqual(timing["route"], "import")
        self.assertAlmostEqual(timing["p50"], 250, delta=6)

    def test_a_quiet_stream_is_kept_warm(self):
        collector = self.collector()
        stream = self.events(collector, "/ops/stream")
        self.wait_for(lambda: len(stream.comments) >= 2, 30, "a comment")

    def test_the_sidecars_configuration_comes_at_connect_and_at_each_change(self):
        collector = self.collector()
        address = collector.address("listen")
        stream = self.events(collector, "/ops/config/claims")
        name, last, data = stream.find(lambda name, value: True)
        self.assertEqual((name, data["splits"]), ("config", []))
        self.assertEqual(last, str(data["version"]))
        plan = {"service": "claims", "baseline": "claims-v1", "canary": "claims-v2", "steps": [10, 100]}
        self.assertEqual(hms.post_json(address, "/ops/canaries/claims-v2", plan, method="PUT").status, 201)
        split = {"name": "claims-v2", "service": "claims", "baseline": "claims-v1", "canary": "claims-v2", "weight": 10}
        changed = stream.find(lambda name, value: value["splits"] == [split])[2]
        self.assertGreater(changed["version"], data["version"])
        hms.post(address, "/ops/canaries/claims-v2/rollback", "")
        stream.find(lambda name, value: value["splits"] == [{**split, "weight": 0}])
        later = self.events(collector, "/ops/config/anybody")
        self.assertEqual(later.find(lambda name, value: True)[2]["splits"], [{**split, "weight": 0}])
        self.wait_for(lambda: stream.comments, 30, "a comment within 5 s")


if __name__ == "__main__":
    hms.main()
