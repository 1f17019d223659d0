"""Past days of a real collector: packed and thinned while it runs, killed on the way, and every answer stays what it was."""

import json
import math
import os
import statistics
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import hms

NANOS = 10**9
DAY = 86400
HOURS = 7  # the longest question looks back six
QUESTIONS = [
    ("query_range", "sum by (route) (rate(visits_total[10m]))", 60),
    ("query_range", "rate(visits_total[5m])", 60),
    ("query_range", "increase(visits_total[5h])", 3600),
    ("query_range", "max_over_time(level[30m])", 300),
    ("query_range", "min_over_time(level[5h])", 3600),
    ("query_range", "avg_over_time(level[30m])", 300),
    ("query_range", "avg_over_time(level[2h])", 3600),
    ("query_range", "sum_over_time(level[1h])", 1800),
    ("query_range", "stddev_over_time(level[3h])", 3600),
    ("query_range", "changes(level[1h])", 3600),
    ("query_range", "count_over_time(took_seconds[1h])", 3600),
    ("query", "stdvar_over_time(level[6h])", None),
    ("query_range", "level", 60),
    ("query_range", "level", 37),
    ("query_range", "histogram_quantile(0.9, sum(rate(took_seconds[10m])))", 600),
    ("query_range", "count_over_time(visits_total[10m])", 600),
    ("query", "sum(increase(visits_total[6h]))", None),
    ("query", "histogram_count(increase(took_seconds[6h]))", None),
]


def point(begin, end, **fields):
    return dict(fields, startTimeUnixNano=str(begin * NANOS), timeUnixNano=str(end * NANOS))


def body(begin, end):
    """Ten-second points of counters (one of which begins again now and then), a gauge and a histogram."""
    def route(name):
        return [{"key": "route", "value": {"stringValue": name}}]

    visits = [point(begin, t, asInt=str((t % 5000) * (1 + len(name))), attributes=route(name)) for name in ("/a", "/bb") for t in range(begin, end, 10)]
    level = [point(t, t, asDouble=round(20 + 5 * math.sin(t / 900), 3)) for t in range(begin, end, 10)]
    took = [point(t - 10, t, count="3", sum=0.5, scale=5, zeroCount="0", positive={"offset": -100 + t // 10 % 40, "bucketCounts": ["1", "2"]}) for t in range(begin, end, 10)]
    return {"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "claims"}}]}, "scopeMetrics": [{"metrics": [
        {"name": "visits", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": visits}},
        {"name": "level", "gauge": {"dataPoints": level}},
        {"name": "took", "unit": "s", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": took}}]}]}]}


class SeriesCompaction(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.folder(), "data")
        self.config = os.path.join(self.folder(), "collector.yaml")
        with open(self.config, "w") as out:
            out.write("series: {seal_interval: 1s}\n")
        self.collector = self.launch()
        self.begin = (int(time.time()) // DAY - 3) * DAY + 3600
        self.end = self.begin + HOURS * 3600

    def launch(self):
        return self.start("hms-collector", "--data", self.data, "--config", self.config, "--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0")

    def feed(self, begin, end):
        self.assertEqual(hms.post_json(self.collector.address("otlp"), "/v1/metrics", body(begin, end)).status, 200)

    def metric(self, name):
        values = hms.prometheus_values(hms.get(self.collector.address("listen"), "/metrics").body.decode())
        return sum(value for key, value in values.items() if key.split("{")[0] == name)

    def samples_read(self, expression):
        reply = hms.get(self.collector.address("listen"), "/api/v1/query?" + urllib.parse.urlencode({"query": expression, "time": self.end, "stats": "all"}))
        return json.loads(reply.body)["data"]["stats"]["samples"]["totalQueryableSamples"]

    def answers(self):
        out = []
        for path, expression, step in QUESTIONS:
            times = {"time": self.end} if step is None else {"start": self.begin + 6 * 3600, "end": self.end, "step": step}
            reply = hms.get(self.collector.address("listen"), f"/api/v1/{path}?" + urllib.parse.urlencode({"query": expression, **times}))
            self.assertEqual(reply.status, 200, reply.body)
            found = json.loads(reply.body)["data"]["result"]
            self.assertTrue(found, expression)
            out.append((expression, step, found))
        return out

    def assertSame(self, got, wanted):
        for (expression, step, left), (_, _, right) in zip(got, wanted):
            self.assertEqual([row["metric"] for row in left], [row["metric"] for row in right], expression)
            for a, b in zip(left, right):
                mine, theirs = (row.get("values") or [row["value"]] for row in (a, b))
                self.assertEqual([t for t, _ in mine], [t for t, _ in theirs], expression)
                for (t, x), (_, y) in zip(mine, theirs):
                    self.assertTrue(math.isclose(float(x), float(y), rel_tol=1e-9, abs_tol=1e-12), f"{expression} step {step} at {t}: {x}, before {y}")

    def assertAsDefined(self):
        """Rolled up, the answers are what the definitions make of the points that were sent."""
        values = [round(20 + 5 * math.sin(t / 900), 3) for t in range(self.end - 5 * 3600 + 10, self.end, 10)]  # left-open; the last point is before the end
        for function, wanted in [("avg", statistics.fmean(values)), ("sum", math.fsum(values)), ("count", len(values)), ("stddev", statistics.pstdev(values)), ("stdvar", statistics.pvariance(values))]:
            expression = f"{function}_over_time(level[5h])"
            reply = hms.get(self.collector.address("listen"), "/api/v1/query?" + urllib.parse.urlencode({"query": expression, "time": self.end}))
            got = float(json.loads(reply.body)["data"]["result"][0]["value"][1])
            self.assertTrue(math.isclose(got, wanted, rel_tol=1e-9), f"{expression}: {got}, from all points {wanted}")

    def test_answers_stay_the_same_through_packing_thinning_and_kills(self):
        for hour in range(HOURS):
            self.feed(self.begin + hour * 3600, self.begin + (hour + 1) * 3600)
        samples = HOURS * 360 * 4
        before = self.answers()
        # Killed as soon as the first series is packed, and again while it goes on.
        hms.wait_for(lambda: self.metric("hms_collector_series_compacted_samples_total") > 0, what="a series to be packed")
        self.assertSame(self.answers(), before)
        for _ in range(2):
            self.collector.kill()
            self.collector = self.launch()
            self.assertSame(self.answers(), before)
        # A late point makes the day be done again; what is thinned is not used in between.
        self.feed(self.begin - 3600, self.begin - 3590)
        hms.wait_for(lambda: self.metric("hms_collector_series_compacted_samples_total") >= samples, what="the day to be packed again")
        hms.wait_for(lambda: self.samples_read("rate(visits_total[5h])") < 2 * 5 * 20, what="five hours to be read by the hour")
        self.assertSame(self.answers(), before)
        self.assertGreater(self.metric("hms_collector_series_rollup_bytes_total"), 0)
        # Sums by the hour, a row of which weighs four points; what needs every point reads them all.
        self.assertLessEqual(self.samples_read("avg_over_time(level[5h])"), 4 * 5)
        self.assertGreater(self.samples_read("quantile_over_time(0.5, level[5h])"), 5 * 359)
        self.assertAsDefined()


if __name__ == "__main__":
    hms.main()
