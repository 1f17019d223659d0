#!/usr/bin/env python3
"""Rolls a day of spans to the lake and measures it: HMS_BIN=build/release/bin tests/bench/lake.py [--spans 5000000] [--quiet]

Fills a day of four days ago (OTLP protobuf prepared before it is sent: 8 spans a trace, 40 services, 400 routes, six attributes, ids of random bits), then measures the ingest rate of today's spans alone and beside the
roll, the roll's time, the resident memory that it adds, bytes a span in the lake, and traces by id from there. --quiet sends nothing beside the roll, so that what is resident more is the roll's alone. Five million spans take some three minutes. Standard library only.
"""
import argparse
import itertools
import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms
import otlp_load
import store

DAY_NANOS = 86_400_000_000_000
SLICE = 250_000  # spans made at a time


def folder_bytes(path):
    return sum(f.stat().st_size for f in pathlib.Path(path).rglob("*") if f.is_file())


class Steady(threading.Thread):
    """Posts prepared bodies, again and again, as fast as they are taken."""

    def __init__(self, address, bodies, spans_each):
        super().__init__(daemon=True)
        self.address, self.bodies, self.spans_each, self.stopping, self.sent = address, bodies, spans_each, False, 0

    def run(self):
        sender = otlp_load.Sender(hms.split_address(self.address)[1])
        for body in itertools.cycle(self.bodies):
            if self.stopping:
                return
            while sender.post("/v1/traces", body)[0] == 503:
                time.sleep(0.05)
            self.sent += self.spans_each

    def rate(self, seconds):
        """Spans a second for so long."""
        sent, begun = self.sent, time.monotonic()
        time.sleep(seconds)
        return round((self.sent - sent) / (time.monotonic() - begun))


def fill(address, spans, batch, day_start):
    """Sends a day's spans, spread over it; some trace ids."""
    traces = []
    for first in range(0, spans, SLICE):
        bodies, some = store.make_spans(min(SLICE, spans - first), batch, first + 1, day_start + int(first / spans * (DAY_NANOS - 3_600_000_000_000)))
        traces += some
        store.send(address, "/v1/traces", bodies)
    return traces


def roll(program, day):
    """Seconds, and the most that was resident meanwhile (MiB), by step."""
    address, begun, peaks = program.address("listen"), time.monotonic(), {}
    hms.request(address, "POST", f"/ops/lake/roll?day={day}")
    while True:
        answer = hms.get_json(address, "/ops/lake")
        if [d for d in answer["days"] if d["day"] == day]:
            return time.monotonic() - begun, peaks
        step = "send" if answer["step"].startswith("send") else answer["step"]  # which file does not matter
        peaks[step] = max(peaks.get(step, 0), round(store.resident_mib(program.pid)))
        time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=int, default=5_000_000)
    parser.add_argument("--batch", type=int, default=2_000, help="spans a request")
    parser.add_argument("--quiet", action="store_true", help="nothing comes in beside the roll")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="hms-bench-lake-")
    lake = os.path.join(folder, "lake")
    day_start = (time.time_ns() // DAY_NANOS - 4) * DAY_NANOS
    day = time.strftime("%Y-%m-%d", time.gmtime(day_start // 10**9))
    program = hms.Program("hms-collector", "--data", os.path.join(folder, "data"), "--lake", lake, "--listen", "127.0.0.1:0", "--otlp-listen", "off", "--min-free-disk", "0", at_most=300)
    result = {"spans": options.spans}
    try:
        address = program.address("listen")
        traces = fill(address, options.spans, options.batch, day_start)
        today, _ = store.make_spans(100_000, options.batch, 0, time.time_ns())
        sender = Steady(address, today, options.batch)
        sender.start()
        time.sleep(2)
        result["ingest_alone_per_second"] = sender.rate(8)
        result["resident_before_mib"] = round(store.resident_mib(program.pid))
        if options.quiet:
            sender.stopping = True
            sender.join(60)
        sent, used = sender.sent, store.cpu_seconds(program.pid)
        seconds, peaks = roll(program, day)
        sender.stopping = True
        sender.join(60)
        result |= {"roll_seconds": round(seconds, 1), "spans_rolled_per_second": round(options.spans / seconds), "cpu_seconds": round(store.cpu_seconds(program.pid) - used, 1),
                   "resident_more_mib": max(peaks.values()) - result["resident_before_mib"], "resident_mib_by_step": peaks, "ingest_meanwhile_per_second": round((sender.sent - sent) / seconds),
                   "lake_bytes_per_span": round(folder_bytes(lake) / options.spans, 1)}
        result["ingest_ratio"] = round(result["ingest_meanwhile_per_second"] / result["ingest_alone_per_second"], 2)
        targets = [f"/api/traces/{trace}" for trace in traces[:200]]
        times, answers = store.ask(address, targets)
        assert all(len(json.loads(answer)["data"][0]["spans"]) == 8 for answer in answers)
        result["trace_by_id"] = store.percentiles(times)
    finally:
        program.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
