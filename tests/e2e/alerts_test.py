"""Alerts of a real collector: the default rules' speed, rule files and their faults, notifiers, security logs, silences, and a kill in the middle."""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import hms  # noqa: E402
from sidecar import Events, Hook, Sidecar, point  # noqa: E402

ALWAYS = """groups:
  - name: t
    rules:
      - alert: Always
        expr: vector(1)
        labels: {severity: page}
        annotations: {summary: "always so"}
"""


class Alerts(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.home = self.folder()

    def collector(self, notifiers="", rules=None, data=None):
        config = self.write(os.path.join(self.home, "collector.yaml"), "notifiers:\n" + notifiers if notifiers else "notifiers: []\n")
        arguments = ["--data", data or os.path.join(self.home, "data"), "--listen", "127.0.0.1:0", "--otlp-listen", "off", "--config", config]
        if rules is not None:
            arguments += ["--rules", self.write(os.path.join(self.home, "rules.yaml"), rules)]
        return self.start("hms-collector", *arguments)

    def alerts(self, collector):
        return hms.get_json(collector.address("listen"), "/api/v1/alerts")["data"]["alerts"]

    def test_five_per_cent_of_failures_page_within_four_seconds_and_the_end_is_told(self):
        hook = self.use(Hook())
        collector = self.collector(f'  - {{name: hook, type: webhook, url: "{hook.url}"}}\n')
        stream = self.use(Events(collector.address("listen"), "/ops/stream"))
        storm = {}

        def make(second):
            if "begin" in storm and storm["begin"] <= second < storm.get("end", second + 1):
                return [point(second, 25), point(second, 5, 0.01, status=500)]
            return [point(second, 30)]

        self.use(Sidecar(collector.address("listen"), "claims", make))
        stream.find(lambda name, data: name == "message")
        storm["begin"] = int(time.time()) + 1
        at, _, body = hook.wait(lambda body: body["status"] == "firing")
        print(f"paged {at - storm['begin']:.2f} s after the incident began", file=sys.stderr)
        alert = body["alerts"][0]
        self.assertEqual(alert["labels"], {"alertname": "HighErrorRate", "service_name": "claims", "severity": "critical"})
        self.assertIn("of its calls fail", alert["annotations"]["summary"])
        self.assertIn("/claims/{id}", alert["annotations"]["top_routes"])
        self.assertEqual(body["version"], "4")
        stream.find(lambda name, data: name == "alert" and data["state"] == "firing" and data["service"] == "claims")
        self.assertEqual([a["state"] for a in self.alerts(collector)], ["firing"])
        rules = hms.get_json(collector.address("listen"), "/api/v1/rules?type=alert")["data"]["groups"][0]["rules"]
        self.assertEqual([(r["name"], r["state"]) for r in rules], [("HighErrorRate", "firing"), ("HighLatency", "inactive")])
        storm["end"] = int(time.time()) + 1
        hook.wait(lambda body: body["status"] == "resolved")
        stream.find(lambda name, data: name == "alert" and data["state"] == "resolved")
        self.assertEqual(len(hook.calls), 2)

    def test_every_kind_of_notifier_is_told_in_its_own_form(self):
        hooks = {kind: self.use(Hook()) for kind in ("webhook", "pagerduty", "slack", "alertmanager")}
        lines = "".join(f'  - {{name: {kind}, type: {kind}, url: "{hook.url}"{", routing_key: key" if kind == "pagerduty" else ""}}}\n' for kind, hook in hooks.items())
        collector = self.collector(lines + "  - {name: log, type: log}\n", ALWAYS)
        self.assertEqual(hooks["webhook"].wait(lambda body: True)[2]["alerts"][0]["annotations"]["summary"], "always so")
        pager = hooks["pagerduty"].wait(lambda body: True)[2]
        self.assertEqual((pager["event_action"], pager["routing_key"], pager["payload"]["severity"]), ("trigger", "key", "critical"))
        self.assertEqual(hooks["slack"].wait(lambda body: True)[2]["attachments"][0]["color"], "danger")
        _, path, body = hooks["alertmanager"].wait(lambda body: True)
        self.assertEqual((path, body[0]["labels"]["alertname"]), ("/hook/api/v2/alerts", "Always"))
        collector.wait_log("alert firing", lambda line: line["alertname"] == "Always")
        # The rule goes: everybody hears of the end, PagerDuty under the same key.
        self.write(os.path.join(self.home, "rules.yaml"), "groups: []\n")
        self.assertEqual(hooks["pagerduty"].wait(lambda body: body["event_action"] == "resolve")[2]["dedup_key"], pager["dedup_key"])
        hooks["webhook"].wait(lambda body: body["status"] == "resolved")
        collector.wait_log("alert resolved")

    def test_a_security_log_pages_the_soc_whatever_the_rules(self):
        plain, soc = self.use(Hook()), self.use(Hook())
        collector = self.collector(f'  - {{name: plain, type: webhook, url: "{plain.url}"}}\n  - {{name: soc, type: webhook, url: "{soc.url}", soc: true}}\n', "groups: []\n")
        address = collector.address("listen")
        stream = self.use(Events(address, "/ops/stream"))
        sent = time.time()
        item = {"type": "log", "payload": {"level": "error", "severity": "security", "msg": "token reuse", "service": "claims", "traceId": "order-17"}}
        for _ in range(3):
            self.assertEqual(hms.post_json(address, "/ingest", item).status, 202)
        at, _, body = soc.wait(lambda body: True)
        print(f"the soc was told {at - sent:.3f} s after the log", file=sys.stderr)
        alert = body["alerts"][0]
        self.assertEqual(alert["labels"], {"alertname": "SecurityLog", "severity": "critical", "service": "claims", "msg": "token reuse"})
        self.assertEqual(alert["annotations"]["traceId"], "order-17")
        stream.find(lambda name, data: name == "alert" and data["alertname"] == "SecurityLog")
        self.wait_for(lambda: [a["annotations"]["count"] for a in self.alerts(collector)] == ["3"], what="the repeated logs to count")
        hms.post_json(address, "/ingest", {"type": "log", "payload": {"severity": "security", "msg": "another", "service": "claims"}})
        soc.wait(lambda body: body["alerts"][0]["labels"]["msg"] == "another")
        self.assertEqual((len(soc.calls), len(plain.calls)), (2, 0))

    def test_a_kill_neither_loses_nor_doubles_a_page(self):
        hook = self.use(Hook())
        notifiers = f'  - {{name: hook, type: webhook, url: "{hook.url}"}}\n'
        collector = self.collector(notifiers, ALWAYS)
        first = hook.wait(lambda body: True)[2]["alerts"][0]
        metrics = lambda: hms.prometheus_values(hms.get(collector.address("listen"), "/metrics").body.decode())  # noqa: E731
        self.wait_for(lambda: metrics().get('hms_collector_notifications_sent_total{notifier="hook",type="webhook"}') == 1)
        time_to_store = [line for line in metrics() if line.startswith("hms_collector_rule_evaluations_total")]
        evaluations = metrics()[time_to_store[0]]
        self.wait_for(lambda: metrics()[time_to_store[0]] >= evaluations + 2, what="two further evaluations, so that the told state is stored")
        collector.kill()
        again = self.collector(notifiers, ALWAYS)
        self.wait_for(lambda: self.alerts(again), what="the alert after the restart")
        alert = self.alerts(again)[0]
        self.assertEqual((alert["state"], alert["activeAt"]), ("firing", first["startsAt"]))
        self.write(os.path.join(self.home, "rules.yaml"), "groups: []\n")
        hook.wait(lambda body: body["status"] == "resolved")
        self.assertEqual([body["status"] for _, _, body in hook.calls], ["firing", "resolved"])
        self.assertEqual(hook.calls[1][2]["alerts"][0]["fingerprint"], first["fingerprint"])

    def test_a_notifier_that_is_down_hears_of_it_when_it_is_back(self):
        hook = self.use(Hook(status=503))
        self.collector(f'  - {{name: hook, type: webhook, url: "{hook.url}"}}\n', ALWAYS)
        self.wait_for(lambda: len(hook.calls) >= 2, what="a second try")
        hook.status = 200
        tries = len(hook.calls)
        self.wait_for(lambda: len(hook.calls) == tries + 1, what="the try that succeeds")

    def test_a_silence_holds_notifications_back_and_the_alert_stays_shown(self):
        hook = self.use(Hook())
        collector = self.collector(f'  - {{name: hook, type: webhook, url: "{hook.url}"}}\n', "groups: []\n")
        address = collector.address("listen")
        silence = {"matchers": [{"name": "alertname", "value": "Al.*", "isRegex": True, "isEqual": True}], "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z",
                   "createdBy": "night shift", "comment": "known"}
        made = hms.post_json(address, "/ops/silences", silence)
        self.assertEqual(made.status, 200)
        identity = made.json()["id"]
        self.write(os.path.join(self.home, "rules.yaml"), ALWAYS)
        self.wait_for(lambda: [a for a in self.alerts(collector) if a.get("silencedBy") == [identity]], what="the alert, shown as silenced")
        listed = hms.get_json(address, "/ops/silences")
        self.assertEqual([(s["id"], s["createdBy"], s["status"]["state"]) for s in listed], [(identity, "night shift", "active")])
        # It outlives a restart.
        collector.kill()
        collector = self.collector(f'  - {{name: hook, type: webhook, url: "{hook.url}"}}\n', ALWAYS)
        address = collector.address("listen")
        self.wait_for(lambda: [a for a in self.alerts(collector) if a.get("silencedBy") == [identity]], what="the silence after the restart")
        self.assertEqual(hook.calls, [])
        self.assertEqual(hms.request(address, "DELETE", f"/ops/silences/{identity}").status, 200)
        hook.wait(lambda body: body["status"] == "firing")
        self.assertEqual(hms.request(address, "DELETE", "/ops/silences/nobody").status, 404)
        self.assertEqual(hms.post_json(address, "/ops/silences", {"matchers": []}).json()["status"], "error")
        self.assertEqual(hms.post(address, "/ops/silences", "{").status, 400)

    def test_a_bad_rule_file_is_refused_whole_with_every_fault_and_the_old_rules_stay(self):
        bad = "groups:\n  - name: t\n    rules:\n      - alert: A\n        expr: rate(up[5m]\n      - alert: B\n        expr: up\n        annotations: {summary: '{{ nosuch }}'}\n"
        path = self.write(os.path.join(self.home, "bad.yaml"), bad)
        code, _, errors = hms.run("hms-collector", "--data", os.path.join(self.home, "data"), "--rules", path, "--check")
        self.assertEqual(code, 2)
        self.assertIn("bad.yaml:5:", errors)
        self.assertIn("PromQL 1:", errors)
        self.assertIn("bad.yaml:8:", errors)
        collector = self.collector(rules=ALWAYS)
        self.wait_for(lambda: self.alerts(collector))
        self.write(os.path.join(self.home, "rules.yaml"), bad)
        collector.wait_log("rule file refused", lambda line: "rules.yaml:5:" in line["error"])
        self.assertEqual([a["labels"]["alertname"] for a in self.alerts(collector)], ["Always"])
        self.write(os.path.join(self.home, "rules.yaml"), ALWAYS.replace("Always", "Other"))
        self.wait_for(lambda: [a["labels"]["alertname"] for a in self.alerts(collector)] == ["Other"], what="the repaired file to be taken")
        collector.signal(signal.SIGHUP)
        self.wait_for(lambda: sum(line.get("msg") == "rules in force" for line in collector.log) >= 3, what="the reload that SIGHUP asks for")

    def test_a_recording_rule_writes_a_series_that_queries_and_rules_find(self):
        rules = "groups:\n  - name: t\n    rules:\n      - record: storm:level\n        expr: vector(7)\n        labels: {where: coast}\n      - alert: High\n        expr: storm:level > 5\n"
        collector = self.collector(rules=rules)

        def value():
            result = hms.get_json(collector.address("listen"), "/api/v1/query?query=storm:level%7Bwhere%3D%22coast%22%7D")["data"]["result"]
            return result and result[0]["value"][1] == "7"

        self.wait_for(value, what="the recorded series")
        self.wait_for(lambda: [a for a in self.alerts(collector) if a["labels"] == {"alertname": "High", "where": "coast"}], what="the alert on it")

    def test_promtool_agrees_with_the_default_rules(self):
        promtool = next((os.path.join(p, "promtool") for p in os.environ["PATH"].split(":") if os.access(os.path.join(p, "promtool"), os.X_OK)), None)
        if promtool is None:
            self.skipTest("no promtool here")
        rules = os.path.join(os.path.dirname(__file__), "..", "..", "deploy", "rules", "default.yaml")
        checked = subprocess.run([promtool, "check", "rules", rules], capture_output=True, text=True, check=False)
        if "unknown function" in checked.stderr + checked.stdout:
            self.skipTest("this promtool is older than native histograms")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)


if __name__ == "__main__":
    hms.main()
