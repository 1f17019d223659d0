"""Figures that are not CPU time per request: memory of idle connections, memory under a slow reader, what a second worker brings."""
import pathlib
import socket
import statistics
import subprocess
import sys
import time

import load
import peers
from processes import LOAD_CPU, PROXY_CPU

HERE = pathlib.Path(__file__).resolve().parent
IDLE_CONNECTIONS = 9_500


def idle_memory(stage, origin, args, mode):
    """Resident memory before and with 9,500 idle keep-alive connections, a fresh process each."""
    lines = ["| peer | idle MiB | with connections MiB | KiB a connection |", "|---|--:|--:|--:|"]
    for name in [p for p in args.peers.split(",") if p not in ("hms-two", "hms-spin")]:
        proxy = peers.start(stage, name, origin, pathlib.Path(args.bin), mode)
        before = proxy.resident_mib()
        client = subprocess.Popen([sys.executable, HERE / "idle.py", str(proxy.port), str(IDLE_CONNECTIONS), mode],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if client.stdout.readline().strip() != "HELD":
            raise SystemExit(f"{name}: the connections were not held")
        time.sleep(2)  # buffers that are given back after a while are given back
        held = proxy.resident_mib()
        client.stdin.close()
        client.wait()
        stage.stop(proxy)
        lines.append(f"| {name} | {before:.1f} | {held:.1f} | {(held - before) * 1024 / IDLE_CONNECTIONS:.2f} |")
    return "\n".join(lines) + "\n"


def slow_reader(stage, origin, args):
    """One caller takes 1 GiB and rests 5 ms after each MiB: how much memory does the proxy grow by?"""
    lines = ["| peer | before MiB | most MiB | growth MiB | seconds |", "|---|--:|--:|--:|--:|"]
    for name in [p for p in args.peers.split(",") if p not in ("hms-two", "hms-spin")]:
        proxy = peers.start(stage, name, origin, pathlib.Path(args.bin))
        load.run(load.Work(1, "/10m"), proxy.port, 1)  # what the first large body makes it take is not growth
        before, most, start = proxy.resident_mib(), 0.0, time.monotonic()
        with socket.create_connection(("127.0.0.1", proxy.port)) as reader:
            reader.sendall(b"GET /1g HTTP/1.1\r\nHost: a\r\n\r\n")
            received, seen = 0, 0
            while received < 1 << 30:
                received += len(reader.recv(256 * 1024))
                if received >> 20 != seen:
                    seen = received >> 20
                    time.sleep(0.005)
                    if seen % 16 == 0:
                        most = max(most, proxy.resident_mib())
        stage.stop(proxy)
        lines.append(f"| {name} | {before:.1f} | {most:.1f} | {most - before:.1f} | {time.monotonic() - start:.1f} |")
    return "\n".join(lines) + "\n"


def two_workers(stage, origin, args):
    """Keep-alive 1 KB. Load and origin take turns with the workers on two cores, so requests a second say little; what a worker's
    second is worth does: with k workers the proxy could answer k / (CPU time per request) a second."""
    work = load.Work(64, "/1k")
    one = peers.start(stage, "hms", origin, pathlib.Path(args.bin), cpu=PROXY_CPU)
    two = peers.start(stage, "hms-two", origin, pathlib.Path(args.bin), cpu=f"{LOAD_CPU},{PROXY_CPU}")
    rounds = []
    for proxy in (one, two):
        load.run(work, proxy.port, 1)
    for _ in range(args.rounds):
        micros = []
        for proxy in (one, two):
            before = proxy.cpu_nanos()
            requests = load.run(work, proxy.port, args.seconds).requests
            micros.append((proxy.cpu_nanos() - before) / 1e3 / requests)
        rounds.append(micros)
    stage.stop(one)
    stage.stop(two)
    gain = sorted(2 * a / b for a, b in rounds)
    return (f"| workers | CPU µs per request | worth against one (range) |\n|---|--:|--:|\n"
            f"| 1 | {statistics.median(a for a, _ in rounds):.1f} | 1.00 |\n"
            f"| 2 | {statistics.median(b for _, b in rounds):.1f} | {statistics.median(gain):.2f} ({gain[0]:.2f}–{gain[-1]:.2f}) |\n")
