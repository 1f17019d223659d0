#!/usr/bin/env python3
"""The story of ./dev demo with this build's binaries, watched in Chromium: spike and alert during the storm, the slow trace, the canary's record.

Twice: once undisturbed with a browser, once with a kill -9 of the collector in the middle of the storm, after which both ends' counts must be equal.
Facts are compared, never times: how quick the alert was is measured by ./dev demo on a quiet machine (docs/benchmarks.md).
"""
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ["HMS_BIN"]


class Story:
    """One run of deploy/demo/story.py, its lines as they come."""

    def __init__(self, *arguments):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hms-demo-test-"))
        self.json = self.folder / "out.json"
        command = [sys.executable, ROOT / "deploy/demo/story.py", "--bin", BIN, "--port", "0", "--json", self.json, *map(str, arguments)]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines, self.seen = queue.Queue(), []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.put(line.rstrip())
        self.lines.put(None)

    def wait_for(self, text):
        while True:
            line = self.lines.get(timeout=180)
            if line is None:
                raise AssertionError(f"the story ended before {text!r}:\n" + "\n".join(self.seen))
            self.seen.append(line)
            print(line, flush=True)
            if text in line:
                return line

    def interrupt(self):
        """Ctrl-C: it settles its accounts and ends, as it does when its time is over."""
        self.child.send_signal(signal.SIGINT)

    def finish(self):
        code = self.child.wait(240)
        self.reader.join(10)
        while (line := self.lines.get()) is not None:
            self.seen.append(line)
            print(line, flush=True)
        facts = json.loads(self.json.read_text()) if self.json.exists() else {}
        shutil.rmtree(self.folder, ignore_errors=True)
        return code, facts

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            self.child.wait(60)


def browser(url, stages, **environment):
    """Runs the dashboard's checks; 77 means that there is no browser here."""
    command = ["node", ROOT / "tests/e2e/dashboard/dashboard_test.mjs"]
    pictures = os.environ.get("HMS_SCREENSHOTS", str(pathlib.Path(BIN).parent / "screenshots"))
    run = subprocess.run(command, env={**os.environ, "HMS_COLLECTOR_URL": url, "HMS_STAGE": stages, "HMS_SCREENSHOTS": pictures, **environment},
                         capture_output=True, text=True, timeout=240)
    print(run.stdout, run.stderr, flush=True)
    return run


class Demo(unittest.TestCase):
    def check_facts(self, code, facts):
        self.assertEqual(code, 0, facts.get("failures"))
        self.assertEqual(facts["services"], ["claims", "store", "ui"])
        self.assertGreater(facts["requests_total"], 1000)
        self.assertEqual(facts["requests_failed_by_proxy"], 0)
        self.assertEqual(facts["slowest_hop"], "store")
        self.assertLess(facts["incident_started"], facts["alert_fired"])
        self.assertLess(facts["alert_fired"], facts["alert_resolved"])
        self.assertLess(facts["canary_started"], facts["canary_rolled_back"])
        self.assertLess(facts["canary_share_of_requests"], 0.10)
        self.assertEqual(facts["telemetry_lost"], 0)
        self.assertEqual(facts["telemetry_batches_sent"], facts["telemetry_batches_stored"])

    def test_the_whole_story_seen_in_a_browser(self):
        story = Story("--for", "900")  # it ends when the browser has seen all, however slow the machine
        try:
            url = story.wait_for("the control room is at").split(" is at ")[1].split("/ ")[0].rstrip("/")
            story.wait_for("the storm:")
            during = browser(url, "incident")
            self.assertIn(during.returncode, (0, 77), "the browser did not see the incident")
            story.wait_for("rolled back after")
            after = browser(url, "trace,canary,frame", HMS_CANARY="claims-v2")
            self.assertIn(after.returncode, (0, 77), "the browser did not see the canary")
            story.wait_for("calls met version 2")
            story.interrupt()
            self.check_facts(*story.finish())
        finally:
            story.stop()

    def test_a_killed_collector_loses_nothing(self):
        story = Story("--for", "95", "--crash-collector", "6")
        try:
            code, facts = story.finish()
            self.assertIn("collector_restarted", facts)
            self.check_facts(code, facts)
        finally:
            story.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
