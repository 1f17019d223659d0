#!/usr/bin/env python3
"""Rolls a day of spans to the lake and measures it: HMS_BIN=build/release/bin tests/bench/lake.py [--spans 2000000]

Fills a day of four days ago (8 spans a trace, 40 services, 400 routes), then measures the ingest rate of today's spans alone and beside the roll, the roll's time, the resident memory
that it adds, bytes a span hot and in the lake, and traces by id from the lake.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

DAY_MILLIS = 86_400_000


def batches(spans, start_millis, span_millis, seed, per_batch=4_000):
    """JSON bodies of /ingest, and the ids of some traces in them."""
    chance = random.Random(seed)
    made, some = 0, []
    while made < spans:
        items = []
        while len(items) < per_batch:
            trace = f"{chance.getrandbits(128):032x}"
            if chance.random() < 0.0005:
                some.append(trace)
            at = start_millis + int((made + len(items)) / spans * span_millis)
            parent = None
            for depth in range(8):
                service, route = chance.randrange(40), chance.randrange(10)
                span = f"{chance.getrandbits(64):016x}"
                items.append(f'{{"type":"trace","payload":{{"traceId":"{trace}","spanId":"{span}",' + (f'"parentId":"{parent}",' if parent else "") +
                             f'"service":"service-{service}","name":"GET /r{route}/{{id}}","start":{at + depth},"durationMs":{chance.expovariate(1 / 40):.3f},"status":"{"error" if chance.random() < 0.01 else "ok"}",'
                             f'"attributes":{{"http.route":"/r{route}/{{id}}","http.request.method":"GET","http.response.status_code":200,"url.path":"/r{route}/{chance.randrange(100000)}"}}}}}}')
                parent = span
        made += len(items)
        yield ("[" + ",".join(items) + "]").encode(), len(items), some


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def folder_bytes(path):
    return sum(f.stat().st_size for f in pathlib.Path(path).rglob("*") if f.is_file())


class Sender(threading.Thread):
    """Posts prepared bodies, again and again, until told to stop."""

    def __init__(self, address, bodies):
        super().__init__(daemon=True)
        self.address, self.bodies, self.stopping, self.sent = address, bodies, False, 0

    def run(self):
        while not self.stopping:
            for body, count, _ in self.bodies:
                reply = hms.request(self.address, "POST", "/ingest", body=body, headers={"content-type": "application/json"})
                assert reply.status == 202, reply
                self.sent += count
                if self.stopping:
                    return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--spans", type=int, default=2_000_000)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="hms-bench-lake-")
    data, lake = os.path.join(folder, "data"), os.path.join(folder, "lake")
    now = int(time.time() * 1000)
    day_start = (now // DAY_MILLIS - 4) * DAY_MILLIS
    day = time.strftime("%Y-%m-%d", time.gmtime(day_start / 1000))
    program = hms.Program("hms-collector", "--data", data, "--lake", lake, "--listen", "127.0.0.1:0", "--otlp-listen", "off", "--min-free-disk", "0")
    result = {"spans": 0}
    try:
        address = program.address("listen")
        some = []
        for body, count, some in batches(options.spans, day_start, DAY_MILLIS, 1):
            reply = hms.request(address, "POST", "/ingest", body=body, headers={"content-type": "application/json"})
            assert reply.status == 202, reply
            result["spans"] += count
        today = list(batches(40_000, now - 600_000, 60_000, 2))
        sender = Sender(address, today)
        sender.start()
        time.sleep(5)
        result["ingest_alone_per_second"] = round(sender.sent / 5)
        before, sent, begun = resident(program.pid), sender.sent, time.monotonic()
        result["resident_before_mib"] = before >> 20
        hms.request(address, "POST", f"/ops/lake/roll?day={day}")
        peak = before
        while not [d for d in hms.get_json(address, "/ops/lake")["days"] if d["day"] == day]:
            peak = max(peak, resident(program.pid))
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        result |= {"roll_seconds": round(seconds, 1), "spans_rolled_per_second": round(result["spans"] / seconds), "resident_more_mib": (peak - before) >> 20,
                   "ingest_meanwhile_per_second": round((sender.sent - sent) / seconds), "lake_bytes_per_span": round(folder_bytes(lake) / result["spans"], 1)}
        sender.stopping = True
        sender.join(30)
        times = []
        for trace in some[:200]:
            begun = time.monotonic()
            found = hms.get_json(address, f"/api/traces/{trace}")["data"][0]
            times.append(time.monotonic() - begun)
            assert len(found["spans"]) == 8
        times.sort()
        result |= {"trace_by_id_p50_ms": round(times[len(times) // 2] * 1000, 1), "trace_by_id_p99_ms": round(times[int(len(times) * 0.99)] * 1000, 1)}
    finally:
        program.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
