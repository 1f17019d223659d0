"""Files of the data directory that were damaged: the part is set aside and named, the rest is served, and answers say what they may lack."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

DAY = 86_400
LINES = 4000


class DamagedFiles(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.folder(), "data")
        self.yesterday = int(time.time()) // DAY * DAY - DAY

    def begin(self):
        return self.start("hms-collector", "--data", self.data, "--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0")

    def fill(self):
        """Spans, lines and metrics of yesterday, and a line of today; all in table files."""
        collector = self.begin()
        address = collector.address("listen")
        for first in range(0, LINES, 500):
            items = [{"type": "log", "payload": {"service": "till", "msg": f"number {n} {n * 2654435761 % 2**32:x}", "ts": 1000 * (self.yesterday + n)}} for n in range(first, first + 500)]
            items += [{"type": "metric", "payload": {"service": "till", "name": "depth", "value": n, "ts": 1000 * (self.yesterday + n), "tags": {"shard": str(n % 50)}}} for n in range(first, first + 500)]
            items += [{"type": "trace", "payload": {"service": "till", "traceId": f"order {n}", "name": "sell", "start": 1000 * (self.yesterday + n), "durationMs": n % 90}} for n in range(first, first + 500)]
            reply = hms.post_json(address, "/ingest", items)
            self.assertEqual(reply.status, 202, reply)
        self.assertEqual(hms.post_json(address, "/ingest", [{"type": "log", "payload": {"service": "till", "msg": "of today", "ts": 1000 * int(time.time())}}]).status, 202)
        collector.signal(15)
        self.assertEqual(collector.wait(), 0)
        again = self.begin()  # what the log held is written to table files
        again.signal(15)
        self.assertEqual(again.wait(), 0)

    def tables(self):
        """(bytes, path), the largest first."""
        found = [os.path.join(self.data, name) for name in os.listdir(self.data) if name.endswith(".sst")]
        return sorted(((os.path.getsize(path), path) for path in found), reverse=True)

    @staticmethod
    def overwrite(path, at, data=b"X" * 200):
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(data)

    def lines(self, address):
        """All lines of yesterday, page by page; the first question may meet the damage and be told to ask again."""
        numbers, warnings, cursor = [], set(), ""
        while True:
            target = f"/ops/logs?limit=1000&start={self.yesterday - 1}&end={self.yesterday + DAY - 1}&cursor={cursor}"
            reply = self.wait_for(lambda: (lambda r: r if r.status == 200 else self.assertIn("ask again", r.body.decode()))(hms.get(address, target)))
            page = reply.json()
            numbers += [line["msg"] for line in page["logs"]]
            warnings.update(page.get("warnings", []))
            cursor = page["cursor"]
            if not cursor:
                return numbers, warnings

    def test_a_damaged_table_file_is_set_aside_and_the_rest_is_served(self):
        self.fill()
        size, path = self.tables()[0]
        self.overwrite(path, size // 2)
        collector = self.begin()
        address = collector.address("listen")
        numbers, warnings = self.lines(address)
        self.assertEqual(len(numbers), len(set(numbers)))
        self.assertTrue(all(self.known(message) for message in numbers), "a line that was never sent")
        # Whatever the block held (lines, spans, points): the questions of all three are asked, none fails for good, and the file is named.
        self.wait_for(lambda: hms.get(address, "/api/traces?service=till&limit=1500&lookback=48h").status == 200)
        self.wait_for(lambda: hms.get(address, f"/api/v1/query_range?query=depth&start={self.yesterday}&end={self.yesterday + LINES}&step=60").status == 200)
        told = collector.wait_log("a damaged file was set aside; the rest is served")
        self.assertTrue(told["file"].endswith(os.path.basename(path)), told)
        self.assertIn("set-aside", told["file"])
        self.assertTrue(os.path.exists(told["file"]))
        # The line is written before the file counts.
        self.wait_for(lambda: hms.prometheus_values(hms.get(address, "/metrics").body.decode())["hms_collector_storage_files_set_aside"] == 1, what="the file in the metrics")
        if told["records_of"].startswith("day-"):
            self.assertEqual(told["records_of"], time.strftime("day-%Y-%m-%d", time.gmtime(self.yesterday)))
            self.wait_for(lambda: any(os.path.basename(path) in warning for warning in self.lines(address)[1]), what="the file in the warnings")
            answer = hms.get_json(address, f"/api/v1/query?query=depth&time={self.yesterday + 100}")
            self.assertTrue(any(os.path.basename(path) in warning for warning in answer["warnings"]), answer.get("warnings"))
        today = hms.get_json(address, f"/ops/logs?start={self.yesterday + DAY}")
        self.assertEqual([line["msg"] for line in today["logs"]], ["of today"])
        self.assertNotIn("warnings", today)
        # Writing goes on, also after another start.
        self.assertEqual(hms.post_json(address, "/ingest", [{"type": "log", "payload": {"service": "till", "msg": "later"}}]).status, 202)
        collector.signal(15)
        self.assertEqual(collector.wait(), 0)
        again = self.begin()
        after, _ = self.lines(again.address("listen"))
        self.assertEqual(sorted(after), sorted(numbers))

    @staticmethod
    def known(message):
        word, number, code = message.split(" ")
        return word == "number" and code == f"{int(number) * 2654435761 % 2**32:x}"

    def test_a_table_file_that_was_cut_does_not_keep_the_collector_from_starting(self):
        self.fill()
        size, path = self.tables()[0]
        os.truncate(path, size // 3)
        collector = self.begin()
        told = collector.wait_log("a damaged file was set aside; the rest is served")
        self.assertTrue(told["file"].endswith(os.path.basename(path)), told)
        self.lines(collector.address("listen"))
        self.assertEqual(hms.post_json(collector.address("listen"), "/ingest", [{"type": "log", "payload": {"service": "till", "msg": "later"}}]).status, 202)

    def test_a_damaged_log_costs_its_damaged_records_only(self):
        collector = self.begin()
        address = collector.address("listen")
        sent = 400
        for n in range(sent):
            reply = hms.post_json(address, "/ingest", [{"type": "log", "payload": {"service": "till", "msg": f"number {n} {n * 2654435761 % 2**32:x}", "ts": 1000 * (self.yesterday + n)}}])
            self.assertEqual(reply.status, 202)
        collector.kill()
        log = max((os.path.join(self.data, name) for name in os.listdir(self.data) if name.endswith(".log")), key=os.path.getsize)
        self.overwrite(log, os.path.getsize(log) // 2, b"X" * 20)
        again = self.begin()
        numbers, warnings = self.lines(again.address("listen"))
        self.assertIn(os.path.basename(log), again.wait_log("a damaged file was set aside; the rest is served")["file"])
        self.assertTrue(all(self.known(message) for message in numbers))
        numbers = {int(message.split(" ")[1]) for message in numbers}
        self.assertIn(0, numbers)
        self.assertIn(sent - 1, numbers)
        self.assertLess(len(numbers), sent)
        self.assertTrue(any(os.path.basename(log) in warning for warning in warnings), warnings)


if __name__ == "__main__":
    hms.main()
