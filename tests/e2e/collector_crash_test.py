"""kill -9 under load: what was acknowledged is there afterwards, once; what was not may be sent again."""

import collections
import functools
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

INSTANCES = [f"0190a0b0-0000-7000-8000-00000000000{n}" for n in range(1, 5)]
LINES = 40  # a batch: enough that chunks are merged while the collector is killed
ROUNDS = int(os.environ.get("HMS_CRASH_ROUNDS", "6"))  # 100 by hand: HMS_CRASH_ROUNDS=100


def batch(instance, sequence):
    items = [{"type": "log", "payload": {"service": instance[-1], "msg": f"{sequence}.{n}"}} for n in range(LINES)]
    return [*items, {"type": "trace", "payload": {"traceId": f"{instance}.{sequence}", "service": instance[-1], "name": "pay", "durationMs": 1}}]


class Crash(hms.TestCase):
    def begin(self, data):
        return self.start("hms-collector", "--data", data, "--listen", "127.0.0.1:0", "--otlp-listen", "off")

    def messages(self, program, service):
        found, cursor = collections.Counter(), ""
        while True:
            page = hms.get_json(program.address("listen"), f"/ops/logs?limit=5000&service={service}" + (f"&cursor={cursor}" if cursor else ""))
            found.update(line["msg"] for line in page["logs"])
            cursor = page["cursor"]
            if not cursor:
                return found

    def test_nothing_acknowledged_is_lost_and_nothing_is_stored_twice(self):
        data = os.path.join(self.folder(), "data")
        senders = [hms.NumberedSender(instance, "/ingest", functools.partial(batch, instance)) for instance in INSTANCES]
        hms.kill_under_load(lambda: self.begin(data), senders, ROUNDS, (5, 60), random.Random(7))
        final = self.begin(data)
        ledger = {s["instance"]: s for s in hms.get_json(final.address("listen"), "/ops/ledger")["senders"]}
        for sender in senders:
            stored = self.messages(final, sender.instance[-1])
            expected = {f"{sequence}.{n}" for sequence in range(1, sender.acknowledged + 1) for n in range(LINES)}
            self.assertEqual(expected - set(stored), set(), "acknowledged, but not stored")
            self.assertEqual([m for m, count in stored.items() if count != 1], [], "stored more than once")
            # Beyond what was acknowledged at most the one batch whose answer was lost.
            self.assertLessEqual(len(stored) - len(expected), LINES)
            row = ledger[sender.instance]
            self.assertEqual(row["records"]["stored"], len(stored) // LINES * (LINES + 1))
            self.assertEqual(row["batches"]["missing"], 0)
            for sequence in range(1, sender.acknowledged + 1, max(1, sender.acknowledged // 50)):
                trace = hms.get_json(final.address("listen"), f"/api/traces/{sender.instance}.{sequence}")["data"][0]
                self.assertEqual(len(trace["spans"]), 1)
            self.assertGreater(sender.acknowledged, 0)
        hms.report(f"{ROUNDS} rounds of kill -9 under ingest: {sum(s.acknowledged for s in senders)} batches acknowledged, each line and span there once")

    def test_a_crash_right_after_the_answer_loses_nothing(self):
        data = os.path.join(self.folder(), "data")
        for number in range(5):
            collector = self.begin(data)
            reply = hms.post_json(collector.address("listen"), "/ingest", {"type": "log", "payload": {"service": "s", "msg": f"m{number}"}})
            collector.kill()
            self.assertEqual(reply.status, 202)
        self.assertEqual(sorted(self.messages(self.begin(data), "s").elements()), [f"m{n}" for n in range(5)])


if __name__ == "__main__":
    hms.main()
