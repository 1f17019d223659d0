"""The proxies of a bench, each with one worker: HAProxy and nginx with their log and a request id, ours with everything on, and floors without."""
from processes import PROXY_CPU, free_port


def haproxy(stage, name, port, target, telemetry):
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
  bind 127.0.0.1:{port}{log}
  default_backend out
backend out
  server origin 127.0.0.1:{target}
""")
    return ["haproxy", "-f", str(config), "-db"]


def nginx(stage, name, port, target, telemetry):
    folder = stage.folder / name
    folder.mkdir()
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
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://origin; {request_id} proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; proxy_max_temp_file_size 0; proxy_buffers 8 32k; proxy_buffer_size 32k;
    }}
  }}
}}
""")
    return ["nginx", "-c", str(config), "-e", "stderr"]


def hms(stage, name, port, target, telemetry, binaries):
    config = stage.folder / f"{name}.yaml"
    # The collector's address answers nothing, so spans and histograms are encoded and spooled as in an outage: more work than a live collector, not less.
    config.write_text(f"""service: bench
collector: {{url: "http://127.0.0.1:9"}}
listeners:
  inbound: {{address: "127.0.0.1:{port}", app: "127.0.0.1:{target}"}}
{"" if telemetry else "telemetry: off"}
""")
    return [str(binaries / "hms-proxy"), "--config", str(config), "--admin", "127.0.0.1:0"]


PEERS = {
    "haproxy": lambda *a: haproxy(*a[:4], True),
    "haproxy-quiet": lambda *a: haproxy(*a[:4], False),
    "nginx": lambda *a: nginx(*a[:4], True),
    "nginx-quiet": lambda *a: nginx(*a[:4], False),
    "hms": lambda *a: hms(*a[:4], True, a[4]),
    "hms-quiet": lambda *a: hms(*a[:4], False, a[4]),
}


def start(stage, name, origin, binaries):
    port = free_port()
    return stage.start(name, PROXY_CPU, PEERS[name](stage, name, port, origin.port, binaries), port)
