"""The lake: a day is rolled to Parquet and dropped, every question is answered as before, and a kill at any step loses and doubles nothing."""

import datetime
import hashlib
import hmac
import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

HERE = os.path.dirname(os.path.abspath(__file__))
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = (NOW - datetime.timedelta(days=5)).replace(hour=0, minute=0, second=0, microsecond=0)
START = int(DAY.timestamp() * 1000)
D = DAY.strftime("%Y-%m-%d")
TRACES = 60
STEPS = ["sealed", "table", "edges", "written", "upload", "uploaded", "verified", "manifest", "recorded", "retired"]


def trace_id(n):
    n += 1  # zero is no trace
    return f"{n:016x}{(n * 0x9E3779B97F4A7C15) % 2**64:016x}"


def items():
    """A day of a small mesh: traces of three services, lines that belong to them, a gauge, a counter; and a little of today."""
    out = []
    for n in range(TRACES):
        at = START + n * 1_300_000
        services = ["edge", "claims", "ledger"]
        for depth, service in enumerate(services):
            out.append({"type": "trace", "payload": {
                "traceId": trace_id(n), "spanId": f"{n * 10 + depth + 1:016x}", "parentId": f"{n * 10 + depth:016x}" if depth else None,
                "service": service, "name": f"GET /{service}/{{id}}", "start": at + depth, "durationMs": 100 - 20 * depth + n % 7,
                "status": "error" if n % 20 == 3 and depth == 2 else "ok",
                "attributes": {"http.route": f"/{service}/{{id}}", "http.response.status_code": 500 if n % 20 == 3 else 200, "ratio": 0.5, "whole": 2.0,
                               "odd": "quote\" comma, line\nbreak ü", "list": [1, "two"], "flag": n % 2 == 0}}})
        out.append({"type": "log", "payload": {"ts": at + 5, "service": "claims", "level": "warn" if n % 10 == 0 else "info", "msg": f"claim {n} handled", "traceId": trace_id(n), "claim": n}})
        out.append({"type": "metric", "payload": {"ts": at, "name": "queue_depth", "kind": "gauge", "value": n % 13 + 0.25, "service": "claims", "labels": {"pool": "a"}}})
        out.append({"type": "metric", "payload": {"ts": at, "name": "jobs_done", "kind": "count", "value": 3, "service": "ledger", "labels": {}}})
        out.append({"type": "metric", "payload": {"ts": at, "name": "job_time", "kind": "timing", "value": 40 + n, "unit": "ms", "service": "ledger", "labels": {}}})
    for n in range(5):
        now = int(NOW.timestamp() * 1000) - 60_000 + n
        out.append({"type": "log", "payload": {"ts": now, "service": "claims", "level": "info", "msg": f"today {n}"}})
        out.append({"type": "trace", "payload": {"traceId": trace_id(1000 + n), "spanId": f"{5000 + n:016x}", "service": "claims", "name": "today", "start": now, "durationMs": 1, "status": "ok", "attributes": {}}})
    return out


class SignedGate(http.server.ThreadingHTTPServer):
    """Stands before an S3 service: checks every signature as AWS documents it, refuses every tenth request once with 503, and passes the rest on."""

    daemon_threads = True

    def __init__(self, backend, key, secret, tls=None):
        super().__init__(("127.0.0.1", 0), SignedGate.Handler)
        self.backend, self.key, self.secret = backend, key, secret
        self.scheme = "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.count, self.refused, self.bad = 0, 0, []
        self.multipart = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A caller that does not believe our certificate hangs up: nothing to tell."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def signature_fault(self, body):
            given = self.headers.get("Authorization", "")
            parts = dict(p.split("=", 1) for p in given.removeprefix("AWS4-HMAC-SHA256 ").split(", ") if "=" in p)
            names = parts.get("SignedHeaders", "").split(";")
            if not {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names):
                return "headers are missing from the signature"
            if self.headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
                return "the body's SHA-256"
            path, _, query = self.path.partition("?")
            pairs = sorted(urllib.parse.quote(k, safe="-_.~") + "=" + urllib.parse.quote(v, safe="-_.~") for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
            canonical = "\n".join([self.command, urllib.parse.quote(urllib.parse.unquote(path), safe="/-_.~"), "&".join(pairs),
                                   *[f"{n}:{self.headers[n].strip()}" for n in names], "", ";".join(names), self.headers["x-amz-content-sha256"]])
            date = self.headers["x-amz-date"]
            scope = f"{date[:8]}/eu-test-1/s3/aws4_request"
            if parts.get("Credential") != f"{self.server.key}/{scope}":
                return "the credential's scope"
            key = b"AWS4" + self.server.secret.encode()
            for part in scope.split("/"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
            return None if hmac.new(key, text.encode(), hashlib.sha256).hexdigest() == parts.get("Signature") else "the signature"

        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            gate = self.server
            gate.count += 1
            fault = self.signature_fault(body)
            if fault:
                gate.bad.append((self.command, self.path, fault))
                return self.answer(403, [], b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
            if gate.count % 10 == 0:
                gate.refused += 1
                return self.answer(503, [], b"<Error><Code>SlowDown</Code></Error>")
            gate.multipart += "uploadId" in self.path
            connection = http.client.HTTPConnection(*gate.backend, timeout=60)
            connection.request(self.command, self.path, body, {k: v for k, v in self.headers.items() if k.lower() not in ("expect",)})
            reply = connection.getresponse()
            content = reply.read()
            headers = [(k, v) for k, v in reply.getheaders() if k.lower() not in ("transfer-encoding", "connection", "date", "server") and (k.lower() != "content-length" or self.command == "HEAD")]
            self.answer(reply.status, headers, content)
            connection.close()

        def answer(self, status, headers, body):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            if self.command != "HEAD" or not headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any


class LakeTest(hms.TestCase):
    def begin(self, *more, env=None, wait_ready=True):
        return self.start("hms-collector", "--data", self.data, "--lake", self.lake, "--listen", "127.0.0.1:0", "--otlp-listen", "off", *more, env=env or {}, wait_ready=wait_ready)

    def setUp(self):
        super().setUp()
        folder = self.folder()
        self.data, self.lake = os.path.join(folder, "data"), os.path.join(folder, "lake")

    def lines(self, program, query, limit=7):
        """All pages of a log search."""
        found, cursor = [], ""
        while True:
            page = hms.get_json(program.address("listen"), f"/ops/logs?{query}&limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
            self.assertNotIn("warnings", page)
            found += page["logs"]
            cursor = page["cursor"]
            if not cursor:
                return found

    def answers(self, program):
        """What a user sees: must be the same before and after a roll, wherever the day lies."""
        address = program.address("listen")
        day = f"start={START / 1000}&end={START / 1000 + 86400}"
        micros = f"start={START * 1000}&end={(START + 86_400_000) * 1000}"
        out = {"traces": [sorted_trace(hms.get_json(address, f"/api/traces/{trace_id(n)}")["data"][0]) for n in (0, 3, TRACES - 1)]}
        for name, query in {"all": "service=edge", "errors": "service=ledger&tags=%7B%22error%22%3A%22true%22%7D", "slow": "service=edge&minDuration=105ms",
                            "operation": "service=claims&operation=GET+/claims/%7Bid%7D", "tag": "service=claims&tags=%7B%22http.response.status_code%22%3A%22500%22%7D"}.items():
            found = hms.get_json(address, f"/api/traces?{query}&{micros}&limit=1000")["data"]
            out["search " + name] = sorted(t["traceID"] for t in found)
        out["logs"] = self.lines(program, day)
        out["log words"] = self.lines(program, f"{day}&q=CLAIM+1")
        out["log level"] = self.lines(program, f"{day}&level=warn&service=claims")
        out["log trace"] = self.lines(program, f"trace={trace_id(7)}")
        out["everything"] = self.lines(program, "start=0", limit=11)
        for name, expression in {"gauge": "queue_depth", "rate": "sum(increase(jobs_done_total[2h]))", "quantile": "histogram_quantile(0.9, sum(increase(job_time_seconds[6h])))",
                                 "regex": "count({__name__=~\"queue.*\"})", "classic": "job_time_seconds_count"}.items():
            data = hms.get_json(address, "/api/v1/query_range?step=1800&" + day + "&query=" + urllib.parse.quote(expression))
            self.assertEqual(data.get("warnings", []), [])
            out["range " + name] = data["data"]["result"]
        # The whole day, and a part that begins and ends within hours, slots and seconds.
        for name, (begin, end) in {"day": (0, 86_400), "part": (1_800.5, 54_321.25)}.items():
            out["map " + name] = hms.get_json(address, f"/ops/map?start={START / 1000 + begin}&end={START / 1000 + end}")
        out["dependencies"] = hms.get_json(address, f"/api/dependencies?endTs={START + 86_400_000}&lookback=86400000")
        for name in ("map day", "map part", "dependencies"):
            self.assertNotIn("warnings", out[name])
        out["series"] = hms.get_json(address, f"/api/v1/series?match[]={{__name__!=%22%22}}&{day}")["data"]
        return out

    def fill(self):
        program = self.begin()
        reply = hms.post_json(program.address("listen"), "/ingest", items())
        self.assertEqual(reply.status, 202, reply)
        before = self.answers(program)
        self.assertEqual(len(before["search all"]), TRACES)
        self.assertEqual(len(before["search errors"]), 3)
        self.assertEqual(len(before["logs"]), TRACES)
        self.assertEqual(len(before["log level"]), 6)
        self.assertEqual(len(before["everything"]), TRACES + 5)
        self.assertEqual(before["dependencies"]["data"], [{"parent": "claims", "child": "ledger", "callCount": TRACES}, {"parent": "edge", "child": "claims", "callCount": TRACES}])
        self.assertEqual([(e["from"], e["to"], e["rps"]) for e in before["map day"]["edges"]], [("claims", "ledger", TRACES / 86_400), ("edge", "claims", TRACES / 86_400)])
        self.assertEqual([(e["from"], e["to"]) for e in before["map part"]["edges"]], [("claims", "ledger"), ("edge", "claims")])
        for name, result in before.items():
            self.assertTrue(result, name)
        return program, before

    def command(self, *arguments, env=None):
        return subprocess.run([hms.binary("hms-collector"), "lake", *arguments, "--lake", self.lake], capture_output=True, text=True, timeout=120, env={**os.environ, **(env or {})})

    def check_lake(self):
        """By our own reader, and by one that knows nothing of us."""
        verified = self.command("verify")
        self.assertEqual((verified.returncode, verified.stderr), (0, ""), verified.stdout)
        self.assertIn(f"{D} ok  spans {TRACES * 3}  logs {TRACES}", verified.stdout)
        with open(os.path.join(self.lake, f"day={D}", "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        self.assertFalse([n for n in os.listdir(os.path.join(self.lake, f"day={D}")) if n.endswith(".part")])
        if shutil.which("node"):
            seen = subprocess.run(["node", os.path.join(HERE, "lake", "read.mjs"), self.lake, D], capture_output=True, text=True, timeout=120)
            self.assertEqual(seen.returncode, 0, seen.stderr)
            for reader, tables in json.loads(seen.stdout).items():
                durations = sorted((100 - 20 * depth + n % 7) * 1_000_000 for n in range(TRACES) for depth in range(3))
                self.assertEqual(tables["spans"]["p99"], str(durations[-(-len(durations) * 99 // 100) - 1]), reader)
                for table, found in tables.items():
                    self.assertEqual(found["rows"], int(manifest["tables"][table]["rows"]), (reader, table))
                    for column, total in found["sums"].items():
                        self.assertEqual(total, manifest["tables"][table]["columns"][column]["sum"], (reader, table, column))
        return manifest

    def test_a_rolled_day_answers_as_before(self):
        program, before = self.fill()
        hms.post_json(program.address("listen"), f"/ops/lake/roll?day={D}", None)
        self.wait_for(lambda: [d["day"] for d in hms.get_json(program.address("listen"), "/ops/lake")["days"]] == [D], what="the day in the lake")
        program.wait_log("a day that the lake has was dropped")
        self.assert_same(before, self.answers(program))
        self.assertIn("claims", hms.get_json(program.address("listen"), "/api/services")["data"])
        self.check_lake()
        program.terminate()
        again = self.begin()
        self.assert_same(before, self.answers(again))
        # A span that comes for a day in the lake is kept with the day it came on, and found.
        late = {"type": "trace", "payload": {"traceId": trace_id(0), "spanId": "00000000000fffff", "service": "late", "name": "late", "start": START + 9, "durationMs": 1, "status": "ok", "attributes": {}}}
        self.assertEqual(hms.post_json(again.address("listen"), "/ingest", late).status, 202)
        self.assertEqual(len(hms.get_json(again.address("listen"), f"/api/traces/{trace_id(0)}")["data"][0]["spans"]), 4)
        # A lake that is away: the hot part, and a sentence.
        os.rename(self.lake, self.lake + ".away")
        again.terminate()
        os.mkdir(self.lake)
        third = self.begin()
        page = hms.get_json(third.address("listen"), "/ops/logs?start=0")
        self.assertEqual((len(page["logs"]), len(page["warnings"])), (5, 1))
        self.assertIn(D, page["warnings"][0])
        for question in (f"/ops/map?start={START / 1000}&end={START / 1000 + 86_400}", f"/api/dependencies?endTs={START + 86_400_000}"):
            self.assertIn(D, hms.get_json(third.address("listen"), question)["warnings"][0])
        answer = hms.get_json(third.address("listen"), f"/api/v1/query?query=queue_depth&time={START / 1000 + 7200}")
        self.assertIn(D, answer["warnings"][0])

    def test_a_day_rolled_before_the_lake_kept_the_map_says_so(self):
        program, before = self.fill()
        program.terminate()
        self.assertEqual(self.command("roll", "--day", D, "--data", self.data).returncode, 0)
        name = os.path.join(self.lake, f"day={D}", "manifest.json")
        with open(name, encoding="utf-8") as file:
            manifest = json.load(file)
        for table in ("edges", "edge-hours"):
            self.assertGreater(len(manifest["tables"][table]["files"]), 0)
            for gone in manifest["tables"].pop(table)["files"]:
                os.remove(os.path.join(self.lake, gone["name"]))
        with open(name, "w", encoding="utf-8") as file:
            json.dump(manifest, file)
        self.assertIn(f"{D} ok", self.command("verify").stdout)
        address = self.begin().address("listen")
        for question in (f"/ops/map?start={START / 1000}&end={START / 1000 + 86_400}", f"/api/dependencies?endTs={START + 86_400_000}"):
            answer = hms.get_json(address, question)
            self.assertIn(f"day {D} went to the lake before", answer["warnings"][0])
            self.assertEqual(len(answer.get("edges", answer.get("data"))), 0)
        self.assertNotIn("warnings", hms.get_json(address, "/ops/map"))
        self.assertEqual(len(hms.get_json(address, f"/api/traces/{trace_id(0)}")["data"][0]["spans"]), 3)

    def assert_same(self, before, after):
        for name, expected in before.items():
            self.assertEqual(after[name], expected, name)

    def test_a_kill_at_any_step_loses_and_doubles_nothing(self):
        program, before = self.fill()
        program.terminate()
        original = self.data
        for step in STEPS:
            with self.subTest(step=step):
                self.data, self.lake = original + "-" + step, original + "-lake-" + step
                shutil.copytree(original, self.data)
                killed = self.command("roll", "--day", D, "--data", self.data, env={"HMS_LAKE_FAULT": step})
                self.assertEqual(killed.returncode, -9, killed.stderr)
                program = self.begin()  # finishes what was begun
                self.wait_for(lambda: [d["day"] for d in hms.get_json(program.address("listen"), "/ops/lake")["days"]] == [D], what="the day in the lake")
                self.assert_same(before, self.answers(program))
                program.terminate()
                self.check_lake()
                shutil.rmtree(self.data)

    def test_a_bucket_serves_as_a_folder_does(self):
        server = os.path.join(HERE, "lake", "node_modules", "s3rver", "bin", "s3rver.js")
        if not os.path.exists(server):
            self.skipTest("s3rver is not installed (./dev test does)")
        port = hms.free_port()
        bucket = os.path.join(self.folder(), "bucket")
        os.mkdir(bucket)
        self.start("/usr/bin/env", "node", server, "-d", bucket, "-a", "127.0.0.1", "-p", port, "--configure-bucket", "lake", wait_ready=False)
        self.wait_for(lambda: accepts(port), what="the S3 service")
        gate = self.use(SignedGate(("127.0.0.1", port), "S3RVER", "S3RVER"))
        self.lake = "s3://lake/some/prefix"
        keys = {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER"}
        at = ("--lake-endpoint", gate.url, "--lake-region", "eu-test-1")
        program = self.begin(*at, env=keys)
        address = program.address("listen")
        # Texts that do not compress, so that the spans' file is sent in parts.
        wide = [{"type": "trace", "payload": {"traceId": trace_id(2000 + n), "spanId": f"{9000 + n:016x}", "service": "wide", "name": "wide", "start": START + n, "durationMs": 1, "status": "ok",
                                              "attributes": {f"k{k}": os.urandom(24_000).hex() for k in range(4)}}} for n in range(200)]
        self.assertEqual(hms.post_json(address, "/ingest", items()).status, 202)
        for first in range(0, len(wide), 50):
            self.assertEqual(hms.post_json(address, "/ingest", wide[first:first + 50]).status, 202)
        before = self.answers(program)
        hms.post_json(address, f"/ops/lake/roll?day={D}", None)
        self.wait_for(lambda: [d["day"] for d in hms.get_json(address, "/ops/lake")["days"]] == [D], what="the day in the lake")
        program.wait_log("a day that the lake has was dropped")
        self.assert_same(before, self.answers(program))
        self.assertEqual(len(hms.get_json(address, f"/api/traces/{trace_id(2007)}")["data"][0]["spans"][0]["tags"]) >= 4, True)
        verified = self.command("verify", *at, env=keys)
        self.assertEqual((verified.returncode, verified.stderr), (0, ""), verified.stdout)
        self.assertIn(f"{D} ok  spans {TRACES * 3 + 200}", verified.stdout)
        self.assertEqual(gate.bad, [])
        self.assertGreater(gate.refused, 0)
        self.assertGreater(gate.multipart, 2)
        wrong = self.command("list", *at, env={**keys, "AWS_SECRET_ACCESS_KEY": "not-the-secret"})
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("403 SignatureDoesNotMatch", wrong.stderr)
        self.assertNotIn("not-the-secret", wrong.stderr)
        self.assertNotIn("S3RVER", program.text_of_log())

    def test_days_past_the_retention_go_by_themselves_and_commands_show_them(self):
        program, before = self.fill()
        program.terminate()
        program = self.begin("--retention-days", "2")
        program.wait_log("a day was rolled to the lake", where=lambda line: line["day"] == D and line["spans"] == TRACES * 3)
        self.assert_same(before, self.answers(program))
        self.assertIn(f"{D}  spans {TRACES * 3}  logs {TRACES}  ", self.command("list").stdout)
        rows = [json.loads(line) for line in self.command("export", "--day", D, "--table", "spans").stdout.splitlines()]
        self.assertEqual(sorted({(r["trace_id"]) for r in rows}), sorted(trace_id(n) for n in range(TRACES)))
        self.assertEqual(rows, sorted(rows, key=lambda r: (r["service"], r["route"], r["start_time"])))
        edges = [json.loads(line) for line in self.command("export", "--day", D, "--table", "edges").stdout.splitlines()]
        self.assertEqual(sum(r["requests"] for r in edges if (r["from"], r["to"]) == ("edge", "claims")), TRACES)
        csv = self.command("export", "--day", D, "--table", "logs", "--format", "csv").stdout.splitlines()
        self.assertEqual(len(csv), TRACES + 1)
        # By hand, through the collector that holds the directory: what is there already stays as it is.
        again = self.command("roll", "--day", D, "--data", self.data, "--listen", program.address("listen"))
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertEqual(self.command("roll", "--day", NOW.strftime("%Y-%m-%d"), "--data", self.data, "--listen", program.address("listen")).returncode, 1)
        # A byte of the lake changes: verify says where.
        name = os.path.join(self.lake, f"day={D}", "spans-00000.parquet")
        with open(name, "r+b") as file:
            file.seek(os.path.getsize(name) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        broken = self.command("verify")
        self.assertEqual(broken.returncode, 1)
        self.assertIn("spans-00000.parquet: its SHA-256", broken.stdout)


def accepts(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def sorted_trace(trace):
    """Attributes and processes in one order: their order is not part of the answer."""
    for span in trace["spans"]:
        span["tags"].sort(key=lambda t: t["key"])
        span["process"] = trace["processes"][span.pop("processID")]
        span["process"]["tags"].sort(key=lambda t: t["key"])
    trace.pop("processes")
    return trace


if __name__ == "__main__":
    hms.main()
