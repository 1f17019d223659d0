"""What every part of the harness uses: patience, waiting, addresses, binaries, and the lines of a test that ./dev prints."""

import os
import shutil
import socket
import sys
import time
import unittest

SANITIZED = any(name in os.environ.get("HMS_BIN", "").split(os.sep) for name in ("asan", "tsan"))
MEMORY_FACTOR = 4 if SANITIZED else 1  # how much more a program takes under a sanitizer
# Generous: sanitizer builds on a busy two-core machine. Reached only by a test that fails.
PATIENCE = float(os.environ.get("HMS_TEST_PATIENCE", "30"))


def binary(name):
    """Path of a program under $HMS_BIN."""
    folder = os.environ.get("HMS_BIN")
    if not folder:
        raise RuntimeError("HMS_BIN is not set: the build's bin directory, for example build/release/bin")
    path = os.path.join(folder, name)
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"{path} is not an executable: build the target {name} first")
    return path


def unpacked(package, program):
    """A peer that `./dev` unpacked into build/deps (it must not run as a system service), or the installed one; None if there is neither."""
    ours = os.path.join(os.path.dirname(__file__), "..", "..", "..", "build", "deps", package, "usr", "bin", program)
    return os.path.abspath(ours) if os.access(ours, os.X_OK) else shutil.which(program)


def wait_for(condition, at_most=PATIENCE, what=None):
    """Calls `condition` until it gives something true and returns that; AssertionError after `at_most` seconds."""
    deadline = time.monotonic() + at_most
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not become true within {at_most:g} s: {what or condition}")
        time.sleep(pause)  # polling interval, not synchronisation
        pause = min(pause * 1.5, 0.05)


def split_address(address):
    """"127.0.0.1:8080" or ("127.0.0.1", 8080) -> ("127.0.0.1", 8080)."""
    if isinstance(address, (tuple, list)):
        return address[0], int(address[1])
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def free_port():
    """A port that was free a moment ago (only for what cannot bind port 0 itself)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def prometheus_values(text):
    """Prometheus text as {'name{labels}': value}."""
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values


def report(line):
    """A finding worth a line beside "Passed": printed, and shown by ./dev test below the test's own line."""
    print(line)
    path = os.environ.get("HMS_TEST_REPORT")
    if path:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            out.write(line + "\n")


def main():
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[1:]])
