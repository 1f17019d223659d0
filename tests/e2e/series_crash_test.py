"""kill -9 under metrics that come in, while chunks are sealed: every acknowledged sample is there, exactly once.

HMS_TEST_ROUNDS=100 makes it a hundred kills (some minutes); without it a few.
"""

import functools
import json
import os
import random
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

ROUNDS = int(os.environ.get("HMS_TEST_ROUNDS", "6"))
SENDERS = 3
STEP_MILLIS = 20


def batch(sender, base_millis, sequence):
    """A gauge that is the batch's number, and a delta of one, each at a time of its own."""
    unix_millis = base_millis + sequence * STEP_MILLIS
    nanos = str(unix_millis * 10**6)
    begin = str((unix_millis - STEP_MILLIS) * 10**6)
    return {"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": f"s{sender}"}}]}, "scopeMetrics": [{"metrics": [
        {"name": "number", "gauge": {"dataPoints": [{"timeUnixNano": nanos, "asInt": str(sequence)}]}},
        {"name": "steps", "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [{"startTimeUnixNano": begin, "timeUnixNano": nanos, "asInt": "1"}]}}]}]}]}


class SeriesCrash(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.data, self.config = os.path.join(self.folder(), "data"), os.path.join(self.folder(), "collector.yaml")
        with open(self.config, "w") as out:
            out.write("series: {seal_interval: 1s}\n")

    def begin(self):
        return self.start("hms-collector", "--data", self.data, "--config", self.config, "--listen", "127.0.0.1:0", "--otlp-listen", "off")

    def points(self, collector, metric, sender):
        question = {"query": f'{metric}{{service_name="s{sender}"}}[12h]', "time": time.time() + 60}
        reply = hms.get(collector.address("listen"), "/api/v1/query?" + urllib.parse.urlencode(question))
        self.assertEqual(reply.status, 200, reply.body)
        result = json.loads(reply.body)["data"]["result"]
        return result[0]["values"] if result else []

    def test_every_acknowledged_sample_is_there_exactly_once(self):
        base = int(time.time() * 1000) - 11 * 3600 * 1000
        senders = [hms.NumberedSender(f"0190a0b0-0000-7000-8000-00000000000{n}", "/v1/metrics", functools.partial(batch, n, base)) for n in range(1, SENDERS + 1)]
        hms.kill_under_load(self.begin, senders, ROUNDS, (5, 400), random.Random(11))
        final = self.begin()
        total = 0
        for number, sender in enumerate(senders, 1):
            numbers = self.points(final, "number", number)
            stored = [int(value) for _, value in numbers]
            # Beyond what was acknowledged at most the one batch whose answer was lost.
            self.assertIn(len(stored) - sender.acknowledged, (0, 1))
            self.assertEqual(stored, list(range(1, len(stored) + 1)))
            self.assertEqual([round(t * 1000) for t, _ in numbers], [base + n * STEP_MILLIS for n in stored])
            # A delta stored twice would be counted twice; a counter whose total went with its chunk begins again.
            counted, last = 0.0, 0.0
            for _, text in self.points(final, "steps_total", number):
                counted += float(text) - last if float(text) >= last else float(text)
                last = float(text)
            self.assertEqual(counted, len(stored))
            total += len(stored)
        hms.report(f"{ROUNDS} rounds of kill -9 under ingest: {total} batches acknowledged, each sample there once")


if __name__ == "__main__":
    hms.main()
