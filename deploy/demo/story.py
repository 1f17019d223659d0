#!/usr/bin/env python3
"""./dev demo: the stormy Friday night of the Disaster Claim Wizard, played on this machine with real processes.

A quiet start; then the store turns slow (300 ms -> 4 s) and 17 % of the claims calls answer 500; somebody is paged; the trace points at the
store; it heals and the alert resolves; then version 2 of claims is rolled out as a canary and, being bad, rolled back.

--for SECONDS plays it once and ends by itself; exit 0 only if all of it happened. --json FILE writes what happened and when.
"""
import argparse
import json
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.error

from cast import Cast, StoryError, fetch_json
from pager import Pager
from traffic import Traffic

QUIET_SECONDS = 12
STORM_SECONDS = 20
CALLS_PER_SECOND = 30


def now_ms():
    return int(time.time() * 1000)


class Story:
    def __init__(self, arguments):
        self.arguments = arguments
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hms-demo-"))
        self.cast = Cast(arguments.bin, self.folder, arguments.port)
        self.pager = Pager(self.show_page)
        self.facts = {}
        self.began = time.monotonic()
        self.traffic = None
        self.quiet_threads = []

    # -- telling

    def tell(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def show_page(self, _when, alert):
        labels = alert["labels"]
        what = alert.get("annotations", {}).get("summary") or labels.get("alertname")
        self.tell(f"   page ({alert['status']}): {what}")

    # -- acts

    def set_the_stage(self):
        self.tell("starting the collector")
        url = self.cast.start_collector(self.pager.url)
        self.tell("starting ui (Node), claims (Python), store (Perl) and a sidecar beside each")
        entry = self.cast.start_services()
        self.facts["services"] = sorted(self.cast.sidecars)
        self.traffic = Traffic(entry, CALLS_PER_SECOND)
        self.tell(f"the control room is at {url}/  (the wizard itself: {entry}/wizard/user-1/claims/123456)")

    def quiet_start(self):
        self.tell("a quiet evening: 300 ms a call")
        time.sleep(QUIET_SECONDS)

    def storm(self):
        self.cast.storm.touch()
        started = self.facts["incident_started"] = now_ms()
        self.tell("the storm: the store answers in 4 s, 17 % of the claims calls in 500")
        crash_at = self.arguments.crash_collector
        if crash_at:
            threading.Thread(target=self.crash_and_restart, args=(crash_at,), daemon=True).start()
        page = self.pager.first("firing", started, STORM_SECONDS)
        if page:
            self.facts["alert_fired"] = page[0]
            self.facts["alert_delay_ms"] = page[0] - started
            self.tell(f"   paged {page[0] - started} ms after the incident began: {page[2].get('alertname')} on {page[2].get('service_name', page[2].get('service', '?'))}")
        time.sleep(max(0.0, STORM_SECONDS - (now_ms() - started) / 1000))
        self.point_at_the_slowest_hop(started)

    def crash_and_restart(self, after_seconds):
        time.sleep(after_seconds)
        self.tell("   kill -9 for the collector")
        self.cast.crash_collector()
        time.sleep(3)
        self.cast.restart_collector()
        self.facts["collector_restarted"] = now_ms()
        self.tell("   the collector is back")

    def point_at_the_slowest_hop(self, since_ms):
        query = f"service=ui&minDuration=3s&limit=20&start={since_ms * 1000}&end={now_ms() * 1000}"
        traces = fetch_json(f"{self.cast.collector_url}/api/traces?{query}")["data"]
        complete = [t for t in traces if {"ui", "claims", "store"} <= {p["serviceName"] for p in t["processes"].values()}]
        if not complete:
            raise StoryError(f"no slow trace of the storm crosses ui, claims and store ({len(traces)} slow traces found)")
        trace = max(complete, key=lambda t: max(s["duration"] for s in t["spans"]))
        self.facts["example_trace"] = trace["traceID"]
        self.facts["slowest_hop"] = slowest_hop(trace)
        self.tell(f"   trace {trace['traceID']}: the time is spent in {self.facts['slowest_hop']}"
                  f"  ({self.cast.collector_url}/#/traces/{trace['traceID']})")

    def calm(self):
        self.cast.storm.unlink()
        healed = now_ms()
        self.tell("the store is quick again")
        deadline = time.monotonic() + 40
        while self.pager.still_firing() and time.monotonic() < deadline:
            time.sleep(0.1)
        resolved = self.pager.first("resolved", healed, 0)
        if resolved and not self.pager.still_firing():
            self.facts["alert_resolved"] = max(p[0] for p in self.pager.pages if p[1] == "resolved")
            self.tell("   all alerts are resolved")

    def canary(self):
        url = f"{self.cast.collector_url}/ops/canaries/claims-v2"
        before = self.claims_requests()
        fetch_json(url, method="PUT", body={
            "service": "claims", "baseline": "claims-v1", "canary": "claims-v2", "steps": [5, 10, 25, 50, 100], "step_seconds": 10,
            "limits": {"error_rate": 0.05, "p99_ms": 2000}})
        started = self.facts["canary_started"] = now_ms()
        self.tell("version 2 of claims goes out as a canary: 5 % first")
        state = {}
        while now_ms() - started < 60_000:
            state = fetch_json(url)
            if state["state"] != "running":
                break
            time.sleep(0.1)
        if state.get("state") != "rolled_back":
            raise StoryError(f"the canary was not rolled back within 60 s but is {state.get('state')} at {state.get('weight')} %")
        last = next(r for r in reversed(state["record"]) if r["verdict"] == "rollback")
        self.facts["canary_rolled_back"] = now_ms()
        self.facts["canary_weight"] = state["weight"]
        self.tell(f"   rolled back after {now_ms() - started} ms: {last['reason']}")
        time.sleep(3)  # the last calls of version 2 come in, and a second's telemetry with them
        after = self.claims_requests()
        met = after.get("claims-v2", 0) - before.get("claims-v2", 0)
        total = sum(after.values()) - sum(before.values())
        self.facts["canary_share_of_requests"] = round(met / total, 4) if total else 1.0
        self.tell(f"   {met:.0f} of {total:.0f} calls met version 2 ({self.facts['canary_share_of_requests']:.1%})")

    def claims_requests(self):
        query = "sum by (hms_upstream) (histogram_count(http_server_request_duration_seconds{service_name=\"claims\"}))"
        import urllib.parse
        reply = fetch_json(f"{self.cast.collector_url}/api/v1/query?query={urllib.parse.quote(query)}")
        return {r["metric"].get("hms_upstream", ""): float(r["value"][1]) for r in reply["data"]["result"]}

    # -- the end

    def settle_accounts(self):
        """Stops the callers, waits until every sidecar has delivered, and compares both ends."""
        self.traffic.stop()
        deadline = time.monotonic() + 20
        while True:
            # Sidecars report every second: the ledger is read between two readings of theirs that agree.
            sent, waiting = self.batches_of_sidecars()
            ledger = fetch_json(f"{self.cast.collector_url}/ops/ledger")
            stored = sum(s["batches"]["stored"] for s in ledger["senders"])
            settled = (sent, 0) == self.batches_of_sidecars() and not waiting
            if (settled and sent == stored) or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        dropped = sum(sum(s.get("dropped", {}).values()) for s in ledger["senders"])
        missing = sum(s["batches"]["missing"] for s in ledger["senders"])
        self.facts.update(
            requests_total=self.traffic.total, requests_failed_by_proxy=self.traffic.failed_by_proxy, requests_shed=self.traffic.shed,
            telemetry_batches_sent=int(sent), telemetry_batches_stored=int(stored), telemetry_lost=int(dropped + missing))
        if self.traffic.errors:
            self.facts["proxy_errors"] = self.traffic.errors

    def batches_of_sidecars(self):
        """Batches made so far, and those that still wait for the collector."""
        metrics = self.cast.sidecar_metrics()
        made = sum(v for k, v in metrics.items() if k.startswith("hms_proxy_telemetry_batches_total{state=\"added\""))
        return made, sum(v for k, v in metrics.items() if k.startswith("hms_proxy_telemetry_spool_batches"))

    def verdict(self):
        """What the story promised and did not happen."""
        facts, missing = self.facts, []
        for key in ("incident_started", "alert_fired", "alert_resolved", "example_trace", "canary_started", "canary_rolled_back"):
            if key not in facts:
                missing.append(f"{key} did not happen")
        if facts.get("slowest_hop") != "store":
            missing.append(f"slowest_hop is {facts.get('slowest_hop')}, expected store")
        if facts.get("requests_failed_by_proxy") != 0:
            missing.append(f"the sidecars failed {facts.get('requests_failed_by_proxy')} requests: {facts.get('proxy_errors')}")
        if facts.get("telemetry_batches_sent") != facts.get("telemetry_batches_stored"):
            missing.append(f"{facts.get('telemetry_batches_sent')} batches were sent and {facts.get('telemetry_batches_stored')} stored")
        if facts.get("telemetry_lost") != 0:
            missing.append(f"telemetry_lost is {facts.get('telemetry_lost')}")
        if facts.get("canary_weight", 0) != 0:
            missing.append(f"the canary is at {facts.get('canary_weight')} %, expected 0")
        if "canary_rolled_back" in facts and facts["canary_share_of_requests"] >= 0.10:
            missing.append(f"{facts['canary_share_of_requests']:.1%} of the calls met the canary, expected less than 10 %")
        return missing

    def play(self):
        self.set_the_stage()
        self.quiet_start()
        self.storm()
        self.calm()
        self.canary()

    def rest(self):
        """After the story: until the time is over, or Ctrl-C; without a time the storm comes back every few minutes."""
        if self.arguments.seconds:
            left = self.arguments.seconds - (time.monotonic() - self.began) - 8
            time.sleep(max(0.0, left))
            return
        while True:
            self.tell("the night goes on; the next storm comes in three minutes (Ctrl-C ends the demo)")
            time.sleep(180)
            self.storm()
            self.calm()


def slowest_hop(trace):
    """The service with the most time of its own: its spans' durations less those of their children."""
    children = {}
    for span in trace["spans"]:
        for reference in span.get("references", []):
            if reference["refType"] == "CHILD_OF":
                children.setdefault(reference["spanID"], []).append(span)
    own = {}
    for span in trace["spans"]:
        service = trace["processes"][span["processID"]]["serviceName"]
        covered = sum(child["duration"] for child in children.get(span["spanID"], []))
        own[service] = own.get(service, 0) + max(0, span["duration"] - covered)
    return max(own, key=own.get)


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__.split("\n\n")[1])
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--for", dest="seconds", type=float, default=0, help="end by itself after so many seconds (at least 90)")
    parser.add_argument("--json", help="write what happened and when to this file")
    parser.add_argument("--port", type=int, default=9090, help="the collector's port (default 9090; 0: a free one)")
    parser.add_argument("--crash-collector", type=float, default=0, metavar="SECONDS",
                        help="kill -9 the collector so many seconds into the storm and start it again 3 s later")
    parser.add_argument("--keep", action="store_true", help="keep the demo's folder (data, logs)")
    arguments = parser.parse_args()
    if arguments.seconds and arguments.seconds < 90:
        parser.error(f"--for {arguments.seconds:.0f}: the story takes at least 90 s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    story = Story(arguments)
    failures = []
    try:
        story.play()
        story.rest()
    except KeyboardInterrupt:
        story.tell("good night")
    except (StoryError, urllib.error.URLError, OSError) as error:
        failures.append(str(error))
    try:
        if story.traffic and story.cast.collector:
            story.settle_accounts()
    except (StoryError, OSError) as error:
        failures.append(f"the accounts could not be settled: {error}")
    finally:
        story.cast.stop()
    if arguments.seconds:
        failures += story.verdict()
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps({**story.facts, "failures": failures}, indent=2) + "\n")
    for failure in failures:
        print(f"demo: {failure}", file=sys.stderr)
    if failures or arguments.keep:
        print(f"demo: logs are in {story.folder}", file=sys.stderr)
    else:
        shutil.rmtree(story.folder, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
