"""The lake where the disk is nearly full, behind TLS, and while telemetry comes in."""

import json
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hms
import lake_test

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
MIB = 1 << 20


def at(age, offset=0):
    """Unix milliseconds of the middle of a day so many days ago."""
    return ((int(time.time()) // 86_400 - age) * 86_400 + 43_200) * 1_000 + offset


def day_of(age):
    return time.strftime("%Y-%m-%d", time.gmtime(at(age) / 1000))


def lines(age, count, service="claims"):
    return [{"type": "log", "payload": {"ts": at(age, n), "service": service, "msg": f"line {n} of day {age}"}} for n in range(count)]


class Case(hms.TestCase):
    def begin(self, *flags, data=None, **more):
        return self.start("hms-collector", "--data", data or self.data, "--listen", "127.0.0.1:0", "--otlp-listen", "off", "--memory", f"{128 * hms.MEMORY_FACTOR}MiB", *flags, **more)

    def setUp(self):
        super().setUp()
        folder = self.folder()
        self.data, self.lake = os.path.join(folder, "data"), os.path.join(folder, "lake")

    def ingest(self, collector, items):
        reply = hms.post_json(collector.address("listen"), "/ingest", items)
        self.assertEqual(reply.status, 202, reply)

    def found(self, collector, text):
        page = hms.get_json(collector.address("listen"), "/ops/logs?limit=5000&start=0&q=" + text.replace(" ", "%20"))
        self.assertNotIn("warnings", page)
        return len(page["logs"])

    def metrics(self, collector):
        return hms.prometheus_values(hms.get(collector.address("listen"), "/metrics").body.decode())


class LittleRoom(Case):
    SIZE = 256 * MIB
    FLOOR = 100 * MIB

    def setUp(self):
        super().setUp()
        self.mount = self.small_disk(self.SIZE)
        self.data = os.path.join(self.mount, "data")

    def fill(self, *flags):
        collector = self.begin("--min-free-disk", str(self.FLOOR), *flags)
        for age in (6, 4, 2, 0):
            self.ingest(collector, lines(age, 50) if age else [{"type": "log", "payload": {"service": "claims", "msg": "line of today"}}])
        return collector

    def take_room(self):
        """Leaves less than the floor, more than the storage's own reserve."""
        ballast = os.path.join(self.mount, "ballast")
        with open(ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, os.statvfs(self.mount).f_bavail * os.statvfs(self.mount).f_frsize - 60 * MIB)
        return ballast

    def test_the_oldest_day_goes_first_and_what_comes_late_for_it_is_kept(self):
        collector = self.fill()
        ballast = self.take_room()
        collector.wait_log("a day was dropped to make room")
        os.remove(ballast)
        self.assertEqual([self.found(collector, f"of day {age}") for age in (6, 4, 2)], [0, 50, 50])
        self.assertEqual(self.found(collector, "line of today"), 1)
        self.assertEqual(self.metrics(collector)['hms_collector_days_dropped_total{reason="room"}'], 1)
        self.assertTrue(any(line["msg"].startswith("the disk is nearly full") for line in collector.log))
        # Acknowledged after the day went: kept with the day it came on, also over a kill.
        self.ingest(collector, lines(6, 1, "late"))
        self.assertEqual(self.found(collector, "of day 6"), 1)
        collector.kill()
        self.assertEqual(self.found(self.begin(), "of day 6"), 1)

    def test_with_a_lake_the_oldest_day_goes_there(self):
        collector = self.fill("--lake", self.lake)
        ballast = self.take_room()
        collector.wait_log("a day was rolled to the lake", where=lambda line: line["day"] == day_of(6))
        os.remove(ballast)
        self.assertEqual([self.found(collector, f"of day {age}") for age in (6, 4, 2)], [50, 50, 50])
        self.assertGreaterEqual(self.metrics(collector)["hms_collector_lake_rolled_for_room_total"], 1)
        self.assertEqual(self.metrics(collector)['hms_collector_days_dropped_total{reason="room"}'], 0)


class Tls(Case):
    def setUp(self):
        super().setUp()
        self.certs = self.folder()
        for name in ("collector", "operator"):
            subprocess.run([os.path.join(ROOT, "deploy", "certs", "make"), "-d", self.certs, name], check=True, capture_output=True)

    def file(self, name):
        return os.path.join(self.certs, name)

    def test_a_bucket_over_tls_needs_its_authority(self):
        server = os.path.join(lake_test.HERE, "lake", "node_modules", "s3rver", "bin", "s3rver.js")
        if not os.path.exists(server):
            self.skipTest("s3rver is not installed (./dev test does)")
        port = hms.free_port()
        bucket = os.path.join(self.folder(), "bucket")
        os.mkdir(bucket)
        self.start("/usr/bin/env", "node", server, "-d", bucket, "-a", "127.0.0.1", "-p", port, "--configure-bucket", "lake", wait_ready=False)
        self.wait_for(lambda: lake_test.accepts(port), what="the S3 service")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file("collector.pem"), self.file("collector.key"))
        gate = self.use(lake_test.SignedGate(("127.0.0.1", port), "S3RVER", "S3RVER", context))
        keys = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER"}
        flags = ("--lake", "s3://lake/tls", "--lake-endpoint", gate.url, "--lake-region", "eu-test-1")
        trusted = (*flags, "--lake-ca", self.file("ca.pem"))
        collector = self.begin(*trusted, env=keys)
        self.ingest(collector, lines(4, 20))
        self.assertEqual(hms.post_json(collector.address("listen"), f"/ops/lake/roll?day={day_of(-1)}", None).status, 409)
        self.assertEqual(hms.post_json(collector.address("listen"), f"/ops/lake/roll?day={day_of(4)}", None).status, 202)
        collector.wait_log("a day was rolled to the lake")
        self.assertEqual(self.found(collector, "of day 4"), 20)

        def verify(*more):
            return subprocess.run([hms.binary("hms-collector"), "lake", "verify", *more], capture_output=True, text=True, timeout=120, env={**os.environ, **keys}, check=False)

        self.assertEqual(verify(*trusted).returncode, 0)
        stranger = verify(*flags)
        self.assertEqual(stranger.returncode, 1)
        self.assertIn("certificate", stranger.stderr)
        self.assertEqual(gate.bad, [])

    def test_a_roll_by_hand_goes_through_a_collector_that_wants_certificates(self):
        port = hms.free_port()
        config = self.write(os.path.join(self.folder(), "collector.yaml"), json.dumps({
            "data": self.data, "lake": self.lake, "listen": f"127.0.0.1:{port}", "otlp_listen": "127.0.0.1:0", "audit": {"services": "*"},
            "tls": {"certificate": self.file("collector.pem"), "key": self.file("collector.key"), "ca": self.file("ca.pem"), "verify": "required"}}))
        collector = self.start("hms-collector", "--config", config)
        context = ssl.create_default_context(cafile=self.file("ca.pem"))
        context.load_cert_chain(self.file("operator.pem"), self.file("operator.key"))
        log = {"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "claims"}}]}, "scopeLogs": [{"logRecords": [
            {"timeUnixNano": str(at(4) * 10**6), "body": {"stringValue": "line of day 4"}}]}]}]}
        self.assertEqual(hms.post_json(collector.address("otlp"), "/v1/logs", log).status, 200)

        def run(*arguments):
            return subprocess.run([hms.binary("hms-collector"), *arguments], capture_output=True, text=True, timeout=120, check=False)

        rolled = run("lake", "roll", "--config", config, "--day", day_of(4))
        self.assertEqual(rolled.returncode, 0, rolled.stderr)
        self.assertIn("rolled by the running collector", rolled.stdout)
        # The auditors see the name in the caller's certificate.
        url = f"https://127.0.0.1:{port}"
        with urllib.request.urlopen(url + "/ops/logs?q=day", context=context, timeout=30) as reply:
            self.assertEqual(len(json.load(reply)["logs"]), 1)
        exported = run("audit", "export", "--collector", url, "--ca", self.file("ca.pem"), "--certificate", self.file("operator.pem"), "--key", self.file("operator.key"))
        self.assertEqual(exported.returncode, 0, exported.stderr)
        records = [json.loads(line) for line in exported.stdout.splitlines()]
        self.assertEqual([(r["question"], r["tls_name"]) for r in records if r["question"] == "logs"], [("logs", "spiffe://local/operator")])
        self.assertEqual(run("audit", "export", "--collector", url, "--ca", self.file("ca.pem")).returncode, 1)


class Beside(Case):
    def test_searches_over_lake_and_heads_that_are_merged_meanwhile_miss_and_double_nothing(self):
        collector = self.begin("--lake", self.lake)
        address = collector.address("listen")
        trace, old = f"{1234:032x}", f"{4321:032x}"
        self.ingest(collector, lines(4, 300) + lines(3, 300) + [{"type": "trace", "payload": {"traceId": old, "spanId": f"{age:016x}", "service": "claims", "name": "old", "start": at(age), "durationMs": 1}} for age in (4, 3)])
        stored, stopping, faults = [0], threading.Event(), []

        def feed():
            """Small groups, so that heads are merged into chunks again and again; in each a span of one trace."""
            batch = 0
            while not stopping.is_set():
                items = [{"type": "log", "payload": {"service": "claims", "msg": f"fresh {batch}.{n}", "traceId": trace}} for n in range(400)]
                items += [{"type": "trace", "payload": {"traceId": trace if n == 0 else f"{batch:016x}{n:016x}", "spanId": f"{1000 + batch * 500 + n:016x}", "service": "claims", "name": "fresh", "durationMs": 1}} for n in range(400)]
                reply = hms.post_json(address, "/ingest", items)
                if reply.status == 429:  # its memory is full for the moment: as a sender does, again a little later
                    stopping.wait(0.2)
                    continue
                if reply.status != 202:
                    faults.append(f"a batch was not taken: {reply}")
                    return
                batch += 1
                stored[0] = batch

        feeder = threading.Thread(target=feed)
        feeder.start()
        rolled = []
        try:
            while len(rolled) < 2 or stored[0] < 60:
                if faults:
                    break
                if stored[0] == 0:
                    continue
                self.assertEqual(len(hms.get_json(address, f"/api/traces/{old}")["data"][0]["spans"]), 2)
                before = stored[0]
                spans = hms.get_json(address, f"/api/traces/{trace}")["data"][0]["spans"]
                after = stored[0]
                self.assertEqual(len(spans), len({s["spanID"] for s in spans}))
                self.assertTrue(before <= len(spans) <= after + 1, (before, len(spans), after))
                for age in (4, 3):
                    self.assertEqual(self.found(collector, f"of day {age}"), 300)
                if stored[0] >= 20 * (len(rolled) + 1) and len(rolled) < 2:
                    day = day_of(4 - len(rolled))
                    hms.post_json(address, f"/ops/lake/roll?day={day}", None)
                    rolled.append(day)
        finally:
            stopping.set()
            feeder.join(hms.PATIENCE)
        self.assertEqual(faults, [])
        self.wait_for(lambda: [d["day"] for d in hms.get_json(address, "/ops/lake")["days"]] == rolled, what="both days in the lake")
        messages, cursor = [], ""
        while cursor is not None:
            page = hms.get_json(address, f"/ops/logs?limit=5000&trace={trace}" + (f"&cursor={cursor}" if cursor else ""))
            messages += [line["msg"] for line in page["logs"]]
            cursor = page["cursor"]
        self.assertEqual(sorted(messages), sorted(f"fresh {b}.{n}" for b in range(stored[0]) for n in range(400)))


if __name__ == "__main__":
    hms.main()
