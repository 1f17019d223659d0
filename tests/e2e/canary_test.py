"""Canaries with a real collector, a real sidecar that splits, and two versions of a service that answer bytes."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import hms  # noqa: E402
from sidecar import Events, Sidecar, point  # noqa: E402


class Version:
    """One version of the service: `failing` answers 500 to every second call."""

    def __init__(self, name, failing=False):
        self.name, self.failing, self.calls = name, failing, 0
        self._lock = threading.Lock()
        self.origin = hms.RawOrigin(answer=self._answer)

    def _answer(self, head, body):
        with self._lock:
            self.calls += 1
            bad = self.failing and self.calls % 2 == 0
        return hms.response(500 if bad else 200, self.name.encode())

    def close(self):
        self.origin.close()


class Canaries(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.home = self.folder()

    def start_collector(self, listen="127.0.0.1:0"):
        return self.start("hms-collector", "--data", os.path.join(self.home, "data"), "--listen", listen, "--otlp-listen", "off")

    def start_sidecar(self, collector, old, new):
        config = self.write(os.path.join(self.home, "proxy.yaml"), f"""service: claims
upstreams:
  claims-v1: {{endpoints: ["{old.origin.address}"]}}
  claims-v2: {{endpoints: ["{new.origin.address}"]}}
routes:
  - match: {{path: "/*"}}
    split: [{{upstream: claims-v1, weight: 100}}, {{upstream: claims-v2, weight: 0}}]
""")
        return self.start("hms-proxy", "--config", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--app", old.origin.address, "--collector", f"http://{collector.address('listen')}",
                          "--spool-dir", os.path.join(self.home, "spool"))

    def put(self, collector, name="claims-v2", **plan):
        plan = {"service": "claims", "baseline": "claims-v1", "canary": "claims-v2", "steps": [5, 50, 100], "step_seconds": 3, "limits": {"error_rate": 0.05, "p99_ms": 2000}, **plan}
        return hms.post_json(collector.address("listen"), f"/ops/canaries/{name}", plan, method="PUT")

    def canary(self, collector, name="claims-v2"):
        return hms.get_json(collector.address("listen"), f"/ops/canaries/{name}")

    def load(self, sidecar):
        return self.use(hms.Load(sidecar.address("inbound"), connections=2, make=lambda n: ("GET", f"/claims/{n}", {"x-trace": f"order-{n}"}, None)))

    def test_a_bad_version_is_back_at_zero_before_many_have_met_it(self):
        old, new = self.use(Version("one")), self.use(Version("two", failing=True))
        collector = self.start_collector()
        sidecar = self.start_sidecar(collector, old, new)
        stream = self.use(Events(collector.address("listen"), "/ops/stream"))
        load = self.load(sidecar)
        stream.find(lambda name, data: name == "message" and data["service"] == "claims")
        self.assertEqual(new.calls, 0)
        before = old.calls
        self.assertEqual(self.put(collector).status, 201)
        state = self.wait_for(lambda: (lambda c: c if c["state"] != "running" else None)(self.canary(collector)), what="a decision")
        self.assertEqual((state["state"], state["weight"]), ("rolled_back", 0))
        last = state["record"][-1]
        self.assertEqual(last["verdict"], "rollback")
        self.assertIn("is above the limit of 5 %", last["reason"])
        self.assertGreater(last["canary"]["errors"], 0)
        self.assertGreater(last["baseline"]["requests"], last["canary"]["requests"])
        self.assertEqual(set(last["canary"]), {"requests", "errors", "p99_ms"})
        event = stream.find(lambda name, data: name == "canary" and data["verdict"] == "rollback")[2]
        self.assertEqual((event["name"], event["service"], event["weight"]), ("claims-v2", "claims", 0))
        # The sidecar has it, too: from here on nobody meets the new version.
        load.wait_replies(200)
        met = new.calls
        load.wait_replies(500)
        self.assertEqual(new.calls, met)
        share = met / (old.calls - before + met)
        print(f"{met} calls met the bad version, {share:.1%}, decision after {(last['ts'] - state['started_at']) / 1000:.1f} s", file=sys.stderr)
        self.assertLess(share, 0.10)

    def test_a_good_version_goes_step_by_step_to_all_requests(self):
        old, new = self.use(Version("one")), self.use(Version("two"))
        collector = self.start_collector()
        sidecar = self.start_sidecar(collector, old, new)
        load = self.load(sidecar)
        load.wait_replies(50)
        self.assertEqual(self.put(collector).status, 201)
        state = self.wait_for(lambda: (lambda c: c if c["state"] != "running" else None)(self.canary(collector)), 60, "promotion")
        self.assertEqual((state["state"], state["weight"]), ("promoted", 100))
        self.assertEqual([entry["weight"] for entry in state["record"] if entry["verdict"] == "advance"], [5, 50, 100, 100])
        load.wait_replies(200)
        met = old.calls
        load.wait_replies(500)
        self.assertEqual(old.calls, met)
        self.assertEqual(load.failures, [])

    def test_a_killed_collector_goes_on_where_it_was_and_the_sidecar_keeps_its_weights(self):
        old, new = self.use(Version("one")), self.use(Version("two"))
        port = hms.free_port()
        collector = self.start_collector(f"127.0.0.1:{port}")
        sidecar = self.start_sidecar(collector, old, new)
        load = self.load(sidecar)
        load.wait_replies(20)
        self.assertEqual(self.put(collector, steps=[50, 100], step_seconds=3600).status, 201)
        self.wait_for(lambda: new.calls > 20, what="calls of the new version")
        record = self.canary(collector)["record"]
        collector.kill()
        met = new.calls
        load.wait_replies(200)
        self.assertGreater(new.calls, met)
        again = self.start_collector(f"127.0.0.1:{port}")
        state = self.canary(again)
        self.assertEqual((state["state"], state["weight"], state["record"]), ("running", 50, record))
        self.assertEqual(hms.post(again.address("listen"), "/ops/canaries/claims-v2/rollback", "").status, 200)
        load.wait_replies(100)

        def quiet():
            met = new.calls
            load.wait_replies(100)
            return new.calls == met

        self.wait_for(quiet, what="the sidecar to hear of the rollback from the collector that came back")
        self.assertEqual(load.failures, [])

    def test_by_hand_and_by_the_callers_measurements(self):
        collector = self.start_collector()
        address = collector.address("listen")
        self.assertEqual(self.put(collector, step_seconds=3600).status, 201)
        self.assertEqual(self.put(collector, step_seconds=3600).status, 200)
        self.assertEqual(hms.post(address, "/ops/canaries/claims-v2/pause", "").json()["state"], "paused")
        self.assertEqual(hms.post(address, "/ops/canaries/claims-v2/pause", "").status, 409)
        self.assertEqual(hms.post(address, "/ops/canaries/claims-v2/resume", "").json()["state"], "running")
        self.assertEqual([c["name"] for c in hms.get_json(address, "/ops/canaries")], ["claims-v2"])
        # No sidecar splits here: a caller's sidecar measured both versions on its outbound side.
        self.use(Sidecar(address, "ui", lambda second: [point(second, 40, upstream="claims-v1"), point(second, 4, status=503, upstream="claims-v2")], name="http.client.request.duration"))
        self.wait_for(lambda: self.canary(collector)["state"] == "rolled_back", what="a rollback")
        self.assertEqual(hms.post(address, "/ops/canaries/claims-v2/resume", "").status, 409)
        self.assertEqual(hms.request(address, "DELETE", "/ops/canaries/claims-v2").status, 200)
        self.assertEqual(hms.request(address, "DELETE", "/ops/canaries/claims-v2").status, 404)
        self.assertEqual(hms.get_json(address, "/ops/canaries"), [])

    def test_a_wrong_plan_is_refused_with_the_field_and_what_is_allowed(self):
        collector = self.start_collector()
        for change, part in (
            ({"steps": [5, 5]}, "steps[1] is 5, expected more than the one before (5)"),
            ({"canary": "claims-v1"}, "expected two upstreams"),
            ({"limits": {"error_rate": "low"}}, 'limits.error_rate is "low", expected a number'),
            ({"colour": 1}, 'unknown field "colour"; allowed:'),
        ):
            reply = self.put(collector, **change)
            self.assertEqual((reply.status, reply.json()["errorType"]), (400, "bad_data"))
            self.assertIn(part, reply.json()["error"])
        address = collector.address("listen")
        self.assertEqual(hms.request(address, "PUT", "/ops/canaries/x", {}, b"{").status, 400)
        self.assertEqual(hms.request(address, "PUT", "/ops/canaries/x", {}, b"[" * 5000).status, 400)
        self.assertEqual(hms.get(address, "/ops/canaries/x").status, 404)
        self.assertEqual(hms.post(address, "/ops/canaries/x/promote", "").status, 404)
        self.assertEqual(hms.get_json(address, "/ops/canaries"), [])


if __name__ == "__main__":
    hms.main()
