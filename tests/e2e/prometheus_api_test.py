"""The Prometheus HTTP API of a real collector, by the letter: what Grafana's Prometheus data source calls, and what it is told when it asks wrongly."""

import json
import os
import signal
import socket
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import hms

NANOS = 10**9


def attributes(**values):
    return [{"key": key.replace("__", "."), "value": {"stringValue": str(value)}} for key, value in values.items()]


def duration_points(end, seconds, fast, slow):
    """Delta exponential histograms, one a second: `fast` requests of about 0.1 s and `slow` of about 2 s each."""
    points = []
    for i in range(seconds):
        counts = [fast] + [0] * 137 + [slow]  # scale 5: bucket -107 holds 0.1 s, bucket 31 holds 2 s
        points.append({"startTimeUnixNano": str((end - seconds + i) * NANOS), "timeUnixNano": str((end - seconds + i + 1) * NANOS), "count": str(fast + slow),
                       "sum": fast * 0.1 + slow * 2.0, "scale": 5, "zeroCount": "0", "positive": {"offset": -107, "bucketCounts": [str(c) for c in counts]},
                       "attributes": attributes(http__route="/claims/{id}", http__response__status_code="200")})
    return points


class PrometheusApi(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.folder(), "data")
        self.collector = self.launch()
        self.end = int(time.time())

    def launch(self):
        return self.start("hms-collector", "--data", self.data, "--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0")

    def feed(self):
        body = {"resourceMetrics": [{
            "resource": {"attributes": attributes(service__name="claims", service__instance__id="i-1")},
            "scopeMetrics": [{"metrics": [
                {"name": "http.server.request.duration", "unit": "s", "description": "Duration of requests.",
                 "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": duration_points(self.end, 120, 98, 2)}},
                {"name": "queue.depth", "gauge": {"dataPoints": [{"timeUnixNano": str((self.end - 60 + i) * NANOS), "asDouble": i / 2} for i in range(60)]}},
            ]}]}]}
        reply = hms.post_json(self.collector.address("otlp"), "/v1/metrics", body)
        self.assertEqual(reply.status, 200, reply.body)

    def ask(self, path, method="GET", **parameters):
        text = urllib.parse.urlencode({k.replace("match", "match[]"): v for k, v in parameters.items()}, doseq=True)
        if method == "POST":
            reply = hms.request(self.collector.address("listen"), "POST", f"/api/v1/{path}", {"Content-Type": "application/x-www-form-urlencoded"}, text.encode())
        else:
            reply = hms.request(self.collector.address("listen"), "GET", f"/api/v1/{path}?{text}")
        return reply.status, json.loads(reply.body)

    def value(self, query, **parameters):
        status, reply = self.ask("query", query=query, time=self.end, **parameters)
        self.assertEqual(status, 200, reply)
        self.assertEqual(len(reply["data"]["result"]), 1, reply)
        return float(reply["data"]["result"][0]["value"][1])

    def test_grafanas_health_check(self):
        for method in ("GET", "POST"):
            status, reply = self.ask("query", method, query="1+1", time="4")
            self.assertEqual((status, reply), (200, {"status": "success", "data": {"resultType": "scalar", "result": [4, "2"]}}))
        status, reply = self.ask("status/buildinfo")
        self.assertEqual(status, 200)
        self.assertEqual(reply["data"]["version"].split(".")[0], "3")
        self.assertNotIn("features", reply["data"])

    def test_figures_of_a_service(self):
        self.feed()
        rate = "sum by (service_name) (rate(http_server_request_duration_seconds_count[1m]))"
        self.assertAlmostEqual(self.value(rate), 100, delta=0.5)
        self.assertAlmostEqual(self.value("sum(histogram_count(rate(http_server_request_duration_seconds[1m])))"), 100, delta=0.5)
        self.assertAlmostEqual(self.value("histogram_quantile(0.5, sum(rate(http_server_request_duration_seconds[1m])))"), 0.1, delta=0.004)
        self.assertAlmostEqual(self.value("histogram_quantile(0.99, sum(rate(http_server_request_duration_seconds[1m])))"), 2.0, delta=0.05)
        classic = self.value("histogram_quantile(0.5, sum by (le) (rate(http_server_request_duration_seconds_bucket[1m])))")
        self.assertTrue(0.075 <= classic <= 0.25, classic)
        self.assertAlmostEqual(self.value("histogram_fraction(0, 1, sum(rate(http_server_request_duration_seconds[1m])))"), 0.98, delta=1e-6)
        self.assertEqual(self.value("queue_depth"), 29.5)
        status, reply = self.ask("query", query="increase(http_server_request_duration_seconds[1m])", time=self.end)
        t, histogram = reply["data"]["result"][0]["histogram"]
        self.assertEqual(t, self.end)
        self.assertAlmostEqual(float(histogram["count"]), 6000, delta=30)
        self.assertEqual([bucket[0] for bucket in histogram["buckets"]], [0, 0])

    def test_a_range(self):
        self.feed()
        for method in ("GET", "POST"):
            status, reply = self.ask("query_range", method, query="queue_depth", start=self.end - 30, end=self.end, step="10s")
            self.assertEqual(status, 200, reply)
            self.assertEqual(reply["data"]["resultType"], "matrix")
            row = reply["data"]["result"][0]
            self.assertEqual(row["metric"], {"__name__": "queue_depth", "service_name": "claims", "service_instance_id": "i-1"})
            self.assertEqual(row["values"], [[self.end - 30, "15"], [self.end - 20, "20"], [self.end - 10, "25"], [self.end, "29.5"]])

    def test_series_labels_and_metadata(self):
        self.feed()
        status, reply = self.ask("series", match=["queue_depth", "nothing"], start=self.end - 600, end=self.end)
        self.assertEqual(reply["data"], [{"__name__": "queue_depth", "service_name": "claims", "service_instance_id": "i-1"}])
        self.assertEqual(self.ask("labels")[1]["data"], ["__name__", "http_response_status_code", "http_route", "le", "service_instance_id", "service_name"])
        self.assertEqual(self.ask("labels", match="queue_depth")[1]["data"], ["__name__", "service_instance_id", "service_name"])
        self.assertEqual(self.ask("label/http_route/values")[1]["data"], ["/claims/{id}"])
        self.assertIn("http_server_request_duration_seconds_bucket", self.ask("label/__name__/values")[1]["data"])
        self.assertEqual(len(self.ask("label/le/values", match="http_server_request_duration_seconds_bucket")[1]["data"]), 15)
        self.assertEqual(self.ask("label/nothing/values")[1]["data"], [])
        status, reply = self.ask("metadata", metric="http_server_request_duration_seconds")
        self.assertEqual(reply["data"], {"http_server_request_duration_seconds": [{"type": "histogram", "help": "Duration of requests.", "unit": "s"}]})

    def test_exemplars_lead_from_a_slow_point_to_its_trace(self):
        point = duration_points(self.end, 1, 98, 2)[0]
        slow, fast = "0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000abc"
        point["exemplars"] = [{"timeUnixNano": str(self.end * NANOS), "asDouble": 2.0, "traceId": slow, "spanId": "b7ad6b7169203331"},
                              {"timeUnixNano": str(self.end * NANOS), "asDouble": 0.1, "traceId": fast, "spanId": "b7ad6b7169203332"},
                              {"timeUnixNano": str(self.end * NANOS), "asDouble": 9.0}]
        body = {"resourceMetrics": [{"resource": {"attributes": attributes(service__name="claims")}, "scopeMetrics": [{"metrics": [
            {"name": "http.server.request.duration", "unit": "s", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [point]}}]}]}]}
        self.assertEqual(hms.post_json(self.collector.address("otlp"), "/v1/metrics", body).status, 200)
        labels = {"service_name": "claims", "http_route": "/claims/{id}", "http_response_status_code": "200"}
        exemplar = {"labels": {"trace_id": slow, "span_id": "b7ad6b7169203331"}, "value": "2", "timestamp": self.end}
        for _ in range(2):
            status, reply = self.ask("query_exemplars", query="http_server_request_duration_seconds", start=self.end - 60, end=self.end)
            self.assertEqual((status, reply["data"]), (200, [{"seriesLabels": dict(labels, __name__="http_server_request_duration_seconds"), "exemplars": [exemplar]}]), reply)
            question = "histogram_quantile(0.9, sum by (le) (rate(http_server_request_duration_seconds_bucket[5m])))"
            status, reply = self.ask("query_exemplars", "POST", query=question, start=self.end - 60, end=self.end)
            self.assertEqual(reply["data"], [{"seriesLabels": dict(labels, __name__="http_server_request_duration_seconds_bucket", le="2.5"), "exemplars": [exemplar]}])
            self.assertEqual(self.ask("query_exemplars", query=question, start=self.end - 600, end=self.end - 60)[1]["data"], [])
            self.collector.kill()  # they are as durable as the points
            self.collector = self.launch()

    def test_status_and_the_cardinality_explorer(self):
        self.feed()
        status, reply = self.ask("status/tsdb")
        self.assertEqual(status, 200, reply)
        data = reply["data"]
        self.assertEqual(data["headStats"]["numSeries"], 2)
        self.assertGreaterEqual(data["headStats"]["maxTime"], (self.end - 1) * 1000)
        self.assertEqual(data["seriesCountByMetricName"], [{"name": "http_server_request_duration_seconds", "value": 1}, {"name": "queue_depth", "value": 1}])
        self.assertIn({"name": "service_name=claims", "value": 2}, data["seriesCountByLabelValuePair"])
        self.assertIn({"name": "http_route", "value": 1}, data["labelValueCountByLabelName"])
        self.assertEqual(len(self.ask("status/tsdb", limit=1)[1]["data"]["memoryInBytesByLabelName"]), 1)
        self.assertEqual(self.ask("status/tsdb", limit=0)[0], 400)
        self.assertEqual(self.ask("status/runtimeinfo")[1]["data"]["storageRetention"], "30d")
        self.assertEqual(self.ask("status/flags")[1]["data"]["data"], self.data)
        self.assertIn("retention_days", self.ask("status/config")[1]["data"]["yaml"])

    def test_limits_and_stats(self):
        self.feed()
        status, reply = self.ask("query", query='{__name__=~".+"}', time=self.end, limit=1)
        self.assertEqual(len(reply["data"]["result"]), 1)
        self.assertEqual(reply["warnings"], ["results truncated due to limit"])
        status, reply = self.ask("query", query="queue_depth", time=self.end, stats="all")
        self.assertGreater(reply["data"]["stats"]["samples"]["totalQueryableSamples"], 0)

    def test_wrong_questions_say_what_is_wrong(self):
        def refused(path, status, kind, sentence, **parameters):
            got, reply = self.ask(path, **parameters)
            self.assertEqual((got, reply["status"], reply["errorType"]), (status, "error", kind), reply)
            self.assertIn(sentence, reply["error"])

        self.feed()
        refused("query", 400, "bad_data", 'invalid parameter "query": 1:5: parse error: unexpected end of input', query="sum(")
        refused("query", 400, "bad_data", 'invalid parameter "query": 1:1: parse error: no expression found in input', query="")
        refused("query", 400, "bad_data", 'invalid parameter "time": cannot parse "soon" to a valid timestamp', query="1", time="soon")
        refused("query", 400, "bad_data", 'invalid parameter "timeout"', query="1", timeout="long")
        refused("query", 422, "execution", "many-to-many matching not allowed", time=self.end,
                query="queue_depth * on(service_name) http_server_request_duration_seconds_bucket")
        refused("query_range", 400, "bad_data", 'invalid parameter "start"', query="1")
        refused("query_range", 400, "bad_data", "end timestamp must not be before start time", query="1", start=10, end=5, step=1)
        refused("query_range", 400, "bad_data", "zero or negative query resolution step", query="1", start=0, end=5, step=0)
        refused("query_range", 400, "bad_data", "exceeded maximum resolution of 11,000 points", query="1", start=0, end=100000, step=1)
        refused("query_range", 400, "bad_data", "must be Scalar or instant Vector", query="queue_depth[5m]", start=0, end=5, step=1)
        refused("series", 400, "bad_data", "no match[] parameter provided")
        refused("series", 400, "bad_data", "expected a series selector", match="rate(queue_depth[5m])")
        refused("query", 422, "execution", "too many samples", query="sum_over_time(vector(1)[10000h:1ms])")

    def test_a_question_that_nobody_waits_for_ends_inside_its_steps(self):
        # One series, and hours of work: 10,001 windows of 259,200 points.
        hostile = {"query": "mad_over_time(vector(time())[3d:1s])", "start": self.end - 10_000, "end": self.end, "step": 1}
        status, reply = self.ask("query_range", timeout="500ms", **hostile)
        self.assertEqual((status, reply["errorType"]), (503, "timeout"), reply)
        self.assertIn("query timed out in expression evaluation after 500ms", reply["error"])

        def hostile_callers():
            head = f"GET /api/v1/query_range?{urllib.parse.urlencode(hostile)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            callers = [socket.create_connection(hms.split_address(self.collector.address("listen"))) for _ in range(4)]
            for caller in callers:
                caller.sendall(head)
            return callers

        # Whoever leaves gives the worker back: the next question has its turn.
        for caller in hostile_callers():
            caller.close()
        self.assertEqual(self.value("vector(1)"), 1)
        # SIGTERM finds them at work, and their callers leave: the program ends.
        callers = hostile_callers()
        self.collector.signal(signal.SIGTERM)
        for caller in callers:
            caller.close()
        self.assertEqual(self.collector.wait(), 0)

    def test_a_summary_has_the_names_that_dashboards_ask_for(self):
        points = [{"timeUnixNano": str((self.end - 60 + i * 10) * NANOS), "count": str(100 + 10 * i), "sum": 50.0 + 2 * i, "quantileValues": [{"quantile": 0.5, "value": 0.2}]} for i in range(7)]
        body = {"resourceMetrics": [{"resource": {"attributes": attributes(service__name="claims")},
                                     "scopeMetrics": [{"metrics": [{"name": "rpc.time", "unit": "s", "summary": {"dataPoints": points}}]}]}]}
        reply = hms.post_json(self.collector.address("otlp"), "/v1/metrics", body)
        self.assertEqual((reply.status, reply.body.strip()), (200, b"{}"))
        self.assertEqual(self.value('rpc_time_seconds{quantile="0.5"}'), 0.2)
        self.assertEqual(self.value("rpc_time_seconds_count"), 160)
        self.assertAlmostEqual(self.value("rate(rpc_time_seconds_sum[50s]) / rate(rpc_time_seconds_count[50s])"), 0.2, delta=1e-9)

    def test_what_was_stored_is_there_after_a_kill(self):
        self.feed()
        before = self.ask("query", query="http_server_request_duration_seconds[2m]", time=self.end)[1]["data"]
        self.assertEqual(len(before["result"][0]["histograms"]), 120)
        self.collector.kill()
        self.collector = self.launch()
        self.assertEqual(self.ask("query", query="http_server_request_duration_seconds[2m]", time=self.end)[1]["data"], before)


if __name__ == "__main__":
    hms.main()
