"""One running binary: its log and output as they come, its end, its memory and descriptors."""

import json
import os
import signal
import subprocess
import threading
import time

from .common import PATIENCE, binary


class Program:
    """One running binary. Collects stderr as log lines (JSON objects, or {"text": line} for anything else) and stdout as lines."""

    def __init__(self, name, *arguments, env=None, cwd=None, wait_ready=True, at_most=PATIENCE):
        self.name = os.path.basename(name)
        path = name if os.path.sep in name else binary(name)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_") and (not k.startswith("HMS_") or k.startswith("HMS_TEST"))}
        environment.update(env or {})
        self.arguments = [path, *map(str, arguments)]
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=cwd)
        self.pid = self.process.pid
        self.log = []     # every stderr line, parsed
        self.output = []  # every stdout line, text
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._collect, args=(self.process.stderr, self._add_log), daemon=True),
            threading.Thread(target=self._collect, args=(self.process.stdout, self._add_output), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self.ready = None
        if wait_ready:
            try:
                self.ready = self.wait_log("ready", at_most=at_most)
            except AssertionError:
                self.kill()
                raise AssertionError(f"{self.name} did not become ready; it said:\n{self.text_of_log()}") from None

    def _collect(self, pipe, add):
        for raw in pipe:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            with self._changed:
                add(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _add_log(self, line):
        try:
            value = json.loads(line)
        except ValueError:
            value = {"text": line}
        self.log.append(value if isinstance(value, dict) else {"text": line})

    def _add_output(self, line):
        self.output.append(line)

    def address(self, listener):
        """A bound address of the ready line: address("inbound") -> "127.0.0.1:43123"."""
        return self.ready[listener]

    def wait_log(self, message=None, where=None, at_most=PATIENCE, since=0):
        """The first log line (index >= since) with that "msg" (exact) for which `where(line)` holds."""
        def found():
            for line in self.log[since:]:
                if (message is None or line.get("msg") == message) and (where is None or where(line)):
                    return line
            return None

        return self._wait(found, f"{self.name} to log {message!r}", at_most)

    def wait_output(self, where, at_most=PATIENCE):
        """The first stdout line for which `where(line)` holds."""
        return self._wait(lambda: next((line for line in self.output if where(line)), None), f"{self.name} to write a line", at_most)

    def _wait(self, found, what, at_most):
        deadline = time.monotonic() + at_most
        with self._changed:
            while True:
                value = found()
                if value:
                    return value
                if self.process.poll() is not None and not any(r.is_alive() for r in self._readers):
                    raise AssertionError(f"{self.name} ended with {self.process.returncode} while waiting for {what}:\n{self.text_of_log()}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"waited {at_most:g} s for {what}:\n{self.text_of_log()}")
                self._changed.wait(min(left, 0.2))

    def text_of_log(self):
        return "\n".join(line["text"] if list(line) == ["text"] else json.dumps(line) for line in self.log[-60:])

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def wait(self, at_most=PATIENCE):
        """Waits for the end; returns the exit code, and all output has been collected."""
        code = self.process.wait(at_most)
        for reader in self._readers:
            reader.join(5)
        return code

    def terminate(self, at_most=PATIENCE):
        """SIGTERM (drains), then waits. Returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(at_most)

    def kill(self):
        """kill -9 by pid."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def close(self):
        """What a test's end does: asks politely twice (a second SIGTERM stops at once), then kills. A sanitizer's finding fails the test."""
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGTERM)
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.kill()
                    raise AssertionError(f"{self.name} did not stop after two SIGTERM:\n{self.text_of_log()}") from None
        self.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        findings = [l["text"] for l in self.log if "text" in l and ("Sanitizer" in l["text"] or "runtime error:" in l["text"] or "invariant broken" in l["text"])]
        if findings:
            raise AssertionError(f"{self.name}: {findings[0]}\n{self.text_of_log()}")

    def rss_bytes(self):
        """Resident memory now."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(name, *arguments, env=None, at_most=PATIENCE):
    """Runs a program to its end: (exit code, stdout text, stderr text)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HMS_", "OTEL_"))}
    environment.update(env or {})
    done = subprocess.run([name if os.path.sep in name else binary(name), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=at_most, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
