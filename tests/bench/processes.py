"""Processes of a bench: pinned to a core, measured through /proc, ended by the ids that were started here."""
import os
import pathlib
import shutil
import socket
import subprocess
import time

PROXY_CPU, LOAD_CPU = 1, 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def machine_busy_nanos():
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    idle = int(fields[3]) + int(fields[4])
    return (sum(map(int, fields)) - idle) * 10_000_000


# Whether the programs of a bench come before all others on their cores, where that is allowed (root). It keeps neighbours off during the short
# windows, but two of them that share a core then take turns of 100 ms: on a quiet machine, the normal policy tells more about latencies.
realtime = True


def pinned(cpu):
    command = ["taskset", "-c", str(cpu)]
    if realtime and os.geteuid() == 0 and shutil.which("chrt"):
        command = ["chrt", "-r", "1"] + command
    return command


class Running:
    def __init__(self, child, port):
        self.child, self.port = child, port

    def tree(self):
        """The process and all its descendants."""
        found, todo = [], [self.child.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
                try:
                    todo += map(int, (task / "children").read_text().split())
                except OSError:
                    pass
        return found

    def cpu_nanos(self):
        total = 0
        for pid in self.tree():
            for task in pathlib.Path(f"/proc/{pid}/task").glob("*"):
                try:
                    total += int((task / "schedstat").read_text().split()[0])
                except OSError:
                    pass
        return total

    def resident_mib(self):
        total = 0
        for pid in self.tree():
            try:
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Rss:"):
                        total += int(line.split()[1])
            except OSError:
                pass
        return total / 1024


class Group:
    """Several processes that are measured as one; the first one takes the callers."""

    def __init__(self, members):
        self.members, self.port = members, members[0].port

    def cpu_nanos(self):
        return sum(member.cpu_nanos() for member in self.members)

    def resident_mib(self):
        return sum(member.resident_mib() for member in self.members)


class Stage:
    """Everything that a run starts, and its folder."""

    def __init__(self, folder):
        self.folder, self.children = folder, []
        folder.chmod(0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.terminate()
        for child in reversed(self.children):
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def stop(self, running):
        running.child.terminate()
        running.child.wait(10)
        self.children.remove(running.child)

    def start(self, name, cpu, command, port):
        with open(self.folder / f"{name}.log", "ab") as log:
            child = subprocess.Popen(pinned(cpu) + command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.children.append(child)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return Running(child, port)
            except OSError:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} did not start:\n" + (self.folder / f"{name}.log").read_text()[-2000:])
                time.sleep(0.02)
