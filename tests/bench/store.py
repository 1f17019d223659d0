#!/usr/bin/env python3
"""Spans and log lines into a real collector over its socket: rate per core, bytes on disk, questions, restart after kill -9.

    HMS_BIN=build/release/bin tests/bench/store.py [--spans N] [--logs N] [--batch N] [--keep DIR]

Batches are made before the clock starts: OTLP protobuf as sidecars send it, 8 spans a trace over 40 services and 400 routes, hops of a trace up to 80 ms apart and in
different batches; log lines of about 150 bytes with an id each. "per core" is records by the collector's own CPU time (user and system), so neither the sender's speed nor other
programs count. Standard library only.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import random
import shutil
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

SERVICES = [f"service-{n:02}" for n in range(40)]
ROUTES = [[f"/api/{service[-2:]}/things-{n}/{{id}}" for n in range(10)] for service in range(40) for service in [f"{service:02}"]]


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def text(number, value):
    return field(number, value.encode())


def attribute(key, value):
    any_value = text(1, value) if isinstance(value, str) else b"\x18" + varint(value)
    return text(1, key) + field(2, any_value)


def resource(service):
    return field(1, b"".join(field(1, attribute(key, value)) for key, value in (
        ("service.name", service), ("service.instance.id", service + "-0"), ("service.version", "1.4.2"), ("host.name", "node-" + service[-1]))))


SPAN_ATTRIBUTES = {}


def span_attributes(service, route, status):
    key = (service, route, status)
    if key not in SPAN_ATTRIBUTES:
        SPAN_ATTRIBUTES[key] = b"".join(field(9, attribute(*pair)) for pair in (
            ("http.request.method", "GET"), ("http.route", ROUTES[service][route]), ("http.response.status_code", status), ("url.scheme", "http"), ("network.protocol.version", "1.1"),
            ("server.address", SERVICES[service])))
    return SPAN_ATTRIBUTES[key]


def make_spans(count, per_batch, seed, begin_nanos):
    """Bodies of /v1/traces, and some trace ids. A trace's hops go into the batches of their services, as sidecars send them."""
    chance = random.Random(seed)
    pending = {service: [] for service in range(40)}
    held, bodies, traces = 0, [], []

    def flush():
        nonlocal held
        body = bytearray()
        for service, spans in pending.items():
            if spans:
                body += field(1, resource(SERVICES[service]) + field(2, b"".join(field(2, span) for span in spans)))
                pending[service] = []
        bodies.append(bytes(body))
        held = 0

    at = begin_nanos
    for number in range(count // 8):
        trace = chance.randbytes(16)
        if number % 997 == 0:
            traces.append(trace.hex())
        parent, start = b"", at
        at += 12_000  # about 80,000 traces a second of the clock that the spans tell
        for hop in range(8):
            service, route = chance.randrange(40), chance.randrange(10)
            status = 500 if chance.random() < 0.01 else 200
            identity = chance.randbytes(8)
            length = int(chance.lognormvariate(16.5, 0.8))
            span = (b"\x0a\x10" + trace + b"\x12\x08" + identity + (b"\x22\x08" + parent if parent else b"") + text(5, "GET " + ROUTES[service][route]) +
                    (b"\x30\x02" if hop % 2 == 0 else b"\x30\x03") + b"\x39" + struct.pack("<Q", start) + b"\x41" + struct.pack("<Q", start + length) +
                    span_attributes(service, route, status) + (field(15, b"\x18\x02") if status == 500 else b""))
            pending[service].append(span)
            held += 1
            parent, start = identity, start + chance.randrange(20_000, 10_000_000)
            if held >= per_batch:
                flush()
    flush()
    return bodies, traces


def make_logs(count, per_batch, seed, begin_nanos):
    chance = random.Random(seed)
    bodies, lines, at = [], [], begin_nanos
    for number in range(count):
        at += chance.randrange(2_000, 18_000)
        message = (f"handled order {chance.randbytes(8).hex()} of customer {chance.randrange(10**6):06} in {chance.randrange(1, 900)} ms: status {'accepted' if number % 7 else 'rejected by policy'}, "
                   f"warehouse {chance.choice(('north', 'south', 'east', 'west'))}, retry budget left, cache warm")
        if number % 3_333_333 == 1_111_111 % count:
            message += " quagga"
        lines.append(field(2, b"\x09" + struct.pack("<Q", at) + b"\x10\x09" + field(5, text(1, message))))
        if len(lines) >= per_batch or number + 1 == count:
            bodies.append(field(1, resource(SERVICES[number % 40]) + field(2, b"".join(lines))))
            lines = []
    return bodies


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        parts = file.read().rsplit(")", 1)[1].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def disk_bytes(path):
    return sum(os.path.getsize(os.path.join(path, name)) for name in os.listdir(path) if name.endswith(".sst"))


def send(address, path, bodies, senders=4):
    host, port = hms.split_address(address)

    def work(mine):
        connection = http.client.HTTPConnection(host, port, timeout=120)
        for body in mine:
            while True:
                connection.request("POST", path, body, {"Content-Type": "application/x-protobuf"})
                reply = connection.getresponse()
                reply.read()
                if reply.status == 200:
                    break
                if reply.status != 503:
                    raise RuntimeError(f"{path}: {reply.status}")
                time.sleep(0.05)

    with concurrent.futures.ThreadPoolExecutor(senders) as pool:
        list(pool.map(work, [bodies[n::senders] for n in range(senders)]))


def ask(address, targets):
    """Milliseconds of each question, on one connection."""
    host, port = hms.split_address(address)
    connection = http.client.HTTPConnection(host, port, timeout=120)
    times, answers = [], []
    for target in targets:
        begin = time.perf_counter()
        connection.request("GET", target)
        reply = connection.getresponse()
        body = reply.read()
        times.append((time.perf_counter() - begin) * 1000)
        if reply.status != 200:
            raise RuntimeError(f"{target}: {reply.status} {body[:200]}")
        answers.append(body)
    return times, answers


def percentiles(times):
    times = sorted(times)
    return f"p50 {times[len(times) // 2]:.1f} ms, p99 {times[min(len(times) - 1, len(times) * 99 // 100)]:.1f} ms ({len(times)})"


def start(data):
    return hms.Program("hms-collector", "--data", data, "--listen", "127.0.0.1:0", "--otlp-listen", "off", at_most=300)


def ingest(collector, path, bodies, count, what):
    before, begin = cpu_seconds(collector.pid), time.perf_counter()
    send(collector.address("listen"), path, bodies)
    elapsed, used = time.perf_counter() - begin, cpu_seconds(collector.pid) - before
    print(f"{what}: {count / elapsed:,.0f}/s sent, {used / count * 1e6:.2f} us of CPU each = {count / used:,.0f}/s per core, resident {resident_mib(collector.pid):.0f} MiB", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--spans", type=int, default=2_000_000)
    arguments.add_argument("--logs", type=int, default=2_000_000)
    arguments.add_argument("--batch", type=int, default=2_000, help="records a request")
    arguments.add_argument("--keep", help="data directory, kept")
    options = arguments.parse_args()
    data = options.keep or os.path.join(tempfile.mkdtemp(prefix="hms-bench-"), "data")
    now = time.time_ns()
    begin_nanos = now - now % 86_400_000_000_000 + 60_000_000_000  # all in one day
    collector = start(data)
    rng = random.Random(5)
    traces = []
    for first in range(0, options.spans, 1_000_000):  # by the million: the sender's memory is not the question
        count = min(1_000_000, options.spans - first)
        bodies, some = make_spans(count, options.batch, first, begin_nanos + first * 1_500)
        traces += some
        ingest(collector, "/v1/traces", bodies, count, f"spans {first:,}+")
        del bodies
    if options.spans:
        collector.terminate(120)
        print(f"spans: {disk_bytes(data) / options.spans:.1f} bytes each on disk, index included", flush=True)
        collector = start(data)
        address = collector.address("listen")
        rng.shuffle(traces)
        print("trace by id:", percentiles(ask(address, [f"/api/traces/{t}" for t in traces[:300]])[0]))
        print("the same trace again:", percentiles(ask(address, [f"/api/traces/{traces[0]}"] * 300)[0]))
        window = f"start={(begin_nanos - 10**9) // 1000}&end={(begin_nanos + options.spans * 1_500 + 10**10) // 1000}&limit=20"
        questions = []
        for _ in range(100):
            service, route = rng.randrange(40), rng.randrange(10)
            operation = ("GET " + ROUTES[service][route]).replace("{", "%7B").replace("}", "%7D").replace(" ", "%20")
            questions.append(f"/api/traces?service={SERVICES[service]}&operation={operation}&minDuration=60ms&tags=%7B%22http.response.status_code%22%3A%22500%22%7D&{window}")
        times, answers = ask(address, questions)
        print("search by service, operation, duration and status:", percentiles(times), "found", sum(len(json.loads(a)["data"]) for a in answers))
    before = disk_bytes(data)
    for first in range(0, options.logs, 1_000_000):
        count = min(1_000_000, options.logs - first)
        bodies = make_logs(count, options.batch, first + 1, begin_nanos + first * 10_000)
        ingest(collector, "/v1/logs", bodies, count, f"log lines {first:,}+")
        del bodies
    if options.logs:
        collector.terminate(120)
        print(f"log lines: {(disk_bytes(data) - before) / options.logs:.1f} bytes each on disk, index included", flush=True)
        collector = start(data)
        address = collector.address("listen")
        for what, question in (("a rare word", "quagga"), ("a word that is nowhere", "zebra"), ("an id that is nowhere", "deadbeef00112233"), ("a common word", "rejected")):
            times, answers = ask(address, [f"/ops/logs?q={question}"] * 20)
            print(f"{what}: {percentiles(times)}, found {len(json.loads(answers[0])['logs'])}")
    collector.kill()
    begin = time.perf_counter()
    collector = start(data)
    print(f"ready {time.perf_counter() - begin:.2f} s after a kill -9 with {options.spans + options.logs:,} records, resident {resident_mib(collector.pid):.0f} MiB")
    collector.terminate()
    if not options.keep:
        shutil.rmtree(os.path.dirname(data))


if __name__ == "__main__":
    main()
