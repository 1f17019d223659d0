"""--memory as a hard budget: a burst of new series fills its share, goes to the overflow series, and takes nothing from the series that were known."""

import json
import os
import sys
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "bench"))
import hms
import otlp_load

KNOWN, BURST, MOMENTS = 200, 40_000, 6
BUDGET = 128 * 1024 * 1024


class Memory(hms.TestCase):
    def metric(self, collector, name):
        values = hms.prometheus_values(hms.get(collector.address("listen"), "/metrics").body.decode())
        return sum(value for key, value in values.items() if key.split("{")[0] == name)

    def query(self, collector, expression, moment):
        reply = hms.get(collector.address("listen"), "/api/v1/query?" + urllib.parse.urlencode({"query": expression, "time": moment}))
        self.assertEqual(reply.status, 200, reply.body)
        return [float(row["value"][1]) for row in json.loads(reply.body)["data"]["result"]]

    @unittest.skipIf(hms.SANITIZED, "a sanitizer's own memory is not what is measured")
    def test_a_burst_of_new_series_overflows_and_known_series_keep_all_their_data(self):
        collector = self.start("hms-collector", "--data", os.path.join(self.folder(), "data"), "--memory", "128MiB", "--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0")
        sender = otlp_load.Sender(int(collector.address("otlp").rsplit(":", 1)[1]))
        known = otlp_load.CounterBodies("known.requests", otlp_load.counter_series(KNOWN))
        burst = otlp_load.CounterBodies("burst.requests", [(f"s{i % 40}", {"route": f"/r{i % 4000}", "pod": f"pod-{i // 7}", "user": f"user-{i:08x}", "id": str(i)}) for i in range(BURST)])
        now = int(time.time())

        def send(body):
            def taken():
                status, reply = sender.post("/v1/metrics", body)
                self.assertIn(status, (200, 429), reply)
                return status == 200

            hms.wait_for(taken, what="room for a batch")

        for moment in range(MOMENTS):
            send(known.body([moment] * KNOWN, (now - 100 + moment * 10) * 1000))
            if moment in (1, 3):
                send(burst.body([moment] * BURST, (now - 100 + moment * 10) * 1000))
        self.assertGreater(self.metric(collector, "hms_collector_series_overflowed_total"), 0)
        self.assertEqual(sum(self.query(collector, "hms_overflow", time.time() + 60)), self.metric(collector, "hms_collector_series_overflowed_total"))
        series = self.metric(collector, "hms_collector_series")
        self.assertTrue(5_000 < series < KNOWN + BURST, series)
        self.assertEqual(self.query(collector, "sum(count_over_time(known_requests_total[10m]))", now), [KNOWN * MOMENTS])
        self.assertEqual(self.query(collector, "count(known_requests_total)", now), [KNOWN])
        hms.wait_for(lambda: self.metric(collector, "hms_collector_memory_resident_bytes") > 0, what="a look at the memory")
        self.assertLessEqual(self.metric(collector, "hms_collector_memory_resident_bytes"), BUDGET * 1.17)

    def test_a_question_cannot_take_more_than_the_part_for_questions(self):
        collector = self.start("hms-collector", "--data", os.path.join(self.folder(), "data"), "--memory", "128MiB", "--listen", "127.0.0.1:0", "--otlp-listen", "off")
        reply = hms.get(collector.address("listen"), "/api/v1/query?" + urllib.parse.urlencode({"query": "sum_over_time(vector(1)[4h:1ms])"}))
        self.assertEqual(reply.status, 422, reply.body)
        self.assertIn(f"the limit is {BUDGET // 4 // 16}", json.loads(reply.body)["error"])
        self.assertEqual(hms.get(collector.address("listen"), "/api/v1/query?query=1").status, 200)


if __name__ == "__main__":
    hms.main()
