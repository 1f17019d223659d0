"""The processes of the demo: the collector, three legacy services in three languages (one of them in two versions), and a sidecar beside each.

Everything listens on 127.0.0.1 and a free port, but for the collector. Each process writes its log to the demo's folder; all are ended by the ids
that were started here.
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent


class StoryError(Exception):
    """The story cannot go on; the text says what was missing."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url, timeout=5.0, method="GET", body=None, headers=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json", **(headers or {})})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=timeout) as reply:
        return reply.read().decode()


def fetch_json(url, **options):
    return json.loads(fetch(url, **options))


class Process:
    """One child: its log file, and the line that says it is ready."""

    def __init__(self, name, command, folder, environment=None):
        self.name, self.command, self.folder = name, command, folder
        self.environment = {**os.environ, **(environment or {})}
        self.log = folder / f"{name}.log"
        self.child = None
        self.start()

    def start(self):
        self.start_offset = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)

    def wait_for_line(self, pick, seconds=20.0):
        """The first value that `pick(line)` gives from the log of this start."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with open(self.log, "rb") as log:
                log.seek(self.start_offset)
                for line in log:
                    if line.endswith(b"\n") and (value := pick(line.decode(errors="replace"))) is not None:
                        return value
            if self.child.poll() is not None:
                raise StoryError(f"{self.name} ended with exit code {self.child.returncode}; see {self.log}:\n{self.tail()}")
            time.sleep(0.02)
        raise StoryError(f"{self.name} was not ready within {seconds:.0f} s; see {self.log}:\n{self.tail()}")

    def tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])

    def stop(self, signal_number=signal.SIGTERM, seconds=15.0):
        if self.child.poll() is None:
            self.child.send_signal(signal_number)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def ready_line(line):
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("msg") == "ready" else None


def listening_port(line):
    return int(line.split()[-1]) if line.startswith("listening on ") else None


class Cast:
    def __init__(self, binaries, folder, port):
        self.binaries, self.folder, self.port = pathlib.Path(binaries).resolve(), folder, port
        self.storm = folder / "storm"
        self.processes = []
        self.sidecars = {}  # name -> admin address
        self.collector = None

    def add(self, name, command, environment=None):
        process = Process(name, command, self.folder, environment)
        self.processes.append(process)
        return process

    # -- the control room

    def start_collector(self, pager_url):
        config = self.folder / "collector.yaml"
        config.write_text(f"notifiers:\n  - {{name: oncall, type: webhook, url: \"{pager_url}\", soc: true}}\n  - {{name: log, type: log}}\n")
        self.collector = self.add("collector", [
            self.binaries / "hms-collector", "--data", self.folder / "data", "--listen", f"127.0.0.1:{self.port}",
            "--otlp-listen", "127.0.0.1:0", "--config", config])
        self.collector_url = "http://" + self.collector.wait_for_line(ready_line)["listen"]
        # A restart must come back where the sidecars look for it.
        self.port = int(self.collector_url.rsplit(":", 1)[1])
        self.collector.command[4] = f"127.0.0.1:{self.port}"
        return self.collector_url

    def crash_collector(self):
        self.collector.child.kill()
        self.collector.child.wait()

    def restart_collector(self):
        self.collector.start()
        self.collector.wait_for_line(ready_line)

    # -- services and sidecars, from the last hop to the first

    def start_service(self, name, command, **environment):
        process = self.add(name, command, {"PORT": "0", "STORM_FILE": str(self.storm), **environment})
        return process.wait_for_line(listening_port)

    def start_sidecar(self, service, app_port, extra_config="", outbound_port=0):
        config = self.folder / f"{service}.sidecar.yaml"
        outbound = f"\n  outbound: {{address: \"127.0.0.1:{outbound_port}\"}}" if outbound_port else ""
        config.write_text(f"""service: {service}
collector: {{url: "{self.collector_url}"}}
listeners:
  inbound: {{address: "127.0.0.1:0", app: "127.0.0.1:{app_port}"}}{outbound}
{extra_config}""")
        process = self.add(f"{service}.sidecar", [self.binaries / "hms-proxy", "--config", config, "--admin", "127.0.0.1:0"])
        ready = process.wait_for_line(ready_line)
        self.sidecars[service] = ready["admin"]
        return ready

    def start_services(self):
        services = HERE / "services"
        store = self.start_service("store", ["perl", services / "store.pl"])
        store_sidecar = self.start_sidecar("store", store)["inbound"]

        claims_outbound, ui_outbound = free_port(), free_port()
        proxied = {"STORE_URL": "http://store:8080", "http_proxy": f"http://127.0.0.1:{claims_outbound}", "no_proxy": ""}
        versions = {v: self.start_service(f"claims-v{v}", [sys.executable, services / "claims.py"], VERSION=v, **proxied) for v in "12"}
        claims_sidecar = self.start_sidecar("claims", versions["1"], f"""upstreams:
  claims-v1: {{endpoints: ["127.0.0.1:{versions['1']}"]}}
  claims-v2: {{endpoints: ["127.0.0.1:{versions['2']}"]}}
  store: {{endpoints: ["{store_sidecar}"]}}
routes:
  - match: {{host: "claims", path: "/claims/{{id}}"}}
    split: [{{upstream: claims-v1, weight: 100}}, {{upstream: claims-v2, weight: 0}}]
  - match: {{host: "store", path: "/documents/{{id}}"}}
    split: [{{upstream: store, weight: 100}}]
""", claims_outbound)["inbound"]

        ui = self.start_service("ui", ["node", services / "ui.mjs"], CLAIMS_ADDRESS=f"127.0.0.1:{ui_outbound}")
        ready = self.start_sidecar("ui", ui, f"""upstreams:
  claims: {{endpoints: ["{claims_sidecar}"]}}
routes:
  - match: {{host: "claims", path: "/claims/{{id}}"}}
    split: [{{upstream: claims, weight: 100}}]
""", ui_outbound)
        return "http://" + ready["inbound"]

    # -- what the sidecars say they did

    def sidecar_metrics(self):
        """Sums of each hms_proxy_ metric over all sidecars, by name and labels as text."""
        totals = {}
        for admin in self.sidecars.values():
            for line in fetch(f"http://{admin}/metrics").splitlines():
                if line.startswith("hms_proxy_"):
                    key, _, value = line.rpartition(" ")
                    totals[key] = totals.get(key, 0.0) + float(value)
        return totals

    def stop_sidecars_and_services(self):
        for process in reversed(self.processes):
            if process is not self.collector and process.name.endswith(".sidecar"):
                process.stop()
        for process in reversed(self.processes):
            if process is not self.collector:
                process.stop()

    def stop(self):
        self.stop_sidecars_and_services()
        if self.collector:
            self.collector.stop()
