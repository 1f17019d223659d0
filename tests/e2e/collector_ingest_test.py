"""hms-collector as its users drive it: every way in, every refusal, each batch stored once."""

import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

INSTANCE = "0190a0b0-0000-7000-8000-000000000001"


def log(message, **fields):
    return {"type": "log", "payload": {"msg": message, "service": "claims", **fields}}


def metric(name, value, **fields):
    return {"type": "metric", "payload": {"name": name, "value": value, "service": "claims", **fields}}


def span(trace, name, **fields):
    return {"type": "trace", "payload": {"traceId": trace, "name": name, "service": "claims", "durationMs": 5, **fields}}


def otlp_traces(trace, name, start=None):
    start = start or time.time_ns()
    return {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "claims"}}]},
                               "scopeSpans": [{"spans": [{"traceId": trace, "spanId": "00f067aa0ba902b7", "name": name, "kind": 2,
                                                          "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 5_000_000)}]}]}]}


def otlp_logs(message):
    return {"resourceLogs": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "claims"}}]},
                              "scopeLogs": [{"logRecords": [{"timeUnixNano": str(time.time_ns()), "severityNumber": 9, "body": {"stringValue": message}}]}]}]}


def otlp_metrics(name, value):
    return {"resourceMetrics": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "claims"}}]},
                                 "scopeMetrics": [{"metrics": [{"name": name, "gauge": {"dataPoints": [{"timeUnixNano": str(time.time_ns()), "asDouble": value}]}}]}]}]}


def field(number, wire, payload):
    """One protobuf field."""
    return bytes([number << 3 | wire]) + (bytes([len(payload)]) if wire == 2 else b"") + payload


def protobuf_log(message):
    """ExportLogsServiceRequest with one record, encoded by hand."""
    body = field(5, 2, field(1, 2, message.encode()))
    when = field(1, 1, time.time_ns().to_bytes(8, "little"))
    return field(1, 2, field(2, 2, field(2, 2, when + body)))


class CollectorCase(hms.TestCase):
    def collector(self, *extra, data=None, **options):
        self.data = data or os.path.join(self.folder(), "data")
        return self.start("hms-collector", "--data", self.data, "--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0", *extra, **options)

    def messages(self, program, query=""):
        """Messages of all stored logs, newest first, over all pages."""
        found, cursor = [], ""
        while True:
            page = hms.get_json(program.address("listen"), f"/ops/logs?limit=1000{query}" + (f"&cursor={cursor}" if cursor else ""))
            found += [line["msg"] for line in page["logs"]]
            cursor = page["cursor"]
            if not cursor:
                return found

    def ledger(self, program, instance=INSTANCE):
        senders = hms.get_json(program.address("listen"), "/ops/ledger")["senders"]
        return next((s for s in senders if s["instance"] == instance), None)

    def ingest(self, program, items, headers=None):
        return hms.post_json(program.address("listen"), "/ingest", items, headers)


class Ingest(CollectorCase):
    def test_one_object_an_array_and_lines_are_taken(self):
        collector = self.collector()
        at = collector.address("listen")
        reply = self.ingest(collector, log("one object"))
        self.assertEqual((reply.status, reply.json()), (202, {"accepted": 1}))
        reply = self.ingest(collector, [log("of array 1"), log("of array 2"), metric("orders", 3, kind="count"), span("order 4711", "GET /claims")])
        self.assertEqual((reply.status, reply.json()), (202, {"accepted": 4}))
        lines = "\n".join(json.dumps(log(f"line {n}")) for n in range(3)) + "\n"
        reply = hms.post(at, "/ingest", lines, {"Content-Type": "application/x-ndjson"})
        self.assertEqual((reply.status, reply.json()), (202, {"accepted": 3}))
        self.assertEqual(hms.post(at, "/ingest", "[]").json(), {"accepted": 0})
        self.assertEqual(sorted(self.messages(collector)), ["line 0", "line 1", "line 2", "of array 1", "of array 2", "one object"])
        trace = hms.get_json(at, "/api/traces/order%204711")["data"][0]
        self.assertEqual(trace["spans"][0]["operationName"], "GET /claims")

    def test_good_items_of_a_request_with_bad_ones_are_kept(self):
        collector = self.collector()
        reply = self.ingest(collector, [log("kept 1"), metric("x", "not a number"), {"type": "event", "payload": {}}, log("kept 2", ts="soon"), log("kept 3")])
        self.assertEqual(reply.status, 400)
        told = reply.json()
        self.assertEqual(told["accepted"], 2)
        self.assertEqual([(r["index"], r["field"]) for r in told["rejected"]], [(1, "value"), (2, "type"), (3, "ts")])
        self.assertTrue(all(r["error"] for r in told["rejected"]))
        self.assertEqual(sorted(self.messages(collector)), ["kept 1", "kept 3"])

    def test_a_body_that_is_not_json_is_refused_with_its_byte(self):
        collector = self.collector()
        for body, byte in (("", 0), ("hello", 0), ('{"type":', 8), ('[{"type":"log","payload":{"msg":"a"}},]', 38), ('{"a":"\xff"}'.encode("latin-1"), 6)):
            reply = hms.post(collector.address("listen"), "/ingest", body)
            self.assertEqual(reply.status, 400, body)
            told = reply.json()
            self.assertEqual((told["status"], told["errorType"], told["byte"]), ("error", "bad_data", byte), told)
            self.assertIn(f"byte {byte}", told["error"])
        self.assertEqual(self.messages(collector), [])

    def test_bodies_may_be_compressed_and_unknown_codings_are_refused(self):
        collector = self.collector()
        at = collector.address("listen")
        body = json.dumps(log("squeezed")).encode()
        self.assertEqual(hms.post(at, "/ingest", gzip.compress(body), {"Content-Encoding": "gzip"}).status, 202)
        zstd = shutil.which("zstd")
        if zstd:
            squeezed = subprocess.run([zstd, "-q", "-c"], input=body, capture_output=True, check=True).stdout
            self.assertEqual(hms.post(at, "/ingest", squeezed, {"Content-Encoding": "zstd"}).status, 202)
        self.assertEqual(hms.post(at, "/ingest", body, {"Content-Encoding": "br"}).status, 415)
        self.assertEqual(hms.post(at, "/ingest", body, {"Content-Encoding": "gzip"}).status, 400)
        self.assertEqual(hms.post(at, "/ingest", gzip.compress(b" " * (65 << 20)), {"Content-Encoding": "gzip"}).status, 413)
        self.assertEqual(hms.post(at, "/ingest", body, {"Content-Type": "application/x-protobuf"}).status, 415)
        self.assertEqual(hms.get(at, "/ingest").status, 405)

    def test_times_are_iso_or_milliseconds_and_bounded(self):
        collector = self.collector()
        now = int(time.time() * 1000)
        reply = self.ingest(collector, [log("iso", ts=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())), log("ms", ts=now), log("too old", ts=now - 40 * 86_400_000),
                                        log("seconds", ts=now // 1000), log("ahead", ts=now + 3 * 86_400_000)])
        self.assertEqual([r["index"] for r in reply.json()["rejected"]], [2, 3, 4])
        self.assertEqual(sorted(self.messages(collector)), ["iso", "ms"])


class Otlp(CollectorCase):
    def test_json_and_protobuf_on_both_listeners(self):
        collector = self.collector()
        trace = "0190a0b000007000800000000000000a"
        for listener in ("listen", "otlp"):
            at = collector.address(listener)
            for path, body in (("/v1/traces", otlp_traces(trace, "GET /claims")), ("/v1/logs", otlp_logs(f"json on {listener}")), ("/v1/metrics", otlp_metrics("depth", 3))):
                reply = hms.post_json(at, path, body)
                self.assertEqual((reply.status, reply.header("Content-Type"), reply.json()), (200, "application/json", {}), path)
            reply = hms.post(at, "/v1/logs", protobuf_log(f"protobuf on {listener}"), {"Content-Type": "application/x-protobuf"})
            self.assertEqual((reply.status, reply.header("Content-Type"), reply.body), (200, "application/x-protobuf", b""))
            squeezed = gzip.compress(protobuf_log(f"gzip on {listener}"))
            self.assertEqual(hms.post(at, "/v1/logs", squeezed, {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}).status, 200)
        self.assertEqual(sorted(self.messages(collector)), sorted(f"{kind} on {where}" for kind in ("json", "protobuf", "gzip") for where in ("listen", "otlp")))
        self.assertEqual(hms.get_json(collector.address("listen"), f"/api/traces/{trace}")["data"][0]["spans"][0]["operationName"], "GET /claims")

    def test_the_otlp_listener_has_nothing_else(self):
        collector = self.collector()
        at = collector.address("otlp")
        for path in ("/", "/ops/ledger", "/ingest", "/metrics"):
            self.assertEqual(hms.get(at, path).status, 404, path)

    def test_refusals_are_status_messages_in_the_request_s_content_type(self):
        collector = self.collector()
        at = collector.address("otlp")
        reply = hms.post(at, "/v1/traces", "{", {"Content-Type": "application/json"})
        self.assertEqual((reply.status, reply.header("Content-Type"), reply.json()["code"]), (400, "application/json", 3))
        reply = hms.post(at, "/v1/traces", b"\xff\xff\xff", {"Content-Type": "application/x-protobuf"})
        self.assertEqual((reply.status, reply.header("Content-Type"), reply.body[:2]), (400, "application/x-protobuf", b"\x08\x03"))
        self.assertEqual(hms.post(at, "/v1/traces", "x", {"Content-Type": "text/plain"}).status, 415)
        self.assertEqual(hms.post(at, "/v1/traces", "x").status, 415)
        self.assertEqual(hms.post(at, "/v1/traces", "{}", {"Content-Type": "application/json", "Content-Encoding": "br"}).status, 415)
        self.assertEqual(hms.post(at, "/v1/traces", gzip.compress(b"\0" * (65 << 20)), {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}).status, 413)
        self.assertEqual(hms.get(at, "/v1/traces").status, 405)

    def test_bad_records_are_a_partial_success(self):
        collector = self.collector()
        body = otlp_traces("0190a0b000007000800000000000000a", "good")
        spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"]
        spans.append({**spans[0], "traceId": "0" * 32, "name": "no trace"})
        spans.append({**spans[0], "startTimeUnixNano": "1000", "endTimeUnixNano": "2000", "name": "of 1970"})
        reply = hms.post_json(collector.address("otlp"), "/v1/traces", body)
        self.assertEqual(reply.status, 200)
        partial = reply.json()["partialSuccess"]
        self.assertEqual(int(partial["rejectedSpans"]), 2)
        self.assertTrue(partial["errorMessage"])

    def test_an_empty_request_is_a_success(self):
        collector = self.collector()
        self.assertEqual(hms.post(collector.address("otlp"), "/v1/metrics", b"", {"Content-Type": "application/x-protobuf"}).status, 200)
        self.assertEqual(hms.post_json(collector.address("otlp"), "/v1/metrics", {}).json(), {})


class Once(CollectorCase):
    def test_a_batch_sent_again_is_answered_like_the_first_time_and_stored_once(self):
        collector = self.collector()
        items = [log("numbered"), metric("x", "bad")]
        first = self.ingest(collector, items, {"x-hms-batch": f"{INSTANCE}/1/1"})
        for _ in range(3):
            again = self.ingest(collector, items, {"x-hms-batch": f"{INSTANCE}/1/1"})
            self.assertEqual((again.status, again.json()), (first.status, first.json()))
        body = protobuf_log("otlp numbered")
        for _ in range(2):
            self.assertEqual(hms.post(collector.address("otlp"), "/v1/logs", body, {"Content-Type": "application/x-protobuf", "x-hms-batch": f"{INSTANCE}/1/2"}).status, 200)
        self.assertEqual(sorted(self.messages(collector)), ["numbered", "otlp numbered"])
        row = self.ledger(collector)
        self.assertEqual(row["batches"], {"received": 6, "stored": 2, "repeated": 4, "missing": 0})
        self.assertEqual(row["records"], {"received": 6, "stored": 2, "repeated": 4})

    def test_the_marks_survive_a_restart(self):
        collector = self.collector()
        for sequence in (1, 2, 5):
            self.ingest(collector, log(f"n{sequence}"), {"x-hms-batch": f"{INSTANCE}/7/{sequence}", "x-hms-dropped": f"spool_full={sequence * 10};spans_limit=1"})
        self.assertEqual(collector.terminate(), 0)
        again = self.collector(data=self.data)
        self.assertEqual(self.ingest(again, log("n5"), {"x-hms-batch": f"{INSTANCE}/7/5"}).status, 202)
        row = self.ledger(again)
        self.assertEqual((row["boot"], row["service"], row["last_sequence"]), (7, "claims", 5))
        self.assertEqual(row["batches"], {"received": 4, "stored": 3, "repeated": 1, "missing": 2})
        self.assertEqual(row["dropped"], {"spool_full": 50, "spans_limit": 1})
        self.assertEqual(sorted(self.messages(again)), ["n1", "n2", "n5"])

    def test_many_senders_race_with_the_same_batches(self):
        collector = self.collector()
        replies = []

        def send():
            for sequence in range(1, 31):
                replies.append(self.ingest(collector, log(f"n{sequence}"), {"x-hms-batch": f"{INSTANCE}/1/{sequence}"}).status)

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(set(replies), {202})
        self.assertEqual(sorted(self.messages(collector)), sorted(f"n{s}" for s in range(1, 31)))
        self.assertEqual(self.ledger(collector)["batches"], {"received": 120, "stored": 30, "repeated": 90, "missing": 0})

    def test_a_malformed_identity_is_refused(self):
        collector = self.collector()
        for identity in ("nonsense", "a/b/c", f"{INSTANCE}/1", f"{INSTANCE}/1/-1", "x" * 65 + "/1/1"):
            reply = self.ingest(collector, log("never"), {"x-hms-batch": identity})
            self.assertEqual(reply.status, 400, identity)
            self.assertIn("x-hms-batch", reply.json()["error"])
        self.assertEqual(self.messages(collector), [])


class Programs(CollectorCase):
    def test_help_version_and_bad_usage(self):
        code, out, _ = hms.run("hms-collector", "--help")
        self.assertEqual(code, 0)
        for flag in ("--data", "--listen", "--otlp-listen", "--rules", "--config", "--check", "--version", "--log-format"):
            self.assertIn(flag, out)
        code, out, _ = hms.run("hms-collector", "--version")
        self.assertEqual((code, out.split()[0]), (0, "hms-collector"))
        for arguments in (["--nonsense"], [], ["--data"], ["--data", "/tmp", "--listen", "nowhere"]):
            code, _, err = hms.run("hms-collector", *arguments)
            self.assertEqual(code, 2, arguments)
            self.assertTrue(err.strip())

    def test_check_tells_every_fault_with_its_place(self):
        folder = self.folder()
        bad = self.write(os.path.join(folder, "c.yaml"), "lissten: x\nretention_days: never\nnotifiers:\n  - {name: a, type: pigeon}\n")
        code, _, err = hms.run("hms-collector", "--check", "--config", bad)
        self.assertEqual(code, 2)
        for text in ("lissten", "retention_days", "pigeon", ":1:", ":2:", ":4:"):
            self.assertIn(text, err)
        good = self.write(os.path.join(folder, "g.yaml"), "retention_days: 7\n")
        self.assertEqual(hms.run("hms-collector", "--check", "--config", good)[0], 0)
        code, _, err = hms.run("hms-collector", "--check", "--config", os.path.join(folder, "none.yaml"))
        self.assertEqual(code, 2)
        self.assertIn("none.yaml", err)

    def one_sentence(self, code, err):
        """The only line on stderr, as its sentence."""
        lines = [json.loads(line) for line in err.strip().splitlines()]
        self.assertEqual(len(lines), 1, err)
        self.assertIn(code, (1, 2))
        return lines[0]["error"]

    def test_data_directories_that_cannot_be_used(self):
        folder = self.folder()
        plain_file = self.write(os.path.join(folder, "file"), "x")
        for data, text in ((os.path.join(folder, "no", "where"), "create it first"), (plain_file, "is not a directory"), ("/proc/hms", "cannot be created")):
            code, _, err = hms.run("hms-collector", "--data", data, "--listen", "127.0.0.1:0", "--otlp-listen", "off")
            self.assertEqual(code, 2)
            sentence = self.one_sentence(code, err)
            self.assertIn(text, sentence)
            self.assertIn(data, sentence)

    def test_a_locked_database_a_damaged_one_and_a_taken_port(self):
        collector = self.collector()
        self.ingest(collector, log("safe"))
        code, _, err = hms.run("hms-collector", "--data", self.data, "--listen", "127.0.0.1:0", "--otlp-listen", "off")
        sentence = self.one_sentence(code, err)
        self.assertIn("holds the lock", sentence)
        self.assertIn(str(collector.pid), sentence)
        other = os.path.join(self.folder(), "data")
        code, _, err = hms.run("hms-collector", "--data", other, "--listen", collector.address("listen"), "--otlp-listen", "off")
        self.assertEqual(code, 1)
        self.assertIn(collector.address("listen").split(":")[1], self.one_sentence(code, err))
        self.assertEqual(self.messages(collector), ["safe"])
        collector.terminate()
        with open(os.path.join(self.data, "CURRENT"), "w", encoding="ascii") as current:
            current.write("MANIFEST-424242\n")
        code, _, err = hms.run("hms-collector", "--data", self.data, "--listen", "127.0.0.1:0", "--otlp-listen", "off")
        self.assertEqual(code, 1)
        self.assertIn(self.data, self.one_sentence(code, err))

    def test_environment_and_file_stand_in_for_flags(self):
        folder = self.folder()
        config = self.write(os.path.join(folder, "c.yaml"), f"data: {folder}/data\nlisten: 127.0.0.1:0\notlp_listen: \"off\"\n")
        collector = self.start("hms-collector", env={"HMS_CONFIG": config})
        self.assertEqual(collector.address("otlp"), "")
        self.assertEqual(hms.get(collector.address("listen"), "/readyz").status, 200)

    def test_sigterm_drains_and_a_second_one_stops_at_once(self):
        collector = self.collector()
        with self.subTest("drain"):
            self.ingest(collector, log("kept"))
            self.assertEqual(collector.terminate(), 0)
            self.assertTrue(any(line.get("msg") == "stopped" for line in collector.log))
        again = self.collector(data=self.data)
        self.assertEqual(self.messages(again), ["kept"])
        caller = hms.RawCaller(again.address("listen"))
        self.addCleanup(caller.socket.close)
        caller.send(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")  # a request that never ends
        hms.get(again.address("listen"), "/healthz")  # the unfinished one arrived before
        again.signal(signal.SIGTERM)
        again.wait_log("stopping")
        again.signal(signal.SIGTERM)
        self.assertEqual(again.wait(), 0)


class Reload(CollectorCase):
    RULES = "groups:\n  - name: g\n    rules:\n      - alert: %s\n        expr: vector(1)\n"

    def names(self, collector):
        groups = hms.get_json(collector.address("listen"), "/api/v1/rules")["data"]["groups"]
        return [rule["name"] for group in groups for rule in group["rules"]]

    def test_rules_are_read_at_start_and_again_on_sighup_and_bad_ones_are_refused_whole(self):
        folder = self.folder()
        rules = self.write(os.path.join(folder, "rules.yaml"), self.RULES % "First")
        config = self.write(os.path.join(folder, "c.yaml"), "notifiers:\n  - {name: a, type: log}\n")
        collector = self.collector("--rules", rules, "--config", config)
        self.assertEqual(self.names(collector), ["First"])
        self.write(rules, self.RULES % "Second")
        self.write(config, "notifiers:\n  - {name: b, type: log}\n")
        collector.signal(signal.SIGHUP)
        collector.wait_log("the notifiers were read again")
        self.assertEqual(self.names(collector), ["Second"])
        self.write(rules, "groups: [{name: g, rules: [{alert: Third, expr: 'sum('}]}]\n")
        self.write(config, "notifiers: 3\n")
        collector.signal(signal.SIGHUP)
        collector.wait_log("the configuration is refused; the old one stays in force")
        self.assertEqual(self.names(collector), ["Second"])
        code, _, err = hms.run("hms-collector", "--check", "--rules", rules, "--config", config)
        self.assertEqual(code, 2)
        self.assertIn("rules.yaml:1:", err)
        code, _, err = hms.run("hms-collector", "--data", os.path.join(folder, "other"), "--rules", rules, "--listen", "127.0.0.1:0", "--otlp-listen", "off")
        self.assertEqual(code, 2)


class Surface(CollectorCase):
    def test_health_readiness_and_own_metrics(self):
        collector = self.collector()
        at = collector.address("listen")
        self.assertEqual(hms.get(at, "/healthz").status, 200)
        self.assertEqual(hms.get(at, "/readyz").status, 200)
        self.ingest(collector, log("counted"))
        text = hms.get(at, "/metrics")
        self.assertIn("version=0.0.4", text.header("Content-Type"))
        values = hms.prometheus_values(text.body.decode())
        self.assertEqual(values["hms_collector_batches_stored_total"], 1)
        self.assertEqual(values["hms_collector_records_stored_total"], 1)
        self.assertEqual(values['hms_collector_ingest_requests_total{code="202",path="/ingest"}'] if 'hms_collector_ingest_requests_total{code="202",path="/ingest"}' in values
                         else values['hms_collector_ingest_requests_total{path="/ingest",code="202"}'], 1)
        openmetrics = hms.get(at, "/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
        self.assertIn("application/openmetrics-text", openmetrics.header("Content-Type"))
        self.assertTrue(openmetrics.body.endswith(b"# EOF\n"))

    def test_the_page_and_its_headers(self):
        collector = self.collector()
        at = collector.address("listen")
        page = hms.get(at, "/")
        self.assertEqual((page.status, page.header("Content-Type")), (200, "text/html; charset=utf-8"))
        self.assertIn(b"HMS-OPS", page.body)
        for name in ("Content-Security-Policy", "X-Content-Type-Options", "ETag", "Cache-Control", "Referrer-Policy"):
            self.assertTrue(page.header(name), name)
        self.assertIn("default-src 'self'", page.header("Content-Security-Policy"))
        self.assertEqual(hms.get(at, "/", {"If-None-Match": page.header("ETag")}).status, 304)
        squeezed = hms.get(at, "/", {"Accept-Encoding": "gzip"})
        body = gzip.decompress(squeezed.body) if squeezed.header("Content-Encoding") == "gzip" else squeezed.body
        self.assertEqual(body, page.body)
        unknown = hms.get(at, "/no/such/page")
        self.assertEqual((unknown.status, unknown.json()["status"]), (404, "error"))

    def test_senders_without_an_identity_stand_under_their_service(self):
        collector = self.collector()
        self.ingest(collector, log("a"))
        self.ingest(collector, [log("b"), log("c")])
        told = hms.get_json(collector.address("listen"), "/ops/ledger")
        self.assertEqual([(s["instance"], s["service"], s["batches"]["stored"], s["records"]["stored"]) for s in told["senders"]], [("", "claims", 2, 3)])
        self.assertEqual(told["totals"]["records"], {"received": 3, "stored": 3, "repeated": 0})


class Levels(CollectorCase):
    def test_a_level_is_found_however_it_was_written(self):
        collector = self.collector()
        for level in ("ERROR", "Error", "err", "error", "WARNING"):
            self.ingest(collector, {"type": "log", "payload": {"msg": f"as {level}", "service": "a", "level": level}})
        at = collector.address("listen")
        for asked, wanted in (("error", 4), ("ERROR", 4), ("warn", 1), ("warning", 1), ("info", 0)):
            found = hms.get_json(at, f"/ops/logs?level={asked}&service=a")["logs"]
            self.assertEqual(len(found), wanted, (asked, found))
        self.assertEqual({log["level"] for log in hms.get_json(at, "/ops/logs?level=error")["logs"]}, {"ERROR", "Error", "err", "error"})
        self.assertEqual(hms.get(at, "/ops/logs?limit=0").status, 400)

    def test_one_uuid_in_either_case_is_one_sender(self):
        collector = self.collector()
        self.ingest(collector, log("once"), {"x-hms-batch": f"{INSTANCE}/1/1"})
        self.assertEqual(self.ingest(collector, log("once"), {"x-hms-batch": f"{INSTANCE.upper()}/1/1"}).status, 202)
        self.assertEqual(self.messages(collector), ["once"])


class FullDisk(CollectorCase):
    # Under a sanitizer a program takes several times the memory.
    SIZE = (64 << 20) * hms.MEMORY_FACTOR
    MEMORY = f"{128 * hms.MEMORY_FACTOR}MiB"

    def setUp(self):
        super().setUp()
        self.mount = self.small_disk(self.SIZE)

    def unstored(self, address):
        return hms.prometheus_values(hms.get(address, "/metrics").body.decode())["hms_collector_canary_changes_unstored"]

    def test_a_canary_rolled_back_on_a_full_disk_stays_rolled_back_after_a_restart(self):
        collector = self.collector("--memory", self.MEMORY, data=os.path.join(self.mount, "data"))
        at = collector.address("listen")
        plan = {"service": "claims", "baseline": "claims-v1", "canary": "claims-v2", "steps": [50, 100], "step_seconds": 3600}
        self.assertEqual(hms.post_json(at, "/ops/canaries/c", plan, method="PUT").status, 201)
        ballast = self.fill_disk(self.mount)
        reply = hms.post(at, "/ops/canaries/c/rollback", "")
        self.assertEqual(reply.status, 503, reply)
        self.assertIn("holds from now on, but could not be stored", reply.json()["error"])
        self.assertEqual(hms.get_json(at, "/ops/canaries/c")["state"], "rolled_back")
        self.assertGreater(self.unstored(at), 0)
        os.remove(ballast)
        self.wait_for(lambda: self.unstored(at) == 0, what="the decision to be stored by itself")
        collector.kill()
        again = self.collector("--memory", self.MEMORY, data=self.data)
        state = hms.get_json(again.address("listen"), "/ops/canaries/c")
        self.assertEqual((state["state"], state["weight"], state["record"][-1]["reason"]), ("rolled_back", 0, "rolled back by hand"))

    def test_a_silence_that_a_full_disk_refused_holds_nothing_back(self):
        collector = self.collector("--memory", self.MEMORY, data=os.path.join(self.mount, "data"))
        at = collector.address("listen")
        silence = {"matchers": [{"name": "service_name", "value": "claims"}], "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2199-01-01T00:00:00Z", "createdBy": "me", "comment": "known"}
        kept = hms.post_json(at, "/ops/silences", silence).json()
        self.fill_disk(self.mount)
        self.assertEqual(hms.post_json(at, "/ops/silences", silence).status, 503)
        self.assertEqual(hms.post_json(at, "/ops/silences", {**silence, "id": kept["id"], "comment": "changed"}).status, 503)
        self.assertEqual(hms.request(at, "DELETE", f"/ops/silences/{kept['id']}").status, 503)
        shown = hms.get_json(at, "/ops/silences")
        self.assertEqual([(s["id"], s["comment"], s["status"]["state"]) for s in shown], [(kept["id"], "known", "active")])

    def test_a_start_without_room_is_one_sentence_and_damages_nothing(self):
        collector = self.collector("--memory", self.MEMORY, data=os.path.join(self.mount, "data"))
        self.assertEqual(self.ingest(collector, log("before")).status, 202)
        collector.kill()
        ballast = self.fill_disk(self.mount)
        code, _, error = hms.run("hms-collector", "--data", self.data, "--listen", "127.0.0.1:0", "--otlp-listen", "off", "--memory", self.MEMORY)
        self.assertEqual(code, 1, error)
        self.assertIn("the disk is full", error)
        self.assertEqual(len(error.strip().splitlines()), 1, error)
        os.remove(ballast)
        self.assertEqual(self.messages(self.collector("--memory", self.MEMORY, data=self.data)), ["before"])

    def test_writers_are_told_to_wait_and_it_goes_on_by_itself(self):
        collector = self.collector("--memory", self.MEMORY, data=os.path.join(self.mount, "data"))
        at = collector.address("listen")
        self.assertEqual(self.ingest(collector, log("before"), {"x-hms-batch": f"{INSTANCE}/1/1"}).status, 202)
        ballast = self.fill_disk(self.mount)
        reply = self.ingest(collector, log("during"), {"x-hms-batch": f"{INSTANCE}/1/2"})
        self.assertEqual(reply.status, 503, reply)
        self.assertGreaterEqual(int(reply.header("Retry-After")), 1)
        self.assertIn("disk is full", reply.json()["error"])
        self.assertEqual(hms.post(collector.address("otlp"), "/v1/logs", protobuf_log("x"), {"Content-Type": "application/x-protobuf"}).status, 503)
        self.assertEqual(hms.get(at, "/readyz").status, 503)
        self.assertEqual(self.messages(collector), ["before"])
        os.remove(ballast)
        self.wait_for(lambda: hms.get(at, "/readyz").status == 200, what="ready again without anybody's help")
        self.assertEqual(self.ingest(collector, log("during"), {"x-hms-batch": f"{INSTANCE}/1/2"}).status, 202)
        self.assertEqual(self.ledger(collector)["batches"]["stored"], 2)
        collector.terminate()
        again = self.collector("--memory", self.MEMORY, data=self.data)
        self.assertEqual(sorted(self.messages(again)), ["before", "during"])

    def test_a_disk_that_fills_by_telemetry_loses_nothing_acknowledged(self):
        collector = self.collector("--memory", self.MEMORY, data=os.path.join(self.mount, "data"))
        acknowledged, refused = [], 0
        for sequence in range(1, 2000):
            lines = [log(f"n{sequence}", noise=os.urandom(32_500).hex()) for _ in range(16)]
            reply = self.ingest(collector, lines, {"x-hms-batch": f"{INSTANCE}/1/{sequence}"})
            if reply.status == 202:
                acknowledged.append(f"n{sequence}")
            elif reply.status == 429:  # its memory is full, not the disk: asked to wait, it goes on by itself
                self.wait_for(lambda: "hms_collector_memory_full 0" in hms.get(collector.address("listen"), "/metrics").body.decode(), what="room in memory")
            else:
                self.assertEqual(reply.status, 503)
                refused += 1
                if refused == 5:
                    break
        self.assertEqual(refused, 5, "the disk never filled")
        collector.kill()
        subprocess.run(["mount", "-o", f"remount,size={self.SIZE * 2}", self.mount], check=True)
        again = self.collector("--memory", self.MEMORY, data=self.data)
        self.assertEqual(self.ledger(again)["batches"]["stored"], len(acknowledged))
        self.assertEqual(self.ingest(again, log("after")).status, 202)


class BrokenDisk(CollectorCase):
    def test_a_disk_that_fails_a_write_ends_the_program_and_a_restart_recovers(self):
        """RLIMIT_FSIZE lets the log's write itself fail, which the free space, looked at beforehand, cannot foresee."""
        collector = self.collector("--memory", "128MiB")
        self.ingest(collector, log("before"), {"x-hms-batch": f"{INSTANCE}/1/1"})
        resource.prlimit(collector.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        reply = self.ingest(collector, log("during"), {"x-hms-batch": f"{INSTANCE}/1/2"})
        self.assertEqual(reply.status, 503, reply)
        self.assertEqual(collector.wait(), 1)
        self.assertTrue(any("the disk failed" in line.get("msg", "") for line in collector.log))
        again = self.collector("--memory", "128MiB", data=self.data)
        self.assertEqual(self.ingest(again, log("during"), {"x-hms-batch": f"{INSTANCE}/1/2"}).status, 202)
        self.assertEqual(sorted(self.messages(again)), ["before", "during"])


if __name__ == "__main__":
    hms.main()
