"""Input that makes no sense, through the real collector: clocks that jump, endless labels, names that are empty, points that contradict each other, traces without end."""

import os
import sys
import time
from urllib.parse import quote

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

HOUR = 3_600
NANOS = 10**9
TEN_MEGABYTES = 10 << 20
PORTS = ("--listen", "127.0.0.1:0", "--otlp-listen", "off")


def text(key, value):
    return {"key": key, "value": {"stringValue": value}}


def resource(kind, scope, records, service="shop"):
    return {"resource" + kind: [{"resource": {"attributes": [text("service.name", service)]}, "scope" + kind: [{scope: records}]}]}


def metrics(*all_metrics):
    return resource("Metrics", "metrics", list(all_metrics))


def counter(name, points, temporality=2):
    """Points: (seconds, value[, attributes])."""
    return {"name": name, "sum": {"aggregationTemporality": temporality, "isMonotonic": True,
                                  "dataPoints": [{"startTimeUnixNano": str(int((at - 1) * NANOS)) if temporality == 1 else "0", "timeUnixNano": str(int(at * NANOS)), "asDouble": value, "attributes": more[0] if more else []}
                                                 for at, value, *more in points]}}


def gauge(name, points):
    return {"name": name, "gauge": {"dataPoints": [{"timeUnixNano": str(int(at * NANOS)), "asDouble": value} for at, value in points]}}


def span(trace, number, at, name="tick", **more):
    return {"traceId": f"{trace:032x}", "spanId": f"{number:016x}", "name": name, "kind": 2, "startTimeUnixNano": str(int(at * NANOS)), "endTimeUnixNano": str(int(at * NANOS) + 10**6), **more}


class OddInput(hms.TestCase):
    def begin(self, *flags):
        self.collector = self.start("hms-collector", "--data", os.path.join(self.folder(), "data"), *PORTS, *flags)
        self.at = self.collector.address("listen")
        self.now = int(time.time())

    def otlp(self, path, body):
        reply = hms.post_json(self.at, path, body)
        self.assertEqual(reply.status, 200, reply)
        return reply.json().get("partialSuccess", {})

    def values(self, expression, at=None):
        found = hms.get_json(self.at, f"/api/v1/query?query={quote(expression)}&time={at or self.now}")["data"]["result"]
        return [float(one["value"][1]) for one in found]

    def points(self, selector, seconds):
        """Times, relative to now, and values of the one series."""
        result = hms.get_json(self.at, f"/api/v1/query?query={quote(f'{selector}[{seconds}s]')}&time={self.now + 60}")["data"]["result"]
        self.assertEqual(len(result), 1, selector)
        return [(round(t) - self.now, float(value)) for t, value in result[0]["values"]]


class Clocks(OddInput):
    def test_a_clock_that_jumps_ahead_has_its_metrics_refused_until_it_is_back(self):
        self.begin()
        self.assertEqual(self.otlp("/v1/metrics", metrics(counter("jobs", [(self.now - 20, 100), (self.now - 10, 110)]))), {})
        told = self.otlp("/v1/metrics", metrics(counter("jobs", [(self.now + 3 * HOUR, 120)]), gauge("depth", [(self.now + 3 * HOUR, 1)])))
        self.assertEqual(told["rejectedDataPoints"], "2")
        self.assertIn("more than 5 minutes ahead", told["errorMessage"])
        self.assertEqual(self.otlp("/v1/metrics", metrics(counter("jobs", [(self.now, 130)]))), {})
        self.assertEqual(self.points("jobs_total", 120), [(-20, 100), (-10, 110), (0, 130)])
        self.assertEqual(self.values("depth"), [])
        item = {"type": "metric", "payload": {"name": "sold", "value": 1, "kind": "count", "service": "shop", "ts": (self.now + 3 * HOUR) * 1000}}
        reply = hms.post_json(self.at, "/ingest", item)
        self.assertEqual((reply.status, reply.json()["rejected"][0]["field"]), (400, "ts"))
        metrics_page = hms.get(self.at, "/metrics").body.decode()
        self.assertIn('hms_collector_ingest_rejected_records_total{path="/v1/metrics"} 2\n', metrics_page)
        self.assertIn('hms_collector_ingest_rejected_records_total{path="/ingest"} 1\n', metrics_page)

    def test_a_clock_that_jumps_back_writes_where_it_says_and_deltas_count_at_the_newest_point(self):
        self.begin()
        self.otlp("/v1/metrics", metrics(counter("jobs", [(self.now - 10, 110)]), gauge("depth", [(self.now - 10, 7)]), counter("sold", [(self.now - 10, 5)], temporality=1)))
        behind = self.now - 3 * HOUR
        self.assertEqual(self.otlp("/v1/metrics", metrics(counter("jobs", [(behind, 120)]), gauge("depth", [(behind, 8)]), counter("sold", [(behind, 6)], temporality=1))), {})
        self.assertEqual(self.otlp("/v1/metrics", metrics(counter("jobs", [(self.now, 130)]), gauge("depth", [(self.now, 9)]), counter("sold", [(self.now, 7)], temporality=1))), {})
        self.assertEqual(self.points("jobs_total", 4 * HOUR), [(-3 * HOUR, 120), (-10, 110), (0, 130)])
        self.assertEqual(self.points("depth", 4 * HOUR), [(-3 * HOUR, 8), (-10, 7), (0, 9)])
        self.assertEqual(self.values("sold_total"), [18])  # none lost, none twice
        self.assertEqual(self.values("max_over_time(jobs_total[1m]) - min_over_time(jobs_total[1m])"), [20])  # and nothing of what lies hours back

    def test_spans_and_lines_keep_the_time_that_they_were_given(self):
        self.begin()
        for jump in (3 * HOUR, -3 * HOUR):
            records = [{"timeUnixNano": str((self.now + jump) * NANOS), "severityText": "INFO", "body": {"stringValue": f"jumped {jump}"}}]
            self.assertEqual(self.otlp("/v1/logs", resource("Logs", "logRecords", records)), {})
            self.assertEqual(self.otlp("/v1/traces", resource("Spans", "spans", [span(0xA0 if jump > 0 else 0xB0, 1, self.now + jump)])), {})
        self.assertEqual([(one["msg"], one["ts"][:19]) for one in hms.get_json(self.at, "/ops/logs")["logs"]],
                         [(f"jumped {jump}", time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.now + jump))) for jump in (3 * HOUR, -3 * HOUR)])
        for trace, jump in ((0xA0, 3 * HOUR), (0xB0, -3 * HOUR)):
            [found] = hms.get_json(self.at, f"/api/traces/{trace:032x}")["data"][0]["spans"]
            self.assertEqual(found["startTime"], (self.now + jump) * 10**6)
            window = f"service=shop&start={(self.now + jump - 60) * 10**6}&end={(self.now + jump + 60) * 10**6}"
            self.assertEqual([int(one["traceID"], 16) for one in hms.get_json(self.at, "/api/traces?" + window)["data"]], [trace])


class Sizes(OddInput):
    def test_a_label_of_ten_megabytes_is_cut_and_an_item_that_holds_one_refused(self):
        self.begin()
        long = text("note", "ä" * (TEN_MEGABYTES // 2))
        self.assertEqual(self.otlp("/v1/metrics", metrics(counter("jobs", [(self.now, 3, [long])]))), {})
        [labels] = hms.get_json(self.at, "/api/v1/series?match[]=jobs_total")["data"]
        self.assertEqual(labels["note"], "ä" * 2048)  # 4 KiB, at a whole character
        self.assertEqual(self.values('jobs_total{note=~"ä+"}'), [3])
        # Labels that are the same up to there are the same.
        longer = text("note", "ä" * (TEN_MEGABYTES // 2) + "b")
        self.assertEqual(self.otlp("/v1/metrics", metrics(counter("jobs", [(self.now + 1, 4, [longer])]))), {})
        self.assertEqual(len(hms.get_json(self.at, "/api/v1/series?match[]=jobs_total")["data"]), 1)
        for payload in ({"name": "sold", "value": 1, "service": "shop", "labels": {"note": "v" * TEN_MEGABYTES}}, {"name": "n" * TEN_MEGABYTES, "value": 1, "service": "shop"}):
            reply = hms.post_json(self.at, "/ingest", [{"type": "metric", "payload": payload}, {"type": "metric", "payload": {"name": "kept", "value": 2, "service": "shop"}}])
            self.assertEqual((reply.status, reply.json()["accepted"]), (400, 1), reply)
            self.assertEqual([(one["index"], one["error"]) for one in reply.json()["rejected"]], [(0, "larger than 1 MiB")])
        reply = hms.post_json(self.at, "/ingest", {"type": "metric", "payload": {"name": "wide", "value": 1, "service": "shop", "labels": {"note": "v" * 500_000}}})
        self.assertEqual(reply.status, 202, reply)
        self.assertEqual([len(one["note"]) for one in hms.get_json(self.at, "/api/v1/series?match[]=wide")["data"]], [4096])

    def test_attributes_of_ten_megabytes_are_cut_wherever_they_are(self):
        self.begin()
        long = text("note", "v" * TEN_MEGABYTES)
        record = {"timeUnixNano": str(self.now * NANOS), "body": {"stringValue": "b" * TEN_MEGABYTES}, "attributes": [long]}
        self.assertEqual(self.otlp("/v1/logs", resource("Logs", "logRecords", [record])), {})
        [line] = hms.get_json(self.at, "/ops/logs")["logs"]
        self.assertEqual((len(line["msg"]), len(line["note"])), (64 << 10, 64 << 10))
        event = {"timeUnixNano": str(self.now * NANOS), "name": "e" * TEN_MEGABYTES, "attributes": [long]}
        self.assertEqual(self.otlp("/v1/traces", resource("Spans", "spans", [span(0xC0, 1, self.now, "n" * TEN_MEGABYTES, events=[event])])), {})
        [found] = hms.get_json(self.at, f"/api/traces/{0xC0:032x}")["data"][0]["spans"]
        self.assertEqual(len(found["operationName"]), 64 << 10)
        self.assertEqual([len(field["value"]) for field in found["logs"][0]["fields"]], [64 << 10, 64 << 10])

    def test_a_trace_that_no_answer_has_room_for_is_shown_cut_and_the_memory_kept(self):
        self.begin("--memory", f"{128 * hms.MEMORY_FACTOR}MiB")
        attributes = [text("http.route", "/ticks/{id}"), text("user_agent", "ticker/1.0 (a clock)"), {"key": "n", "value": {"intValue": "1"}}]
        for begin in range(0, 120_000, 10_000):
            spans = [span(0xD0, begin + n + 1, self.now + n / 1000, attributes=attributes) for n in range(10_000)]
            hms.wait_for(lambda: hms.post_json(self.at, "/v1/traces", resource("Spans", "spans", spans)).status == 200, what="room for a batch")
        self.otlp("/v1/traces", resource("Spans", "spans", [span(0xE0 + n, 1, self.now - 60 - n) for n in range(5)]))
        trace = hms.get_json(self.at, f"/api/traces/{0xD0:032x}")["data"][0]
        shown = len(trace["spans"])
        self.assertGreater(shown, 3_000)
        self.assertLess(shown, 100_000)
        self.assertEqual(trace["warnings"], [f"only the first {shown} spans are shown: an answer has room for {8 * hms.MEMORY_FACTOR} MiB of spans (a sixteenth of --memory)"])
        self.assertEqual({s["processID"] for s in trace["spans"]}, set(trace["processes"]))
        three = hms.get_json(self.at, f"/api/v3/traces/{0xD0:032x}")["result"]["resourceSpans"]
        listed = [one for r in three for scope in r["scopeSpans"] for one in scope["spans"]]
        self.assertEqual(len(listed), shown)
        self.assertIn("only the first", listed[0]["attributes"][-1]["value"]["arrayValue"]["values"][0]["stringValue"])
        # A search that finds it with others: whole ones stay whole, and what is left out is told.
        found = hms.get_json(self.at, f"/api/traces?service=shop&start={(self.now - 600) * 10**6}&end={(self.now + 600) * 10**6}")["data"]
        self.assertEqual([int(one["traceID"], 16) for one in found], [0xD0])
        self.assertIn("further traces are left out", found[0]["warnings"][-1])
        small = hms.get_json(self.at, f"/api/traces?service=shop&start={(self.now - 600) * 10**6}&end={(self.now - 30) * 10**6}")["data"]
        self.assertEqual([int(one["traceID"], 16) for one in small], [0xE0 + n for n in range(5)])

    def test_a_long_scope_name_counts_for_each_span_that_is_shown_with_it(self):
        self.begin("--memory", f"{128 * hms.MEMORY_FACTOR}MiB")
        scope = "s" * (60 << 10)
        body = resource("Spans", "spans", [span(0xD1, n + 1, self.now + n / 1000) for n in range(20_000)])
        body["resourceSpans"][0]["scopeSpans"][0]["scope"] = {"name": scope}
        self.assertEqual(self.otlp("/v1/traces", body), {})
        trace = hms.get_json(self.at, f"/api/traces/{0xD1:032x}")["data"][0]
        self.assertIn({"key": "otel.scope.name", "type": "string", "value": scope}, trace["spans"][0]["tags"])
        self.assertGreater(len(trace["spans"]), 1)
        self.assertLessEqual(len(trace["spans"]) * len(scope), 8 * hms.MEMORY_FACTOR << 20)
        self.assertRegex(trace["warnings"][0], f"only the first [0-9]+ spans are shown: an answer has room for {8 * hms.MEMORY_FACTOR} MiB of spans")

    def test_a_span_whose_text_no_answer_has_room_for_is_shown_without_its_attributes(self):
        self.begin()
        # A control character is six bytes of JSON: 8 MiB of attributes are 45 MiB of text, two such spans more than an answer may have.
        long = [text(f"note{n}", "\x01" * 60_000) for n in range(128)]
        for number in (1, 2):
            self.assertEqual(self.otlp("/v1/traces", resource("Spans", "spans", [span(0xD2, number, self.now + number, attributes=long)])), {})
        one = hms.get_json(self.at, f"/api/traces/{0xD2:032x}")["data"][0]
        self.assertEqual([len(s["tags"]) > 100 for s in one["spans"]], [True])
        self.assertEqual(one["warnings"], ["only the first 1 spans are shown: an answer has at most 60 MiB of text"])
        three = hms.get_json(self.at, f"/api/v3/traces/{0xD2:032x}")["result"]["resourceSpans"]
        listed = [found for r in three for scope in r["scopeSpans"] for found in scope["spans"]]
        self.assertEqual([len(s["attributes"]) > 100 for s in listed], [True, False])


class Contradictions(OddInput):
    def test_a_metric_without_a_name_is_refused_and_the_others_kept(self):
        self.begin()
        told = self.otlp("/v1/metrics", metrics(gauge("", [(self.now, 1), (self.now - 1, 2)]), gauge("kept", [(self.now, 3)])))
        self.assertEqual((told["rejectedDataPoints"], "no name" in told["errorMessage"]), ("2", True), told)
        self.assertEqual(self.values("kept"), [3])
        reply = hms.post_json(self.at, "/ingest", [{"type": "metric", "payload": {"name": "", "value": 1}}, {"type": "metric", "payload": {"value": 1}}, {"type": "trace", "payload": {"traceId": "t", "name": ""}}])
        self.assertEqual([(one["index"], one["field"]) for one in reply.json()["rejected"]], [(0, "name"), (1, "name"), (2, "name")])
        self.assertEqual(hms.get_json(self.at, "/api/v1/label/__name__/values")["data"], ["kept"])
        # A span and an attribute may have empty names in OTLP; a label without a name is none.
        self.assertEqual(self.otlp("/v1/metrics", metrics(counter("jobs", [(self.now, 3, [text("", "nameless"), text("a", "")])]))), {})
        self.assertEqual(hms.get_json(self.at, "/api/v1/series?match[]=jobs_total")["data"], [{"__name__": "jobs_total", "service_name": "shop"}])

    def test_of_two_points_at_one_time_the_last_wins_and_deltas_add_up(self):
        self.begin()
        first, second = self.now - 20, self.now - 10
        self.otlp("/v1/metrics", metrics(gauge("depth", [(first, 1), (first, 1), (first, 2)]), counter("jobs", [(first, 10), (first, 12)]), counter("sold", [(first, 5), (first, 6)], temporality=1)))
        self.otlp("/v1/metrics", metrics(gauge("depth", [(second, 3)]), counter("jobs", [(second, 20)]), counter("sold", [(second, 1)], temporality=1)))
        # Later, and in another batch: the same ones again, and one that contradicts.
        self.otlp("/v1/metrics", metrics(gauge("depth", [(first, 9), (second, 3)]), counter("jobs", [(first, 11), (second, 20)])))
        self.assertEqual(self.points("depth", 120), [(-20, 9), (-10, 3)])
        self.assertEqual(self.points("jobs_total", 120), [(-20, 11), (-10, 20)])
        self.assertEqual(self.values("sold_total"), [12])

    def test_one_name_may_be_two_kinds(self):
        self.begin()
        self.otlp("/v1/metrics", metrics(gauge("mixed_total", [(self.now, 1)]), counter("mixed", [(self.now, 5, [text("a", "b")])])))
        self.assertEqual(sorted(self.values("mixed_total")), [1, 5])

    def test_ids_of_zero_and_parents_in_a_circle_by_ingest(self):
        self.begin()
        item = lambda trace, number, parent=None: {"type": "trace", "payload": {"traceId": trace, "spanId": number, "parentId": parent, "service": f"s{number[-1]}", "name": "n", "durationMs": 1}}
        circle = "ab" * 16
        reply = hms.post_json(self.at, "/ingest", [item("0" * 32, "1" * 16), item(circle, "0" * 16), item(circle, "1" * 16, "2" * 16), item(circle, "2" * 16, "1" * 16), item(circle, "3" * 16, "3" * 16)])
        told = {one["index"]: one["field"] for one in reply.json()["rejected"]}
        self.assertEqual(told[0], "traceId", told)
        self.assertLessEqual(set(told), {0, 1})
        spans = hms.get_json(self.at, f"/api/traces/{circle}")["data"][0]["spans"]
        self.assertLessEqual({"1" * 16, "2" * 16, "3" * 16}, {one["spanID"] for one in spans})
        self.assertNotIn("0" * 16, {one["spanID"] for one in spans})
        # Each span counts as the call that it says it was, its own parent as none: nothing goes round.
        self.assertEqual(sorted((e["from"], e["to"]) for e in hms.get_json(self.at, "/ops/map")["edges"]), [("s1", "s2"), ("s2", "s1")])


if __name__ == "__main__":
    hms.main()
