"""What a sender is told: a record that is not kept is named in the answer, and what is acknowledged can be read."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

DAY = 86_400
NANOS = 10**9


def oldest_day(days):
    """Of whole UTC days besides today."""
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * DAY))


def metric(name, value, seconds_ago, **fields):
    return {"type": "metric", "payload": {"name": name, "value": value, "service": "shop", "ts": int((time.time() - seconds_ago) * 1000), **fields}}


def otlp(name, form):
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [{"name": name, **form}]}]}]}


def gauge(name, seconds_ago):
    return otlp(name, {"gauge": {"dataPoints": [{"timeUnixNano": str(int((time.time() - seconds_ago) * NANOS)), "asDouble": 1}]}})


def delta(name, values):
    now = time.time_ns()
    points = [{"startTimeUnixNano": str(now - NANOS), "timeUnixNano": str(now), "asDouble": value, "attributes": [{"key": "n", "value": {"intValue": str(n)}}]} for n, value in enumerate(values)]
    return otlp(name, {"sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": points}})


class IngestAnswers(hms.TestCase):
    def collector(self, *flags):
        return self.start("hms-collector", "--data", os.path.join(self.folder(), "data"), "--listen", "127.0.0.1:0", "--otlp-listen", "off", *flags).address("listen")

    def names(self, at, *asked):
        return set(hms.get_json(at, "/api/v1/label/__name__/values")["data"]) & set(asked)

    def rejected(self, at, path):
        text = hms.get(at, "/metrics").body.decode()
        line = next(row for row in text.splitlines() if row.startswith(f'hms_collector_ingest_rejected_records_total{{path="{path}"}}'))
        return float(line.split()[-1])


class Metrics(IngestAnswers):
    def test_a_metric_outside_of_the_kept_time_is_a_bad_item(self):
        at = self.collector("--retention-metrics", "2")
        items = [metric("ahead", 1, -600), metric("kept", 1, 0), metric("old", 1, 3 * DAY), metric("day_ahead", 1, -2 * DAY), metric("yesterday", 1, DAY)]
        reply = hms.post_json(at, "/ingest", items)
        self.assertEqual(reply.status, 400, reply)
        told = reply.json()
        self.assertEqual(told["accepted"], 2)
        self.assertEqual([(r["index"], r["field"]) for r in told["rejected"]], [(0, "ts"), (2, "ts"), (3, "ts")])
        self.assertIn("5 minutes ahead", told["rejected"][0]["error"])
        self.assertIn(f"of a day before {oldest_day(2)}, the oldest that metrics are kept of", told["rejected"][1]["error"])
        self.assertEqual(self.names(at, "ahead", "kept", "old", "day_ahead", "yesterday"), {"kept", "yesterday"})
        self.assertEqual(self.rejected(at, "/ingest"), 3)

    def test_otlp_points_that_are_not_kept_are_a_partial_success(self):
        at = self.collector("--retention-metrics", "2")
        for name, seconds_ago, why in (("ahead", -600, "5 minutes ahead"), ("old", 3 * DAY, "of a day before " + oldest_day(2))):
            reply = hms.post_json(at, "/v1/metrics", gauge(name, seconds_ago))
            self.assertEqual(reply.status, 200, reply)
            partial = reply.json()["partialSuccess"]
            self.assertEqual(partial["rejectedDataPoints"], "1")
            self.assertIn(why, partial["errorMessage"])
        partial = hms.post_json(at, "/v1/metrics", delta("sold", [2, -5, "NaN"])).json()["partialSuccess"]
        self.assertEqual(partial["rejectedDataPoints"], "2", partial)
        self.assertIn("negative or not finite", partial["errorMessage"])
        self.assertEqual(hms.post_json(at, "/v1/metrics", gauge("kept", 60)).json(), {})
        self.assertEqual(self.names(at, "ahead", "old", "kept", "sold_total"), {"kept", "sold_total"})
        self.assertEqual(self.rejected(at, "/v1/metrics"), 4)


class Lines(IngestAnswers):
    def log(self, message):
        return json.dumps({"type": "log", "payload": {"msg": message, "service": "shop"}})

    def messages(self, at):
        return sorted(line["msg"] for line in hms.get_json(at, "/ops/logs?limit=100")["logs"])

    def test_a_broken_first_line_does_not_lose_the_others(self):
        at = self.collector()
        reply = hms.post(at, "/ingest", '{"type":"log","payl\n' + self.log("second") + "\n" + self.log("third") + "\n")
        self.assertEqual(reply.status, 400, reply)
        self.assertEqual((reply.json()["accepted"], [r["index"] for r in reply.json()["rejected"]]), (2, [0]))
        self.assertEqual(self.messages(at), ["second", "third"])

    def test_a_nul_does_not_hide_what_follows_it(self):
        at = self.collector()
        reply = hms.post(at, "/ingest", self.log("before") + "\0" + self.log("behind") + "\n" + self.log("next"))
        self.assertEqual((reply.status, reply.json()["accepted"]), (400, 1))
        self.assertIn("NUL", reply.json()["rejected"][0]["error"])
        self.assertEqual(self.messages(at), ["next"])
        self.assertEqual(hms.post(at, "/v1/logs", "{}\0garbage", {"Content-Type": "application/json"}).status, 400)
        plan = {"service": "shop", "baseline": "v1", "canary": "v2"}
        self.assertEqual(hms.request(at, "PUT", "/ops/canaries/c", body=(json.dumps(plan) + "\0garbage").encode()).status, 400)


class Numbered(IngestAnswers):
    INSTANCE = "0190a0b0-0000-7000-8000-00000000000b"

    def send(self, at, sequence, *items, body=None, instance=INSTANCE):
        body = body if body is not None else json.dumps([{"type": "log", "payload": {"msg": item, "service": "shop"}} if isinstance(item, str) else item for item in items])
        return hms.post(at, "/ingest", body, {"x-hms-batch": f"{instance}/1/{sequence}"})

    def messages(self, at):
        return sorted(line["msg"] for line in hms.get_json(at, "/ops/logs?limit=100")["logs"])

    def test_a_batch_that_comes_again_is_answered_like_the_first_time_whatever_it_holds(self):
        at = self.collector()
        first = self.send(at, 1, "one", {"type": "bad"})
        self.assertEqual((first.status, first.json()["accepted"]), (400, 1))
        for again in (self.send(at, 1, "two", "three"), self.send(at, 1, body="garbage"), self.send(at, 1, {"type": "bad"})):
            self.assertEqual((again.status, again.json()), (first.status, first.json()))
        self.assertEqual(self.messages(at), ["one"])

    def test_a_batch_that_was_refused_whole_does_not_use_up_its_number(self):
        at = self.collector()
        self.assertEqual(self.send(at, 1, {"type": "bad"}).status, 400)
        self.assertEqual(self.send(at, 1, body="garbage").status, 400)
        self.assertEqual(self.send(at, 1, "mended").status, 202)
        self.assertEqual(self.send(at, 1, "mended").status, 202)
        self.assertEqual(self.messages(at), ["mended"])

    def test_the_instance_is_a_uuid_and_the_number_within_reason(self):
        at = self.collector()
        for instance, sequence in (("hello", 1), (self.INSTANCE[:-1], 1), (self.INSTANCE, 2**64 - 1), (self.INSTANCE, 2**32)):
            reply = self.send(at, sequence, "never", instance=instance)
            self.assertEqual(reply.status, 400, (instance, sequence))
            self.assertIn("x-hms-batch", reply.json()["error"])
        self.assertEqual(self.send(at, 1, "once").status, 202)
        self.assertEqual(self.send(at, 1, "once", instance=self.INSTANCE.upper().replace("-", "")).status, 202)
        self.assertEqual(self.messages(at), ["once"])


if __name__ == "__main__":
    hms.main()
