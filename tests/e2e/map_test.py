"""The service map: nodes and edges of a time range, from spans where they tell more, from metrics where spans were dropped or never sent."""

import os
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms
import sidecar

SECONDS = 60


class Map(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.address = self.start("hms-collector", "--data", os.path.join(self.folder(), "data"), "--listen", "127.0.0.1:0", "--otlp-listen", "off").address("listen")
        self.begin = int(time.time()) // 10 * 10 - 2 * SECONDS

    def send_spans(self, service, count, parent=None, milliseconds=20, failed=0):
        """`count` SERVER spans of a second each apart; returns their ids, for the next hop to be called by."""
        spans = []
        for i in range(count):
            start = (self.begin + i % SECONDS) * 10**9
            span = {"traceId": f"{i + 1:032x}", "spanId": f"{zlib.crc32(service.encode()):08x}{i + 1:08x}", "name": "GET /", "kind": 2, "startTimeUnixNano": str(start),
                    "endTimeUnixNano": str(start + milliseconds * 10**6)}
            if parent:
                span["parentSpanId"] = parent[i]
            if i < failed:
                span["status"] = {"code": 2}
            spans.append(span)
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
        reply = hms.post_json(self.address, "/v1/traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})
        self.assertEqual(reply.status, 200, reply)
        return [span["spanId"] for span in spans]

    def map(self):
        body = hms.get_json(self.address, f"/ops/map?start={self.begin}&end={self.begin + SECONDS}")
        return {node["service"]: node for node in body["nodes"]}, {(edge["from"], edge["to"]): edge for edge in body["edges"]}

    def test_who_calls_whom_how_often_and_how_well(self):
        ui = self.send_spans("ui", 60, milliseconds=50)
        self.send_spans("claims", 60, parent=ui, failed=15)
        nodes, edges = self.map()
        self.assertEqual(set(nodes), {"ui", "claims"})
        self.assertEqual(set(edges), {("ui", "claims")})
        for figures in (nodes["claims"], edges["ui", "claims"]):
            self.assertEqual((figures["rps"], figures["error_rate"]), (1.0, 0.25))
            self.assertAlmostEqual(figures["p99"], 20, delta=1)

    def test_metrics_count_where_spans_were_dropped_or_never_sent(self):
        ui = self.send_spans("ui", 60)
        self.send_spans("claims", 60, parent=ui)
        for service in ("claims", "payments"):
            points = []
            for second in range(self.begin, self.begin + SECONDS):
                points += [sidecar.point(second, 90), sidecar.point(second, 10, duration=2, status=500)]
            sidecar.post_metrics(self.address, service, points)
        nodes, edges = self.map()
        self.assertEqual(set(nodes), {"ui", "claims", "payments"})
        self.assertEqual(nodes["ui"]["rps"], 1.0)
        self.assertEqual(edges["ui", "claims"]["rps"], 1.0)
        for service in ("claims", "payments"):
            self.assertAlmostEqual(nodes[service]["rps"], 100, delta=3)
            self.assertAlmostEqual(nodes[service]["error_rate"], 0.1, delta=0.01)
            self.assertAlmostEqual(nodes[service]["p50"], 100, delta=4)
            self.assertAlmostEqual(nodes[service]["p99"], 2000, delta=60)

    def test_counts_are_what_was_counted_whatever_the_range(self):
        self.send_spans("ui", 60)
        figures = lambda start, end: {node["service"]: node["rps"] for node in hms.get_json(self.address, f"/ops/map?start={start}&end={end}")["nodes"]}  # noqa: E731
        for start, end in ((3, 4), (7.5, 9.5), (3.5, 53.5), (0, 60)):
            self.assertAlmostEqual(figures(self.begin + start, self.begin + end)["ui"], 1.0, delta=0.001)
        self.begin -= 3600
        burst = [{"traceId": f"{i + 1:032x}", "spanId": f"{i + 1:016x}", "name": "GET /", "kind": 2, "startTimeUnixNano": str((self.begin + 1) * 10**9),
                  "endTimeUnixNano": str((self.begin + 1) * 10**9 + 1000)} for i in range(30)]
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "burst"}}]}
        self.assertEqual(hms.post_json(self.address, "/v1/traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": burst}]}]}).status, 200)
        self.assertEqual(figures(self.begin + 5, self.begin + 6), {})
        self.assertAlmostEqual(figures(self.begin, self.begin + 60)["burst"], 0.5, delta=0.001)

    def test_metrics_are_counted_and_not_extrapolated(self):
        sidecar.post_metrics(self.address, "claims", [sidecar.point(self.begin + 30, 20)])
        nodes, _ = self.map()
        self.assertAlmostEqual(nodes["claims"]["rps"] * SECONDS, 20, delta=0.001)

    def left_out(self):
        return hms.prometheus_values(hms.get(self.address, "/metrics").body.decode())['hms_collector_map_calls_left_out_total{reason="late_rows"}']

    def test_calls_beyond_the_rows_of_closed_slots_are_counted(self):
        self.assertEqual(self.left_out(), 0)
        # Slots are closed from the first upkeep on, which comes within a second of the start: until then all of them are in memory.
        for attempt in range(60):
            spans = [{"traceId": f"{i + 1:032x}", "spanId": f"{i + 1:016x}", "name": "GET /", "kind": 2, "startTimeUnixNano": str(end), "endTimeUnixNano": str(end)}
                     for i in range(20_100) for end in [(self.begin - 10 * (1_000 + 20_100 * (attempt % 10) + i)) * 10**9]]
            resource = {"attributes": [{"key": "service.name", "value": {"stringValue": f"late-{attempt}"}}]}
            reply = hms.post_json(self.address, "/v1/traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]})
            self.assertEqual(reply.status, 200)
            if self.left_out() > 0:
                break
        self.assertGreater(self.left_out(), 0)

    def test_a_range_of_ages_is_answered_from_spans(self):
        self.send_spans("ui", 60)
        body = hms.get_json(self.address, "/ops/map?start=0&end=4102444800")
        self.assertEqual([node["service"] for node in body["nodes"]], ["ui"])
        self.assertEqual(hms.get(self.address, "/ops/map?start=2&end=1").status, 400)


if __name__ == "__main__":
    hms.main()
