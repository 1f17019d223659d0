"""The load (wrk) and the origin (nginx) of a bench."""
import dataclasses
import os
import pathlib
import subprocess

from processes import LOAD_CPU, free_port, pinned

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass
class Work:
    connections: int
    path: str
    close: bool = False
    body: int = 0
    full_handshakes: bool = False  # by `openssl s_time`: wrk resumes sessions where a proxy lets it
    mode: str = "plain"  # tls: the callers speak it; mtls: two proxies in a row, mutual TLS between them


@dataclasses.dataclass
class Result:
    requests: int
    per_second: float
    p50: float
    p99: float
    errors: int
    cpu_micros: float = 0.0
    rss_mib: float = 0.0
    busy_nanos: int = 0


def run(work, port, seconds):
    # wrk takes whole seconds; shorter windows are for warm-up only.
    if work.full_handshakes:
        return run_handshakes(work, port, max(1, round(seconds)))
    scheme = "https" if work.mode == "tls" else "http"
    environment = {**os.environ, "BODY": str(work.body), "CLOSE": "1" if work.close else ""}
    command = pinned(LOAD_CPU) + ["wrk", "-t1", f"-c{work.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s",
                                  "-s", str(HERE / "wrk.lua"), f"{scheme}://127.0.0.1:{port}{work.path}"]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    line = next(line for line in text.splitlines() if line.startswith("RESULT "))
    requests, micros, p50, p99, errors = map(int, line.split()[1:])
    return Result(requests, requests / micros * 1e6, p50, p99, errors)


def run_handshakes(work, port, seconds):
    """One new connection after the other, each with a full handshake and one request."""
    command = pinned(LOAD_CPU) + ["openssl", "s_time", "-new", "-time", str(seconds), "-connect", f"127.0.0.1:{port}", "-www", work.path]
    text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    count = int(next(line for line in text.splitlines() if "real seconds" in line).split()[0])
    return Result(count, count / seconds, 0, 0, 0)


def start_origin(stage):
    port, folder = free_port(), stage.folder / "origin"
    folder.mkdir()
    for name, size in {"10k": 10 << 10, "100k": 100 << 10, "10m": 10 << 20}.items():
        (folder / name).write_bytes(b"a" * size)
    with open(folder / "1g", "wb") as hole:
        hole.truncate(1 << 30)
    config = folder / "nginx.conf"
    config.write_text(f"""daemon off; worker_processes 1; pid {folder}/pid; error_log stderr warn; worker_rlimit_nofile 20000;
events {{ worker_connections 19000; multi_accept on; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s; sendfile on; tcp_nodelay on; open_file_cache max=100; etag off;
  default_type text/plain; client_max_body_size 0; client_body_buffer_size 1m; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /1k {{ return 200 "{'a' * 1024}"; }}
    location = /up {{ return 200 "ok"; }}
    location / {{ root {folder}; }}
  }}
}}
""")
    return stage.start("origin", LOAD_CPU, ["nginx", "-c", str(config), "-e", "stderr"], port)
