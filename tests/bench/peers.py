"""The proxies of a bench, each with one worker: HAProxy and nginx with their log and a request id, ours with everything on, and floors without.

A side is what a proxy does: `plain`; `tls`, its callers speak TLS 1.3; `mtls-out` and `mtls-in`, the two halves of a mesh hop with mutual TLS between them.
One OpenSSL, one P-256 certificate and no session tickets for all: each handshake is a full one.
"""
import pathlib
import subprocess

from processes import PROXY_CPU, Group, free_port

MAKE_CERTIFICATES = pathlib.Path(__file__).resolve().parents[2] / "deploy/certs/make"


def certificates(stage):
    """ca.pem, localhost.pem, localhost.key, and both.pem for HAProxy."""
    folder = stage.folder / "certificates"
    if not folder.exists():
        subprocess.run([MAKE_CERTIFICATES, "-d", folder, "localhost"], check=True, capture_output=True)
        (folder / "both.pem").write_text((folder / "localhost.pem").read_text() + (folder / "localhost.key").read_text())
    return folder


def haproxy(stage, name, port, target, telemetry, side, accept="", tickets=" no-tls-tickets"):
    keys = certificates(stage) if side != "plain" else None
    bind = {"tls": f" ssl crt {keys}/both.pem{tickets}", "mtls-in": f" ssl crt {keys}/both.pem ca-file {keys}/ca.pem verify required{tickets}"}.get(side, "")
    server = f" ssl crt {keys}/both.pem ca-file {keys}/ca.pem verify required sni str(localhost)" if side == "mtls-out" else ""
    config = stage.folder / f"{name}.cfg"
    log = """
  log ring@access format raw local0
  option httplog
  unique-id-format %[rand(4294967295),hex]%[rand(4294967295),hex]%[rand(4294967295),hex]%[rand(4294967295),hex]
  unique-id-header x-trace
  log-format '%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %ID %{+Q}r'""" if telemetry else ""
    config.write_text(f"""global
  nbthread 1
  maxconn 9900
  tune.ssl.cachesize 0
  ssl-server-verify required
ring access
  format raw
  maxlen 1200
  size 1048576
defaults
  mode http
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}{bind}{accept}{log}
  default_backend out
backend out
  server origin 127.0.0.1:{target}{server}
""")
    return ["haproxy", "-f", str(config), "-db"]


def nginx(stage, name, port, target, telemetry, side):
    keys = certificates(stage) if side != "plain" else None
    ssl = f"ssl_certificate {keys}/localhost.pem; ssl_certificate_key {keys}/localhost.key; ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;"
    listens = f"listen 127.0.0.1:{port} ssl backlog=4096; {ssl}" if side in ("tls", "mtls-in") else f"listen 127.0.0.1:{port} backlog=4096;"
    if side == "mtls-in":
        listens += f" ssl_client_certificate {keys}/ca.pem; ssl_verify_client on;"
    calls = "proxy_pass http://origin;"
    if side == "mtls-out":
        calls = (f"proxy_pass https://origin; proxy_ssl_certificate {keys}/localhost.pem; proxy_ssl_certificate_key {keys}/localhost.key; proxy_ssl_protocols TLSv1.3;"
                 f" proxy_ssl_trusted_certificate {keys}/ca.pem; proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_server_name on;")
    folder = stage.folder / name
    folder.mkdir(exist_ok=True)
    log = f"access_log {folder}/access.log t buffer=64k flush=1s;" if telemetry else "access_log off;"
    request_id = "proxy_set_header x-trace $request_id;" if telemetry else ""
    config = folder / "nginx.conf"
    config.write_text(f"""daemon off; worker_processes 1; pid {folder}/pid; error_log stderr error; worker_rlimit_nofile 20000;
events {{ worker_connections 19000; multi_accept on; }}
http {{
  log_format t '$remote_addr [$time_iso8601] "$request" $status $body_bytes_sent $request_time $upstream_response_time $request_id';
  {log}
  keepalive_requests 1000000000; keepalive_timeout 3600s; tcp_nodelay on; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream origin {{ server 127.0.0.1:{target}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 3600s; }}
  server {{
    {listens}
    location / {{
      {calls} {request_id} proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; proxy_max_temp_file_size 0; proxy_buffers 8 32k; proxy_buffer_size 32k;
    }}
  }}
}}
""")
    return ["nginx", "-c", str(config), "-e", "stderr"]


def hms(stage, name, port, target, telemetry, side, binaries, *flags):
    config = stage.folder / f"{name}.yaml"
    keys = certificates(stage) if side != "plain" else None
    own = f"certificate: {keys}/localhost.pem, key: {keys}/localhost.key, ca: {keys}/ca.pem"
    tls = {"tls": f", tls: {{{own}}}", "mtls-in": f", tls: {{{own}, verify: required}}"}.get(side, "")
    routes = f"""upstreams:
  next: {{endpoints: ["127.0.0.1:{target}"], server_name: localhost, tls: {{{own}}}}}
routes:
  - {{match: {{path: "/*"}}, split: [{{upstream: next, weight: 100}}]}}""" if side == "mtls-out" else ""
    # The collector's address answers nothing, so spans and histograms are encoded and spooled as in an outage: more work than a live collector, not less.
    config.write_text(f"""service: bench
collector: {{url: "http://127.0.0.1:9"}}
listeners:
  inbound: {{address: "127.0.0.1:{port}", app: "127.0.0.1:{target}"{tls}}}
limits: {{connections: 20000}}
timeouts: {{idle: 3600s}}
{"" if telemetry else "telemetry: off"}
{routes}
""")
    return [str(binaries / "hms-proxy"), "--config", str(config), "--admin", "127.0.0.1:0", *flags]


PEERS = {
    "haproxy": lambda *a: haproxy(*a[:4], True, a[4]),
    "haproxy-defer": lambda *a: haproxy(*a[:4], True, a[4], " defer-accept"),
    # Ours gives each caller a ticket, so that the next handshake is a short one: beside a HAProxy that makes none it does more.
    "haproxy-tickets": lambda *a: haproxy(*a[:4], True, a[4], tickets=""),
    "haproxy-quiet": lambda *a: haproxy(*a[:4], False, a[4]),
    "nginx": lambda *a: nginx(*a[:4], True, a[4]),
    "nginx-quiet": lambda *a: nginx(*a[:4], False, a[4]),
    "hms": lambda *a: hms(*a[:4], True, a[4], a[5]),
    "hms-quiet": lambda *a: hms(*a[:4], False, a[4], a[5]),
    "hms-spin": lambda *a: hms(*a[:4], True, a[4], a[5], "--spin-us", "50"),
    "hms-two": lambda *a: hms(*a[:4], True, a[4], a[5], "--threads", "2"),
}


def start(stage, name, origin, binaries, mode="plain", cpu=PROXY_CPU):
    if mode == "mtls":
        inner = start(stage, name, origin, binaries, "mtls-in", cpu)
        outer = start(stage, name, inner, binaries, "mtls-out", cpu)
        return Group([outer, inner])
    port = free_port()
    label = f"{name}-{mode}"
    return stage.start(label, cpu, PEERS[name](stage, label, port, origin.port, mode, binaries), port)
