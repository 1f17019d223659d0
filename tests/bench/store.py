#!/usr/bin/env python3
"""Spans and log lines into a real collector over its socket: rate per core, bytes on disk, questions, restart after kill -9.

    HMS_BIN=build/release/bin tests/bench/store.py [--spans N] [--logs N] [--batch N] [--keep DIR] [--phase load|ask|visible|all] [--seconds N]

`load` fills DIR and ends; `ask` puts the questions to what is in it, after a kill -9; `visible` sends 100,000 spans a second for --seconds to a new collector and measures how long a span takes from its POST
until it is found by id and by a search, a log line until it is in the live tail, and what the collector has resident; `all` is load and ask.

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
import threading
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


def settled_bytes(collector, data):
    """After a start, which writes what was in the log alone into files."""
    collector.terminate(120)
    start(data).terminate(120)
    return disk_bytes(data)


def load(options, data):
    begin_nanos = time.time_ns()
    collector, traces = start(data), []
    for first in range(0, options.spans, 1_000_000):  # by the million: the sender's memory is not the question
        count = min(1_000_000, options.spans - first)
        # Of the present, so that the live window counts them, too.
        bodies, some = make_spans(count, options.batch, first, time.time_ns())
        traces += some
        ingest(collector, "/v1/traces", bodies, count, f"spans {first:,}+")
        del bodies
    before = settled_bytes(collector, data)
    if options.spans:
        print(f"spans: {before / options.spans:.1f} bytes each on disk, index included", flush=True)
    collector = start(data)
    for first in range(0, options.logs, 1_000_000):
        count = min(1_000_000, options.logs - first)
        bodies = make_logs(count, options.batch, first + 1, begin_nanos + first * 10_000)
        ingest(collector, "/v1/logs", bodies, count, f"log lines {first:,}+")
        del bodies
    after = settled_bytes(collector, data)
    if options.logs:
        print(f"log lines: {(after - before) / options.logs:.1f} bytes each on disk, index included", flush=True)
    with open(data + ".json", "w", encoding="utf-8") as file:
        json.dump({"begin_nanos": begin_nanos, "end_nanos": time.time_ns(), "spans": options.spans, "logs": options.logs, "traces": traces}, file)


def ask_all(data):
    with open(data + ".json", encoding="utf-8") as file:
        loaded = json.load(file)
    start(data).kill()
    begin = time.perf_counter()
    collector = start(data)
    print(f"ready {time.perf_counter() - begin:.2f} s after a kill -9 with {loaded['spans'] + loaded['logs']:,} records, resident {resident_mib(collector.pid):.0f} MiB")
    address, rng = collector.address("listen"), random.Random(5)
    if loaded["spans"]:
        ask_for_traces(address, loaded, rng)
    if loaded["logs"]:
        for what, question in (("a rare word", "quagga"), ("a word that is nowhere", "zebra"), ("an id that is nowhere", "deadbeef00112233"), ("a common word", "rejected")):
            times, answers = ask(address, [f"/ops/logs?q={question}"] * 20)
            print(f"{what}: first {times[0]:.1f} ms, {percentiles(times[1:])}, found {len(json.loads(answers[0])['logs'])}")
    print(f"resident after the questions {resident_mib(collector.pid):.0f} MiB")
    collector.terminate()


def ask_for_traces(address, loaded, rng):
    traces, begin_nanos = loaded["traces"], loaded["begin_nanos"]
    rng.shuffle(traces)
    print("trace by id, each for the first time:", percentiles(ask(address, [f"/api/traces/{t}" for t in traces[:300]])[0]))
    print("the same hundred traces again and again:", percentiles(ask(address, [f"/api/traces/{t}" for t in traces[:100] * 10])[0]))
    window = f"start={(begin_nanos - 10**9) // 1000}&end={(loaded['end_nanos'] + 10**10) // 1000}&limit=20"
    for what, more in (("service and operation", ""), ("service, operation and duration", "&minDuration=60ms"),
                       ("service, operation, duration and status", "&minDuration=60ms&tags=%7B%22http.response.status_code%22%3A%22500%22%7D")):
        questions = []
        for _ in range(100):
            service, route = rng.randrange(40), rng.randrange(10)
            operation = ("GET " + ROUTES[service][route]).replace("{", "%7B").replace("}", "%7D").replace(" ", "%20")
            questions.append(f"/api/traces?service={SERVICES[service]}&operation={operation}{more}&{window}")
        times, answers = ask(address, questions)
        print(f"search by {what}:", percentiles(times), "found", sum(len(json.loads(a)["data"]) for a in answers))


def probe_span(trace):
    now = time.time_ns()
    span = b"\x0a\x10" + trace + b"\x12\x08" + trace[:8] + text(5, "probe") + b"\x30\x02\x39" + struct.pack("<Q", now) + b"\x41" + struct.pack("<Q", now + 1_000)
    return field(1, resource("probe") + field(2, field(2, span)))


def until_found(connection, target, found):
    while True:
        connection.request("GET", target)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status == 200 and found in body:
            return time.perf_counter()


def measure_visible(options, data):
    """At 100,000 spans a second."""
    collector = start(data)
    address = collector.address("listen")
    bodies, _ = make_spans(200_000, 2_000, 7, time.time_ns())
    ending = threading.Event()

    def send_steadily():
        host, port = hms.split_address(address)
        connection, sent, begin = http.client.HTTPConnection(host, port, timeout=120), 0, time.perf_counter()
        while not ending.is_set():
            connection.request("POST", "/v1/traces", bodies[sent % len(bodies)], {"Content-Type": "application/x-protobuf"})
            connection.getresponse().read()
            sent += 1
            ending.wait(max(0.0, begin + sent * 2_000 / 100_000 - time.perf_counter()))
        print(f"sent {sent * 2_000 / (time.perf_counter() - begin):,.0f} spans a second beside the probes")

    sender = threading.Thread(target=send_steadily)
    sender.start()
    tail = hms.SseReader(address, "/ops/logs/tail?service=probe")
    host, port = hms.split_address(address)
    writer, reader = (http.client.HTTPConnection(host, port, timeout=30) for _ in range(2))
    by_id, by_search, tailed, resident, used = [], [], [], [], cpu_seconds(collector.pid)
    end, begin = time.perf_counter() + options.seconds, time.perf_counter()
    while time.perf_counter() < end:
        trace = random.randbytes(16)
        sent = time.perf_counter()
        post(writer, "/v1/traces", probe_span(trace))
        by_id.append((until_found(reader, f"/api/traces/{trace.hex()}", trace.hex().encode()) - sent) * 1000)
        by_search.append((until_found(reader, "/api/traces?service=probe&limit=1&lookback=1h", trace.hex().encode()) - sent) * 1000)
        mark, sent = trace.hex(), time.perf_counter()
        line = b"\x09" + struct.pack("<Q", time.time_ns()) + b"\x10\x09" + field(5, text(1, mark))
        post(writer, "/v1/logs", field(1, resource("probe") + field(2, field(2, line))))
        tail.wait(lambda event: mark in event["data"])
        tailed.append((time.perf_counter() - sent) * 1000)
        resident.append(resident_mib(collector.pid))
        time.sleep(0.02)
    used, elapsed = cpu_seconds(collector.pid) - used, time.perf_counter() - begin
    ending.set()
    sender.join()
    print("span, POST until found by id:", percentiles(by_id))
    print("span, POST until found by a search:", percentiles(by_search))
    print("log line, POST until in the live tail:", percentiles(tailed))
    print(f"resident: {resident[-1]:.0f} MiB at the end, {max(resident):.0f} MiB at most; {used / elapsed:.2f} cores used")
    collector.terminate(120)


def post(connection, path, body):
    connection.request("POST", path, body, {"Content-Type": "application/x-protobuf"})
    reply = connection.getresponse()
    reply.read()
    if reply.status != 200:
        raise RuntimeError(f"{path}: {reply.status}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--spans", type=int, default=2_000_000)
    arguments.add_argument("--logs", type=int, default=2_000_000)
    arguments.add_argument("--batch", type=int, default=2_000, help="records a request")
    arguments.add_argument("--keep", help="data directory, kept")
    arguments.add_argument("--phase", choices=("load", "ask", "visible", "all"), default="all")
    arguments.add_argument("--seconds", type=int, default=30)
    options = arguments.parse_args()
    data = options.keep or os.path.join(tempfile.mkdtemp(prefix="hms-bench-"), "data")
    if options.phase in ("load", "all"):
        load(options, data)
    if options.phase in ("ask", "all"):
        ask_all(data)
    if options.phase == "visible":
        measure_visible(options, data)
    if not options.keep:
        shutil.rmtree(os.path.dirname(data))


if __name__ == "__main__":
    main()
