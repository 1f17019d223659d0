"""Who asked for traces and logs of marked services is recorded before the answer goes out, kept over restarts, and refuses the answer when it cannot be."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

CLAIMS, OTHER = "0190a0b000007000800000000000aaaa", "0190a0b000007000800000000000bbbb"
CONFIG = "audit: {services: [claims, payments], identity_header: x-forwarded-user}\n"


def filled(collector):
    items = [{"type": "trace", "payload": {"traceId": trace, "service": service, "name": "GET /x", "durationMs": 3}}
             for trace, service in ((CLAIMS, "edge"), (CLAIMS, "claims"), (OTHER, "edge"))]
    items += [{"type": "log", "payload": {"service": service, "msg": f"{service} {n}", "traceId": CLAIMS if service == "claims" else OTHER}} for service in ("claims", "edge") for n in range(3)]
    assert hms.post_json(collector.address("listen"), "/ingest", items).status == 202
    return collector


class Audit(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.data, self.settings = os.path.join(self.folder(), "data"), self.folder()

    def begin(self, config=CONFIG, *flags):
        return self.start("hms-collector", "--data", self.data, "--listen", "127.0.0.1:0", "--otlp-listen", "off", "--memory", f"{128 * hms.MEMORY_FACTOR}MiB", "--config", self.write(os.path.join(self.settings, "collector.yaml"), config), *flags)

    def records(self, collector, query=""):
        return hms.get_json(collector.address("listen"), "/ops/audit?limit=1000" + query)["records"]

    def asked(self, collector, **wanted):
        """Records that have all of these, without the audit's own."""
        return [r for r in self.records(collector) if r["question"] != "audit" and all(r.get(name) == value for name, value in wanted.items())]

    def run_command(self, *arguments):
        return subprocess.run([hms.binary("hms-collector"), *arguments], capture_output=True, text=True, timeout=120, check=False)

    def test_each_question_for_a_marked_service_is_recorded_and_no_other(self):
        collector = filled(self.begin())
        at = collector.address("listen")
        micros = f"start={(time.time_ns() // 1000) - 3_600_000_000}&end={(time.time_ns() // 1000) + 60_000_000}"
        hms.get(at, f"/api/traces/{CLAIMS}", {"x-forwarded-user": "auditor@example"})
        hms.get(at, f"/api/traces?traceID={OTHER}&traceID={CLAIMS}")
        hms.get(at, f"/api/traces?service=edge&{micros}&limit=10")
        hms.get(at, f"/api/traces?service=payments&{micros}&tag=card:4111")
        hms.get(at, f"/api/v3/traces/{CLAIMS}")
        hms.get(at, "/api/v3/traces?query.service_name=claims&query.start_time_min=2020-01-01T00:00:00Z&query.start_time_max=2199-01-01T00:00:00Z")
        hms.get(at, "/ops/logs?service=claims&q=claims%201")
        hms.get(at, "/ops/logs?q=no-such-word")
        for unmarked in (f"/api/traces/{OTHER}", "/ops/logs?service=edge", f"/api/traces/{'9' * 32}", "/ops/map", "/api/services", "/api/v1/query?query=up", "/ops/logs?limit=0"):
            hms.get(at, unmarked)
        seen = [(r["question"], r["path"], r["query"] if "query" in r else "", r["services"], r["records"], r["status"]) for r in reversed(self.asked(collector))]
        self.assertEqual([(q, p, s, n, status) for q, p, _, s, n, status in seen], [
            ("trace", f"/api/traces/{CLAIMS}", ["claims"], 2, 200),
            ("trace", "/api/traces", ["claims"], 3, 200),
            ("traces", "/api/traces", ["claims"], 3, 200),
            ("traces", "/api/traces", ["payments"], 0, 200),
            ("trace", f"/api/v3/traces/{CLAIMS}", ["claims"], 2, 200),
            ("traces", "/api/v3/traces", ["claims"], 2, 200),
            ("logs", "/ops/logs", ["claims"], 1, 200),
            ("logs", "/ops/logs", [], 0, 200)])
        self.assertIn("tag=card:4111", seen[3][2])
        first = self.asked(collector, path=f"/api/traces/{CLAIMS}")[0]
        self.assertEqual((first["identity"], first["trace_ids"], first["method"]), ("auditor@example", [CLAIMS], "GET"))
        self.assertTrue(first["peer"].startswith("127.0.0.1:"))
        self.assertLess(abs(int(first["time_unix_nanos"]) / 1e9 - time.time()), 60)
        metrics = hms.prometheus_values(hms.get(at, "/metrics").body.decode())
        self.assertGreaterEqual(metrics["hms_collector_audit_records_total"], 9)
        self.assertEqual((metrics["hms_collector_audit_refused_total"], metrics["hms_collector_audit_on"]), (0, 1))

    def test_the_audit_answers_by_service_by_whom_and_page_by_page_and_records_who_asks_it(self):
        collector = filled(self.begin())
        at = collector.address("listen")
        for n in range(7):
            hms.get(at, f"/api/traces/{CLAIMS}?n={n}", {"x-forwarded-user": f"user {n % 2}"})
        hms.get(at, "/ops/logs?service=payments")
        self.assertEqual(len(self.records(collector, "&service=payments")), 1)
        self.assertEqual([r["query"] for r in self.records(collector, "&who=user%201")], ["n=5", "n=3", "n=1"])
        self.assertEqual(len([r for r in self.records(collector, "&who=127.0.0.1") if r["question"] == "trace"]), 7)
        self.assertEqual(self.records(collector, "&end=1000"), [])
        self.assertEqual(hms.get(at, "/ops/audit?start=2&end=1").status, 400)
        self.assertEqual(hms.get(at, "/ops/audit?cursor=zz").status, 400)
        found, cursor = [], ""
        while cursor is not None:
            page = hms.get_json(at, "/ops/audit?service=claims&limit=2" + (f"&cursor={cursor}" if cursor else ""))
            found += page["records"]
            cursor = page["cursor"]
        self.assertEqual([r["query"] for r in found], [f"n={n}" for n in range(6, -1, -1)])
        self.assertEqual(len({r["id"] for r in found}), 7)
        own = [r for r in self.records(collector) if r["question"] == "audit"]
        self.assertGreaterEqual(len(own), 9)
        self.assertIn("service=payments", " ".join(r["query"] for r in own))

    def test_records_outlive_a_kill_and_the_switch_and_are_exported(self):
        collector = filled(self.begin())
        hms.get(collector.address("listen"), f"/api/traces/{CLAIMS}")
        collector.kill()
        again = self.begin("log_level: info\n")  # off
        at = again.address("listen")
        hms.get(at, f"/api/traces/{CLAIMS}")
        self.assertEqual([r["question"] for r in self.records(again)], ["trace"])
        exported = self.run_command("audit", "export", "--collector", "http://" + at, "--service", "claims")
        self.assertEqual(exported.returncode, 0, exported.stderr)
        self.assertEqual([json.loads(line)["path"] for line in exported.stdout.splitlines()], [f"/api/traces/{CLAIMS}"])
        held = self.run_command("audit", "export", "--data", self.data)
        self.assertEqual(held.returncode, 2)
        self.assertIn("holds the lock", held.stderr)
        again.terminate()
        for count in (1, 2):  # the export of a directory is recorded in it
            lines = self.run_command("audit", "export", "--data", self.data).stdout.splitlines()
            self.assertEqual([json.loads(line)["question"] for line in lines], ["audit"] * count + ["trace"])
        self.assertEqual(self.run_command("audit", "export").returncode, 2)
        self.assertEqual(self.run_command("audit", "export", "--data", self.data, "--start", "yesterday").returncode, 2)

    def test_every_service_may_be_marked_and_a_wrong_block_is_told(self):
        collector = filled(self.begin('audit: {services: "*", keep_days: 30}\n'))
        for path in (f"/api/traces/{OTHER}", f"/api/traces/{'9' * 32}"):
            hms.get(collector.address("listen"), path, {"x-forwarded-user": "somebody"})
        self.assertEqual([(r["status"], r["services"]) for r in self.asked(collector)], [(404, []), (200, ["edge"])])
        self.assertNotIn("identity", self.asked(collector)[0])  # not configured: not believed
        code, _, error = hms.run("hms-collector", "--check", "--config", self.write(os.path.join(self.settings, "bad.yaml"), "audit: {services: claims, keep_days: 0, identity_header: 'x y', who: me}\n"))
        self.assertEqual(code, 2)
        for part in ('a list of services, or "*" for every one', "/audit/keep_days", "'x y' is not the name of a header", "unknown key 'who'"):
            self.assertIn(part, error)

    def test_a_tail_is_recorded_before_it_begins_and_what_went_out_at_its_end(self):
        collector = filled(self.begin())
        at = collector.address("listen")
        reader = self.use(hms.SseReader(at, "/ops/logs/tail?q=line"))
        self.wait_for(lambda: self.asked(collector, question="tail"), what="the tail's beginning in the audit")
        items = [{"type": "log", "payload": {"service": service, "msg": f"line of {service}", "traceId": CLAIMS}} for service in ("claims", "edge", "claims")]
        self.assertEqual(hms.post_json(at, "/ingest", items).status, 202)
        reader.wait(lambda event: event.get("data", "").count("line of edge") > 0)
        unmarked = self.use(hms.SseReader(at, "/ops/logs/tail?service=edge"))
        reader.close()
        self.wait_for(lambda: self.asked(collector, question="tail_lines"), what="what went out in the audit")
        lines = self.asked(collector, question="tail_lines")
        self.assertEqual([(r["records"], r["services"], r["trace_ids"]) for r in lines], [(3, ["claims"], [CLAIMS])])
        unmarked.close()
        last = self.use(hms.SseReader(at, "/ops/logs/tail?service=claims"))
        self.wait_for(lambda: len(self.asked(collector, question="tail")) == 2, what="the second tail in the audit")
        self.assertEqual(hms.post_json(at, "/ingest", items).status, 202)
        last.wait(lambda event: "line of claims" in event.get("data", ""))
        collector.terminate()
        again = self.begin()
        self.assertEqual([r["question"] for r in self.asked(again)], ["tail_lines", "tail", "tail_lines", "tail"])

    def test_what_cannot_be_recorded_is_not_answered(self):
        mount = self.small_disk(64 << 20)
        self.data = os.path.join(mount, "data")
        collector = filled(self.begin())
        at = collector.address("listen")
        ballast = self.fill_disk(mount)
        for path in (f"/api/traces/{CLAIMS}", "/ops/logs?service=claims", "/ops/logs/tail", "/ops/audit"):
            reply = hms.get(at, path)
            self.assertEqual((path, reply.status), (path, 503))
            self.assertIn("could not be recorded for the audit", reply.json()["error"])
            self.assertNotIn(b"claims 1", reply.body)
        self.assertEqual(hms.get(at, f"/api/traces/{OTHER}").status, 200)
        os.remove(ballast)
        self.wait_for(lambda: hms.get(at, f"/api/traces/{CLAIMS}").status == 200, what="answers again")
        metrics = hms.prometheus_values(hms.get(at, "/metrics").body.decode())
        self.assertGreaterEqual(metrics["hms_collector_audit_refused_total"], 4)
        self.assertEqual({r["status"] for r in self.asked(collector)}, {200})

    def test_an_export_from_the_lake_is_recorded_in_the_lake(self):
        lake = os.path.join(self.folder(), "lake")
        day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 4 * 86_400))
        collector = self.begin(CONFIG, "--lake", lake, "--retention-days", "30")
        items = [{"type": "log", "payload": {"ts": day + "T12:00:00Z", "service": service, "msg": "old"}} for service in ("claims", "edge")]
        self.assertEqual(hms.post_json(collector.address("listen"), "/ingest", items).status, 202)
        collector.terminate()
        config = self.write(os.path.join(self.settings, "collector.yaml"), CONFIG)
        rolled = self.run_command("lake", "roll", "--lake", lake, "--data", self.data, "--day", day)
        self.assertEqual(rolled.returncode, 0, rolled.stderr)
        collector = self.begin(CONFIG, "--lake", lake)
        # Read through the collector: as any other question.
        self.assertEqual(len(hms.get_json(collector.address("listen"), f"/ops/logs?start={day}T00:00:00Z&q=old")["logs"]), 2)
        self.assertEqual([(r["question"], r["services"]) for r in self.asked(collector)], [("logs", ["claims"])])
        # Read without it.
        for table in ("logs", "metrics"):
            self.assertEqual(self.run_command("lake", "export", "--lake", lake, "--day", day, "--table", table, "--config", config).returncode, 0)
        found = [json.loads(line) for line in self.run_command("audit", "export", "--lake", lake).stdout.splitlines()]
        self.assertEqual([(r["question"], r["services"], r["records"]) for r in found], [("export", ["claims"], 2)])
        self.assertIn(f"uid {os.getuid()}", found[0]["peer"])
        self.assertEqual(self.run_command("audit", "export", "--lake", lake, "--service", "payments").stdout, "")
        verified = self.run_command("lake", "verify", "--lake", lake)
        self.assertEqual(verified.returncode, 0, verified.stdout)


if __name__ == "__main__":
    hms.main()
