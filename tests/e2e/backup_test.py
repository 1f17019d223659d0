"""Backups of a running collector: made again and again, restored, compared answer by answer; a corrupt byte is named."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

QUESTIONS = ("/ops/logs?limit=5000", "/ops/logs?q=number%2017", "/api/services", "/api/traces/order%2010", "/api/traces?service=till&limit=500", "/ops/silences",
             "/api/v1/query?query=orders_total")


class Backup(hms.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.folder()
        self.data, self.kept, self.restored = (os.path.join(folder, name) for name in ("data", "backups", "restored"))
        self.collector = self.begin(self.data, "--backup-dir", self.kept)

    def begin(self, data, *flags):
        return self.start("hms-collector", "--data", data, "--listen", "127.0.0.1:0", "--otlp-listen", "off", *flags)

    def run_command(self, *arguments):
        return subprocess.run([hms.binary("hms-collector"), *arguments], capture_output=True, text=True, timeout=120)

    def ingest(self, first, count):
        items = [{"type": "log", "payload": {"service": "till", "msg": f"number {n}", "ts": 1000 * (time.time_ns() // 10**9) + n % 1000}} for n in range(first, first + count)]
        items += [{"type": "trace", "payload": {"traceId": f"order {n}", "service": "till", "name": "pay", "durationMs": 3}} for n in range(first, first + count, 10)]
        items += [{"type": "metric", "payload": {"name": "orders", "kind": "count", "value": count, "service": "till"}}]
        self.assertEqual(hms.post_json(self.collector.address("listen"), "/ingest", items).status, 202)

    def answers(self, collector):
        out = {}
        for question in QUESTIONS:
            answer = hms.get_json(collector.address("listen"), question)
            if "query" in question:
                for series in answer["data"]["result"]:
                    series["value"] = series["value"][1]
            out[question] = answer
        return out

    def back_up(self):
        done = self.run_command("backup", "--collector", "http://" + self.collector.address("listen"))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_a_restored_backup_answers_like_the_collector_did(self):
        self.ingest(0, 9_000)
        self.assertEqual(self.back_up()["id"], 1)
        self.ingest(9_000, 500)
        wanted = self.answers(self.collector)
        self.assertEqual(self.back_up()["id"], 2)
        self.ingest(9_500, 10)  # after the backup
        checked = self.run_command("verify", "--from", self.kept)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertIn("backup 2:", checked.stdout)
        restored = self.run_command("restore", "--from", self.kept, "--data", self.restored)
        self.assertEqual(restored.returncode, 0, restored.stderr)
        self.maxDiff = 2_000
        self.assertEqual(self.answers(self.begin(self.restored)), wanted)
        again = self.run_command("restore", "--from", self.kept, "--data", self.restored)
        self.assertEqual(again.returncode, 2)
        self.assertIn("is not empty", again.stderr)

    def test_a_corrupt_byte_is_named_and_not_restored(self):
        self.ingest(0, 9_000)
        self.back_up()
        files = [os.path.join(folder, name) for folder, _, names in os.walk(self.kept) for name in names if name.endswith((".log", ".sst"))]
        victim = max(files, key=os.path.getsize)
        with open(victim, "r+b") as file:
            file.seek(os.path.getsize(victim) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        for command in (("verify", "--from", self.kept), ("restore", "--from", self.kept, "--data", self.restored)):
            done = self.run_command(*command)
            self.assertEqual(done.returncode, 1)
            self.assertIn(os.path.basename(victim), done.stderr)
        self.assertFalse(os.path.exists(self.restored))

    def test_a_backup_that_has_lost_its_list_is_missed(self):
        for first in (0, 10):
            self.ingest(first, 10)
            self.back_up()
        os.remove(os.path.join(self.kept, "meta", "2"))
        checked = self.run_command("verify", "--from", self.kept)
        self.assertEqual(checked.returncode, 1, checked.stdout)
        self.assertIn("private/2 is of a backup whose list meta/2 is missing", checked.stderr)
        # The other one is sound: restored, with a word about the one that is not there.
        restored = self.run_command("restore", "--from", self.kept, "--data", self.restored)
        self.assertEqual(restored.returncode, 0, restored.stderr)
        self.assertIn("meta/2 is missing", restored.stdout + restored.stderr)

    def test_wrong_use_teaches(self):
        for arguments, code, sentence in ((("backup",), 2, "backup needs --collector URL"), (("verify", "--from", self.kept + "x"), 1, "no such directory"),
                                          (("restore", "--from"), 2, "wrong or incomplete flag"), (("restore", "--from", self.kept), 2, "restore needs --data")):
            done = self.run_command(*arguments)
            self.assertEqual((done.returncode, sentence in done.stderr), (code, True), done.stderr)
        off = self.begin(self.restored)
        done = self.run_command("backup", "--collector", "http://" + off.address("listen"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("--backup-dir", done.stderr)


if __name__ == "__main__":
    hms.main()
