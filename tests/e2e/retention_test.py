"""Each signal and each service is kept as long as it is told, exactly, over kills and restarts; what is past its bound never reaches the lake."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

AGES = (3, 8, 20)
BLOCK = 4_500  # lines of a service and day: both together are more than a chunk
TODAY = int(time.time()) // 86_400
RULES = """
series: {seal_interval: 1s}
retention:
  days: 12
  traces: 10
  logs: 5
  metrics: 5
  services: {claims: {logs: %d, traces: 2}}
"""


def at(age, offset=0):
    """Unix milliseconds of the middle of a day so many days ago."""
    return ((TODAY - age) * 86_400 + 43_200) * 1_000 + offset


def trace_id(age):
    return f"{age:032x}"


class Retention(hms.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.folder()
        self.data, self.lake, self.config = (os.path.join(folder, name) for name in ("data", "lake", "collector.yaml"))

    def begin(self, config="series: {seal_interval: 1s}\n", *flags):
        self.write(self.config, config)
        return self.start("hms-collector", "--data", self.data, "--listen", "127.0.0.1:0", "--otlp-listen", "off", "--memory", f"{256 * hms.MEMORY_FACTOR}MiB", "--config", self.config, *flags)

    def fill(self):
        collector = self.begin()
        for age in AGES:
            items = [{"type": "trace", "payload": {"traceId": trace_id(age), "spanId": f"{n + 1:016x}", "service": service, "name": "GET /x", "start": at(age, n), "durationMs": 3}}
                     for n, service in enumerate(("edge", "claims"))]
            items += [{"type": "metric", "payload": {"name": "depth", "kind": "gauge", "value": age, "service": "edge", "ts": at(age)}}]
            items += [{"type": "log", "payload": {"service": service, "msg": f"line {n} of {service}", "ts": at(age, n), "traceId": trace_id(age)}} for n in range(BLOCK) for service in ("edge", "claims")]
            self.assertEqual(hms.post_json(collector.address("listen"), "/ingest", items).status, 202)
        self.assertEqual(self.kept(collector), {age: {"traces": ["claims", "edge"], "logs": {"claims": BLOCK, "edge": BLOCK}, "metrics": 1} for age in AGES})
        # Points in chunks, and their log cut: what would be read back from it came too lately to be past anything.
        self.wait_for(lambda: hms.prometheus_values(hms.get(collector.address("listen"), "/metrics").body.decode())["hms_collector_series_head_samples"] == 0, what="points in chunks")
        collector.terminate()

    def kept(self, collector):
        """What a user finds of each day; every way of asking must agree (not while a day is being swept)."""
        address, out = collector.address("listen"), {}
        for age in AGES:
            day = f"start={at(age) / 1000 - 43_200}&end={at(age) / 1000 + 43_199}"
            reply = hms.get(address, f"/api/traces/{trace_id(age)}")
            spans = reply.json()["data"][0]["spans"] if reply.status == 200 else []
            by_id = sorted(reply.json()["data"][0]["processes"][s["processID"]]["serviceName"] for s in spans)
            micros = f"start={(at(age) - 43_200_000) * 1000}&end={(at(age) + 43_199_000) * 1000}"
            found = [s for s in ("claims", "edge") if hms.get_json(address, f"/api/traces?service={s}&{micros}")["data"]]
            agree = found == by_id
            logs = {}
            for service in ("claims", "edge"):
                cursor = ""
                while cursor is not None:
                    page = hms.get_json(address, f"/ops/logs?limit=5000&service={service}&{day}" + (f"&cursor={cursor}" if cursor else ""))
                    logs[service] = logs.get(service, 0) + len(page["logs"])
                    cursor = page["cursor"]
                for query in (f"trace={trace_id(age)}", f"{day}&q=LINE%2017%20of"):
                    lines = hms.get_json(address, f"/ops/logs?limit=5000&service={service}&{query}")["logs"]
                    agree = agree and bool(lines) == bool(logs[service])
            points = hms.get_json(address, f"/api/v1/query_range?query=depth&step=3600&{day}")["data"]["result"]
            out[age] = {"traces": by_id, "logs": {s: n for s, n in logs.items() if n}, "metrics": len(points)}
            if not agree:
                out[age]["other"] = (found, "other answers by trace or text")
        return out

    def values(self, collector, name):
        values = hms.prometheus_values(hms.get(collector.address("listen"), "/metrics").body.decode())
        return {signal: int(values[f'{name}{{signal="{signal}"}}']) for signal in ("traces", "logs", "metrics")}

    def wait_swept(self, collector, **days):
        self.wait_for(lambda: self.values(collector, "hms_collector_retention_days_total") == days, what=f"days swept: {days}")

    def test_each_signal_and_service_goes_at_its_own_bound(self):
        self.fill()
        for delay in (0, 0.3, 0.6):  # killed in the midst: what was begun is taken up again
            collector = self.begin(RULES % 25)
            time.sleep(delay)
            collector.kill()
        collector = self.begin(RULES % 25)
        wanted = {3: {"traces": ["edge"], "logs": {"claims": BLOCK, "edge": BLOCK}, "metrics": 1},
                  8: {"traces": ["edge"], "logs": {"claims": BLOCK}, "metrics": 0},
                  20: {"traces": [], "logs": {"claims": BLOCK}, "metrics": 0}}
        self.wait_for(lambda: self.kept(collector) == wanted, what="what is kept")
        # A line that comes late for a swept day is taken, and goes the same way once its day is at rest.
        late = {"type": "log", "payload": {"service": "edge", "msg": "late", "ts": at(8), "traceId": trace_id(99)}}
        self.assertEqual(hms.post_json(collector.address("listen"), "/ingest", late).status, 202)
        self.assertEqual(len(hms.get_json(collector.address("listen"), f"/ops/logs?trace={trace_id(99)}")["logs"]), 1)
        collector.kill()
        collector = self.begin(RULES % 25)
        self.wait_swept(collector, traces=0, logs=1, metrics=0)  # what was done is not done again
        self.assertEqual(self.values(collector, "hms_collector_retention_records_total")["logs"], 1)
        self.assertEqual(self.kept(collector), wanted)
        collector.terminate()
        # Other rules: the days are looked at again.
        collector = self.begin(RULES % 7)
        for age in (8, 20):
            wanted[age]["logs"] = {}
        wanted[20]["metrics"] = 0
        self.wait_for(lambda: self.kept(collector) == wanted, what="what is kept by the other rules")
        collector.wait_log("a day past the retention was dropped", where=lambda line: line["day"] == TODAY - 20)

    def test_what_is_past_its_bound_never_reaches_the_lake(self):
        self.fill()
        collector = self.begin(RULES % 25, "--lake", self.lake)
        day = time.strftime("%Y-%m-%d", time.gmtime(at(20) / 1000))
        self.wait_for(lambda: hms.get_json(collector.address("listen"), "/ops/lake")["days"] or hms.post_json(collector.address("listen"), f"/ops/lake/roll?day={day}", None) is None, what="the day in the lake")
        [rolled] = hms.get_json(collector.address("listen"), "/ops/lake")["days"]
        self.assertEqual((rolled["day"], rolled["spans"], rolled["logs"], rolled["metrics"]), (day, 0, BLOCK, 0))
        self.wait_for(lambda: self.kept(collector)[20] == {"traces": [], "logs": {"claims": BLOCK}, "metrics": 0}, what="the same of the lake")
        verified = subprocess.run([hms.binary("hms-collector"), "lake", "verify", "--lake", self.lake], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(verified.returncode, 0, verified.stdout)

    def test_wrong_bounds_are_told(self):
        code, _, error = hms.run("hms-collector", "--check", "--config", self.write(self.config, "retention: {days: 0, trace: 3, services: {a: {metrics: 4}, b: {logs: 500}}}\n"), "--retention-logs", "x")
        self.assertEqual(code, 2)
        for part in ("/retention/days", "unknown key 'trace'", "unknown key 'metrics'", "/retention/services/b/logs", "--retention-logs: 'x' is not a number of days from 1 to 400"):
            self.assertIn(part, error)


if __name__ == "__main__":
    hms.main()
