"""kill -9 under load: what was acknowledged is there afterwards, once; what was not may be sent again."""

import collections
import http.client
import json
import os
import random
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

INSTANCES = [f"0190a0b0-0000-7000-8000-00000000000{n}" for n in range(1, 5)]
LINES = 40  # a batch: enough that chunks are merged while the collector is killed
ROUNDS = int(os.environ.get("HMS_CRASH_ROUNDS", "6"))  # 100 by hand: HMS_CRASH_ROUNDS=100


class Sender(threading.Thread):
    """Sends numbered batches in order, each until it is acknowledged, as a sidecar does."""

    def __init__(self, instance):
        super().__init__(daemon=True)
        self.instance = instance
        self.address = None
        self.acknowledged = []  # sequences
        self.attempts = 0
        self.stopping = threading.Event()
        self.available = threading.Event()

    def run(self):
        sequence = 1
        while not self.stopping.is_set():
            if not self.available.wait(0.05):
                continue
            items = [{"type": "log", "payload": {"service": self.instance[-1], "msg": f"{sequence}.{n}"}} for n in range(LINES)]
            items.append({"type": "trace", "payload": {"traceId": f"{self.instance}.{sequence}", "service": self.instance[-1], "name": "pay", "durationMs": 1}})
            self.attempts += 1
            try:
                reply = hms.post_json(self.address, "/ingest", items, {"x-hms-batch": f"{self.instance}/1/{sequence}"})
            except (OSError, http.client.HTTPException):
                continue  # the answer is lost, the batch may be stored or not: it is sent again
            if reply.status == 202:
                self.acknowledged.append(sequence)
                sequence += 1
            elif reply.status != 503:
                raise AssertionError(reply)


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
        chance = random.Random(7)
        data = os.path.join(self.folder(), "data")
        senders = [Sender(instance) for instance in INSTANCES]
        for sender in senders:
            sender.start()
        for _ in range(ROUNDS):
            collector = self.begin(data)
            before = sum(len(s.acknowledged) for s in senders)
            for sender in senders:
                sender.address = collector.address("listen")
                sender.available.set()
            wanted = before + chance.randint(5, 60)
            self.wait_for(lambda: sum(len(s.acknowledged) for s in senders) >= wanted, what="batches acknowledged")
            collector.kill()
            for sender in senders:
                sender.available.clear()
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(hms.PATIENCE)
            self.assertFalse(sender.is_alive())
        final = self.begin(data)
        ledger = {s["instance"]: s for s in hms.get_json(final.address("listen"), "/ops/ledger")["senders"]}
        for sender in senders:
            stored = self.messages(final, sender.instance[-1])
            expected = {f"{sequence}.{n}" for sequence in sender.acknowledged for n in range(LINES)}
            self.assertEqual(expected - set(stored), set(), "acknowledged, but not stored")
            self.assertEqual([m for m, count in stored.items() if count != 1], [], "stored more than once")
            # Beyond what was acknowledged at most the one batch whose answer was lost.
            self.assertLessEqual(len(stored) - len(expected), LINES)
            row = ledger[sender.instance]
            self.assertEqual(row["records"]["stored"], len(stored) // LINES * (LINES + 1))
            self.assertEqual(row["batches"]["missing"], 0)
            for sequence in sender.acknowledged[::max(1, len(sender.acknowledged) // 50)]:
                trace = hms.get_json(final.address("listen"), f"/api/traces/{sender.instance}.{sequence}")["data"][0]
                self.assertEqual(len(trace["spans"]), 1)
            self.assertGreater(len(sender.acknowledged), 0)

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
