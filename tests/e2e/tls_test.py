"""TLS on every side, with certificates of deploy/certs/make: callers, services, two sidecars in a row, the collector; live renewal; truncation."""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "certs", "make")


class TlsCaller(hms.RawCaller):
    """A caller that speaks TLS and counts an end without close_notify as what it is."""

    def __init__(self, address, context, name="localhost"):
        plain = socket.create_connection(hms.split_address(address), timeout=hms.PATIENCE)
        self.socket = context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=False)
        self.buffer = b""


class Tls(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.certs = self.folder()
        self.make("shop")

    def make(self, name, *more):
        subprocess.run([MAKE, "-d", self.certs, name, *more], check=True, stdout=subprocess.DEVNULL)

    def tls(self, name=None, **keys):
        own = {"certificate": f"{self.certs}/{name}.pem", "key": f"{self.certs}/{name}.key"} if name else {}
        pairs = {**own, "ca": f"{self.certs}/ca.pem", **keys}
        return "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"

    def context(self, name=None):
        context = ssl.create_default_context(cafile=f"{self.certs}/ca.pem")
        if name:
            context.load_cert_chain(f"{self.certs}/{name}.pem", f"{self.certs}/{name}.key")
        return context

    def config(self, text):
        return self.write(os.path.join(self.folder(), "proxy.yaml"), text)

    def proxy(self, text, *flags):
        return self.start("hms-proxy", "--config", self.config(text), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags)

    def inbound(self, **keys):
        self.origin = self.use(hms.RawOrigin())
        return self.proxy(f"listeners: {{inbound: {{tls: {self.tls('shop', **keys)}}}}}\n", "--app", self.origin.address)

    def metric(self, program, name):
        return hms.prometheus_values(hms.get(program.address("admin"), "/metrics").body.decode()).get(name)


class Inbound(Tls):
    def test_a_caller_speaks_tls_and_the_service_hears_plain_http(self):
        proxy = self.inbound()
        caller = self.use(TlsCaller(proxy.address("inbound"), self.context()))
        body = bytes(range(256)) * 4000
        for number in range(3):
            caller.send(f"POST /{number} HTTP/1.1\r\nHost: shop\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            self.assertEqual(caller.read_reply().status, 200)
        self.assertEqual(len(self.origin.connections), 1)
        head, received = self.origin.requests[2]
        self.assertEqual(received, body)
        self.assertEqual(hms.field(head, "x-forwarded-proto"), "https")

    def test_plain_http_is_told_so_and_garbage_is_counted(self):
        proxy = self.inbound()
        reply = hms.get(proxy.address("inbound"), "/")
        self.assertEqual(reply.status, 400)
        self.assertEqual((reply.header("x-hms-error"), reply.json()["errorType"]), ("bad_request", "bad_request"))
        self.assertIn("https://", reply.json()["error"])
        hms.exchange(proxy.address("inbound"), b"\x00" * 100)
        hms.wait_for(lambda: self.metric(proxy, "hms_proxy_tls_failures_total") == 2)
        self.assertEqual(self.origin.requests, [])

    def test_with_mutual_tls_strangers_are_refused(self):
        self.make("cart")
        self.make("other")
        proxy = self.inbound(verify="required", names='["spiffe://local/cart"]')
        caller = self.use(TlsCaller(proxy.address("inbound"), self.context("cart")))
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(caller.read_reply().status, 200)
        for stranger in (None, "other"):
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                refused = self.use(TlsCaller(proxy.address("inbound"), self.context(stranger)))
                refused.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                refused.socket.recv(1)
        self.assertEqual(len(self.origin.requests), 1)
        proxy.wait_log("a caller was refused by TLS", lambda line: "spiffe://local/other" in line["error"])

    def test_a_list_says_who_may_by_route_and_by_listener(self):
        for name in ("cart", "other"):
            self.make(name)
        self.origin = self.use(hms.RawOrigin())
        config = (f"listeners: {{inbound: {{tls: {self.tls('shop', verify='optional')}, allow: ['spiffe://local/cart']}}}}\n"
                  "routes:\n  - {match: {path: /open}, allow: ['spiffe://local/*']}\n")
        for threads in ("1", "2"):
            proxy = self.proxy(config, "--app", self.origin.address, "--threads", threads)
            for name, path, status in (("cart", "/", 200), ("cart", "/open", 200), ("other", "/", 403), ("other", "/open", 200), (None, "/", 403), (None, "/open", 403)):
                caller = self.use(TlsCaller(proxy.address("inbound"), self.context(name)))
                caller.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                reply = caller.read_reply()
                self.assertEqual((name, path, reply.status, reply.header("x-hms-error")), (name, path, status, "forbidden" if status == 403 else None))
            self.assertEqual(self.metric(proxy, 'hms_proxy_local_replies_total{error="forbidden"}'), 3)

    def test_any_name_of_a_certificate_may_be_listed_for_the_listener_and_for_a_route(self):
        self.make("cart", "first.mesh", "second.test")
        self.origin = self.use(hms.RawOrigin())
        listed = {"first.mesh": True, "second.test": True, "SECOND.test": True, "*.test": True, "spiffe://local/cart": True, "third.test": False, "*.second.test": False, "spiffe://local/second.test": False}
        routes = "".join(f"  - {{match: {{path: /{i}}}, allow: ['{name}']}}\n" for i, name in enumerate(listed))
        proxy = self.proxy(f"listeners: {{inbound: {{tls: {self.tls('shop', verify='required')}}}}}\nroutes:\n{routes}", "--app", self.origin.address)
        caller = self.use(TlsCaller(proxy.address("inbound"), self.context("cart")))
        for i, (name, may) in enumerate(listed.items()):
            caller.send(f"GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            self.assertEqual((name, caller.read_reply().status), (name, 200 if may else 403))
        for name in ("second.test", "third.test"):  # the same by the listener's own list
            proxy = self.inbound(verify="required", names=f'["{name}"]')
            try:
                caller = self.use(TlsCaller(proxy.address("inbound"), self.context("cart")))
                caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                met = caller.read_reply().status == 200
            except (ssl.SSLError, ConnectionError):
                met = False
            self.assertEqual((name, met), (name, listed[name]))

    def test_a_list_on_a_path_holds_however_the_path_is_spelled(self):
        for name in ("boss", "other"):
            self.make(name)
        self.origin = self.use(hms.RawOrigin())
        proxy = self.proxy(f"listeners: {{inbound: {{protocol: http, tls: {self.tls('shop', verify='required')}}}}}\n"
                           "routes:\n  - {match: {path: '/admin/*'}, allow: ['spiffe://local/boss']}\n", "--app", self.origin.address)
        callers = {}

        def call(name, path):
            caller = callers.get(name) or self.use(TlsCaller(proxy.address("inbound"), self.context(name)))
            caller.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            reply = caller.read_reply()
            callers[name] = None if reply.header("connection") == "close" else caller
            return reply

        for path in ("/admin/x", "/%61dmin/x", "/x/../admin/x", "//admin/x", "/./admin/x", "/x/%2e%2E/admin/x", "/admin/../public", "/admin%2e/../admin/x", "/%61dmin/%2e./public"):
            reply = call("other", path)
            self.assertEqual((path, reply.status, reply.header("x-hms-error")), (path, 403, "forbidden"))
            self.assertEqual((path, call("boss", path).status), (path, 200))
            self.assertEqual(self.origin.requests[-1][0].split(b" ")[1].decode(), path)  # sent on as it came
        reached = len(self.origin.requests)
        for path in ("/admin%2fx", "/admin%5Cx", "/admin\\x", "/admin;a=b/x", "/admin%3Ba/x", "/x/..;/admin/x", "/admin%00/x", "/adm%zz"):
            for name in ("other", "boss"):
                reply = call(name, path)
                self.assertEqual((path, reply.status, reply.header("x-hms-error")), (path, 400, "bad_request"))
                self.assertIn("ambiguous_path" if "\\" not in path else "", reply.json()["error"])
        self.assertEqual(len(self.origin.requests), reached)
        for path in ("/public", "/p;v=1/x", "/100%25", "/a%20b", "/.well-known/x", "/administrator"):
            self.assertEqual((path, call("other", path).status), (path, 200))

    def test_a_routes_list_holds_for_a_request_that_comes_in_pieces(self):
        for name in ("cart", "other"):
            self.make(name)
        self.origin = self.use(hms.RawOrigin())
        config = (f"listeners: {{inbound: {{tls: {self.tls('shop', verify='required')}}}}}\ntimeouts: {{detect: 1ms}}\n"
                  "routes:\n  - {match: {path: /admin}, allow: ['spiffe://local/cart']}\n")
        proxy = self.proxy(config, "--app", self.origin.address)
        caller = self.use(TlsCaller(proxy.address("inbound"), self.context("other")))
        caller.send(b"GET")
        # Had the beginning been passed on as no HTTP, the service would have a connection.
        caller.send(b" /admin HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(caller.read_reply().status, 403)
        self.assertEqual(hms.get_json(proxy.address("admin"), "/config")["listeners"]["inbound"]["protocol"], "http")
        code, _, errors = hms.run("hms-proxy", "--config", self.config(config.replace("inbound: {", "inbound: {protocol: tcp, ")), "--check")
        self.assertEqual(code, 2)
        self.assertIn("tcp knows no routes", errors)

    def test_a_list_without_mutual_tls_is_refused(self):
        for listener in ("{allow: ['spiffe://local/cart']}", f"{{allow: ['spiffe://local/cart'], tls: {self.tls('shop')}}}"):
            code, _, errors = hms.run("hms-proxy", "--config", self.config(f"listeners: {{inbound: {listener}}}\n"), "--check")
            self.assertEqual(code, 2)
            self.assertIn("needs listeners.inbound.tls with verify", errors)

    def test_handshakes_and_renewals_on_several_workers(self):
        self.make("cart")
        self.origin = self.use(hms.RawOrigin())
        proxy = self.proxy(f"listeners: {{inbound: {{tls: {self.tls('shop', verify='required')}}}}}\n", "--app", self.origin.address, "--threads", "3")
        replies = []

        def call():
            for _ in range(10):
                caller = TlsCaller(proxy.address("inbound"), self.context("cart"))
                for _ in range(3):
                    caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    replies.append(caller.read_reply().status)
                caller.close()

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        for number in range(3):
            self.make("shop", f"renewed-{number}.example")
        for caller in callers:
            caller.join()
        self.assertEqual(replies, [200] * 120)

    def test_renewed_certificates_are_taken_and_open_connections_go_on(self):
        proxy = self.inbound()
        first = self.use(TlsCaller(proxy.address("inbound"), self.context()))
        self.make("shop", "renewed.example")
        proxy.wait_log("certificates read anew")

        def renewed():
            caller = TlsCaller(proxy.address("inbound"), self.context())
            names = [value for _, value in caller.socket.getpeercert()["subjectAltName"]]
            caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(caller.read_reply().status, 200)
            caller.close()
            return "renewed.example" in names

        hms.wait_for(renewed)
        first.send(b"GET /old HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(first.read_reply().status, 200)

    def test_a_check_reads_the_files(self):
        config = self.config("listeners: {inbound: {tls: {certificate: nowhere.pem, key: nowhere.key}}}\n")
        code, _, errors = hms.run("hms-proxy", "--config", config, "--check")
        self.assertEqual(code, 2)
        self.assertIn("nowhere.pem: cannot be read", errors)


class Upstream(Tls):
    def outbound(self, address, tls):
        return self.proxy(
            f'upstreams: {{claims: {{endpoints: ["{address}"], tls: {tls}, connect_timeout: 10s}}}}\n'
            "routes: [{match: {listener: outbound, host: claims}, upstream: claims}]\n",
            "--outbound", "127.0.0.1:0")

    def ask(self, proxy, target="/"):
        return hms.get(proxy.address("outbound"), target, {"Host": "claims"})

    def test_two_sidecars_in_a_row_know_each_other(self):
        self.make("cart")
        inner = self.inbound(verify="required", names='["spiffe://local/*"]')
        outer = self.outbound(inner.address("inbound"), self.tls("cart", names='["spiffe://local/shop"]'))
        for number in range(5):
            self.assertEqual(self.ask(outer, f"/{number}").status, 200)
        self.assertEqual(len(self.origin.requests), 5)
        self.assertEqual(self.metric(inner, 'hms_proxy_connections_accepted_total{direction="inbound"}'), 1)

    def test_a_service_that_is_not_who_it_should_be_gets_nothing(self):
        inner = self.inbound()
        outer = self.outbound(inner.address("inbound"), self.tls(names='["spiffe://local/claims"]'))
        reply = self.ask(outer)
        self.assertEqual((reply.status, reply.header("x-hms-error")), (502, "connect_failed"))
        self.assertIn(b"expected spiffe://local/claims", reply.body)
        self.assertEqual(self.origin.requests, [])

    def test_a_reply_cut_without_close_notify_is_a_cut_for_the_caller_too(self):
        listener = self.use(socket.create_server(("127.0.0.1", 0)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{self.certs}/shop.pem", f"{self.certs}/shop.key")

        def serve(clean):
            connection = context.wrap_socket(listener.accept()[0], server_side=True)
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")
            if clean:
                with contextlib.suppress(OSError):  # the proxy may close first
                    connection.unwrap()
            connection.close()

        proxy = self.outbound("localhost:%d" % listener.getsockname()[1], self.tls())
        for clean in (True, False):
            server = threading.Thread(target=serve, args=(clean,), daemon=True)
            server.start()
            caller = self.use(hms.RawCaller(proxy.address("outbound")))
            caller.send(b"GET / HTTP/1.1\r\nHost: claims\r\n\r\n")
            if clean:
                self.assertEqual(caller.read_reply().body, b"half of it")
            else:
                with self.assertRaises((AssertionError, OSError, EOFError)):
                    caller.read_reply()
            server.join(hms.PATIENCE)


class Collector(Tls):
    def test_telemetry_and_weights_travel_over_mutual_tls(self):
        self.make("collector")
        config = self.write(os.path.join(self.folder(), "collector.yaml"), f"tls: {self.tls('collector', verify='required')}\n")
        collector = self.start("hms-collector", "--config", config, "--data", self.folder(), "--listen", "127.0.0.1:0", "--otlp-listen", "off")
        origin = self.use(hms.RawOrigin())
        proxy = self.proxy(
            f'collector: {{url: "https://{collector.ready["listen"]}", tls: {self.tls("shop", names="[collector]")}}}\nservice: shop\n',
            "--app", origin.address)
        hms.wait_for(lambda: self.metric(proxy, "hms_proxy_config_stream_connected") == 1)
        self.assertEqual(hms.get(proxy.address("inbound"), "/").status, 200)
        caller = self.use(TlsCaller(collector.ready["listen"], self.context("shop")))

        def told():
            caller.send(b"GET /api/services HTTP/1.1\r\nHost: a\r\n\r\n")
            return b"shop" in caller.read_reply().body

        hms.wait_for(told)


if __name__ == "__main__":
    hms.main()
