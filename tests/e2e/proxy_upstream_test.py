"""What hms-proxy does about services that are away, slow, restarting or closing their kept-alive connections; retries; balancing; outbound calls."""

import collections
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms


class Upstream(hms.TestCase):
    def configured(self, text, *extra):
        config = self.write(os.path.join(self.folder(), "c.yaml"), text)
        self.process = self.start("hms-proxy", "--config", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--service", "s", *extra)
        return self.process

    def metric(self, name):
        return hms.prometheus_values(hms.get(self.process.address("admin"), "/metrics").body.decode()).get(name, 0)


class Away(Upstream):
    def test_a_refused_connection_is_502_connect_failed(self):
        proxy = self.start("hms-proxy", "--app", f"127.0.0.1:{hms.free_port()}", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        reply = hms.get(proxy.address("inbound"), "/", {"x-trace": "t-9"})
        self.assertEqual((reply.status, reply.header("x-hms-error"), reply.header("x-trace")), (502, "connect_failed", "t-9"))
        self.assertIn("refused", reply.json()["error"])

    def test_a_refused_upload_is_502_too(self):
        proxy = self.start("hms-proxy", "--app", f"127.0.0.1:{hms.free_port()}", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        self.assertEqual(hms.post(proxy.address("inbound"), "/", b"x" * 1000).status, 502)

    def test_a_connection_that_never_comes_is_504(self):
        # A listener whose backlog is full drops further SYNs.
        full = self.use(__import__("socket").socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = "%s:%d" % full.getsockname()
        fillers = []
        for _ in range(4):
            filler = self.use(__import__("socket").socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        proxy = self.configured(f"listeners: {{inbound: {{app: '{address}'}}}}\ntimeouts: {{connect_loopback: 100ms}}\n")
        reply = hms.get(proxy.address("inbound"))
        self.assertEqual((reply.status, reply.header("x-hms-error")), (504, "connect_timeout"))

    def test_the_app_dies_and_comes_back(self):
        port = hms.free_port()
        origin = hms.RawOrigin(port=port)
        proxy = self.start("hms-proxy", "--app", f"127.0.0.1:{port}", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        caller = self.use(hms.RawCaller(proxy.address("inbound")))
        ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertEqual(caller.send(ask).read_reply().status, 200)
        origin.close()
        reply = caller.send(ask).read_reply()
        self.assertEqual((reply.status, reply.header("x-hms-error")), (502, "connect_failed"))
        self.use(hms.RawOrigin(port=port))
        self.assertEqual(caller.send(ask).read_reply().status, 200)

    def test_a_service_that_closes_without_an_answer_is_502(self):
        origin = self.use(hms.RawOrigin(script=lambda c: c.read_head()))
        proxy = self.start("hms-proxy", "--app", origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        reply = hms.get(proxy.address("inbound"))
        self.assertEqual((reply.status, reply.header("x-hms-error")), (502, "upstream_closed"))
        self.assertEqual(len(origin.connections), 1)

    def test_a_service_that_resets_is_502(self):
        origin = self.use(hms.RawOrigin(script=lambda c: (c.read_head(), c.reset())))
        proxy = self.start("hms-proxy", "--app", origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        reply = hms.post(proxy.address("inbound"), "/", b"x")
        self.assertEqual((reply.status, reply.header("x-hms-error")), (502, "upstream_reset"))

    def test_a_routes_timeout_is_504_and_resets_a_reply_under_way(self):
        def script(connection):
            head = connection.read_head()
            if b"/part" in head:
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            connection.wait_end()

        origin = self.use(hms.RawOrigin(script=script))
        proxy = self.configured(f"listeners: {{inbound: {{app: '{origin.address}'}}}}\nroutes:\n  - timeout: 150ms\n")
        reply = hms.get(proxy.address("inbound"), "/none")
        self.assertEqual((reply.status, reply.header("x-hms-error")), (504, "timeout"))
        caller = self.use(hms.RawCaller(proxy.address("inbound")))
        caller.send(b"GET /part HTTP/1.1\r\nHost: a\r\n\r\n")
        with self.assertRaises(ConnectionResetError):
            caller.read_to_end()
        self.wait_for(lambda: all(c.ended for c in origin.connections))

    def test_no_upstream_has_an_endpoint(self):
        proxy = self.configured("upstreams: {nobody: {endpoints: ['no-such-host.invalid:80']}}\nroutes: [{upstream: nobody}]\n")
        reply = hms.get(proxy.address("inbound"))
        self.assertEqual((reply.status, reply.header("x-hms-error")), (503, "no_endpoint"))


class KeepAlive(Upstream):
    def under_load(self, script):
        origin = self.use(hms.RawOrigin(script=script))
        self.process = self.start("hms-proxy", "--app", origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        # The POSTs may be repeated: what the service's kernel took before its FIN cannot be told from what the service read.
        load = self.use(hms.Load(self.process.address("inbound"), 4, lambda n: ("POST", f"/{n}", {"Idempotency-Key": f"{n}"}, b"body") if n % 2 else ("GET", f"/{n}", {}, None)))
        load.wait_replies(800)
        statuses = load.stop()
        self.assertEqual((list(statuses), load.failures), ([200], []))
        self.assertEqual(origin.errors, [])

    def test_a_service_that_closes_after_each_reply_without_saying_so_never_costs_a_request(self):
        def script(connection):
            head = connection.read_head()
            if head:
                connection.read_body(head)
                connection.send(hms.response(200, b"ok"))
                connection.shutdown_write()  # every reuse is a race with this FIN
                connection.wait_end()

        self.under_load(script)

    def test_a_service_with_a_short_idle_limit_never_costs_a_request(self):
        def script(connection):
            connection.socket.settimeout(0.004)
            while True:
                head = connection.read_head()
                if not head:
                    connection.shutdown_write()
                    connection.socket.settimeout(hms.PATIENCE)
                    connection.wait_end()
                    return
                connection.read_body(head)
                connection.send(hms.response(200, b"ok"))

        self.under_load(script)

    def test_a_post_that_the_service_read_before_it_died_is_never_sent_again(self):
        booked = []

        def script(connection):
            head = connection.read_head()
            connection.read_body(head)
            connection.send(hms.response(200, b"ok"))
            head = connection.read_head()  # the second request is read, and the service ends without a word: FIN
            booked.append((head, connection.read_body(head)))

        origin = self.use(hms.RawOrigin(script=script))
        self.process = self.start("hms-proxy", "--app", origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        caller = self.use(hms.RawCaller(self.process.address("inbound")))
        statuses = [caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").read_reply() for _ in range(2)]
        self.assertEqual([(r.status, r.header("x-hms-error")) for r in statuses], [(200, None), (502, "upstream_closed")])
        self.assertEqual((len(booked), len(origin.connections)), (1, 1))
        self.assertEqual(self.metric('hms_proxy_retries_total{reason="stale"}'), 0)

    def test_a_reset_under_a_post_is_not_repeated_without_an_idempotency_key(self):
        def script(connection):
            head = connection.read_head()
            connection.read_body(head)
            connection.send(hms.response(200, b"ok"))
            head = connection.read_head()
            connection.read_body(head)
            connection.reset()

        origin = self.use(hms.RawOrigin(script=script))
        self.process = self.start("hms-proxy", "--app", origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        for key, expected in (("", 502), ("Idempotency-Key: k\r\n", 200)):
            caller = self.use(hms.RawCaller(self.process.address("inbound")))
            statuses = []
            for _ in range(2):
                caller.send(f"POST / HTTP/1.1\r\nHost: a\r\n{key}Content-Length: 4\r\n\r\nbody".encode())
                statuses.append(caller.read_reply().status)
            self.assertEqual(statuses, [200, expected])
            caller.close()

    def test_the_idle_limit_is_learned_from_keep_alive(self):
        origin = self.use(hms.RawOrigin(answer=hms.response(200, b"ok", [("Connection", "keep-alive"), ("Keep-Alive", "timeout=5")])))
        self.process = self.start("hms-proxy", "--app", origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        self.assertEqual(hms.get(self.process.address("inbound")).status, 200)
        endpoint = hms.get_json(self.process.address("admin"), "/upstreams")["upstreams"][0]["endpoints"][0]
        self.assertEqual(endpoint["idle_limit_ms"], 4000)


class Retries(Upstream):
    def test_another_endpoint_takes_over_when_one_refuses(self):
        origin = self.use(hms.RawOrigin())
        proxy = self.configured(f"upstreams: {{u: {{endpoints: ['127.0.0.1:{hms.free_port()}', '{origin.address}'], balance: round_robin}}}}\nroutes: [{{upstream: u}}]\n")
        for number in range(10):
            self.assertEqual(hms.post(proxy.address("inbound"), f"/{number}", b"body").status, 200)
        self.assertGreaterEqual(self.metric('hms_proxy_retries_total{reason="connect"}'), 4)

    def test_statuses_named_by_the_route_are_retried_for_safe_methods_only(self):
        count = collections.Counter()

        def answer(head, body):
            method = head.split(b" ")[0]
            count[method] += 1
            return hms.response(503 if count[method] % 2 else 200, b"x")

        origin = self.use(hms.RawOrigin(answer=answer))
        proxy = self.configured(f"upstreams: {{u: {{endpoints: ['{origin.address}']}}}}\nroutes: [{{upstream: u, retries: {{attempts: 2, on: [connect, reset, 503], budget: 20%}}}}]\n")
        self.assertEqual(hms.get(proxy.address("inbound")).status, 200)
        self.assertEqual(count[b"GET"], 2)
        reply = hms.post(proxy.address("inbound"), "/", b"x")
        self.assertEqual((reply.status, reply.header("x-hms-error"), count[b"POST"]), (503, None, 1))
        self.assertEqual(hms.request(proxy.address("inbound"), "PUT", "/", None, b"x" * 5000).status, 200)

    def test_a_storm_of_retries_is_bounded_by_the_budget(self):
        origin = self.use(hms.RawOrigin(answer=hms.response(503, b"x")))
        proxy = self.configured(f"upstreams: {{u: {{endpoints: ['{origin.address}']}}}}\nroutes: [{{upstream: u, retries: {{attempts: 3, on: [503], budget: 10%}}}}]\n")
        caller = self.use(hms.RawCaller(proxy.address("inbound")))
        for _ in range(300):
            caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(caller.read_reply().status, 503)
        self.assertGreater(self.metric("hms_proxy_retries_denied_total"), 0)
        self.assertLess(len(origin.requests), 300 * 2)


class Balance(Upstream):
    def shares(self, balance, origins, requests=60):
        endpoints = ", ".join(f"'{origin.address}'" for origin in origins)
        proxy = self.configured(f"upstreams: {{u: {{endpoints: [{endpoints}], balance: {balance}}}}}\nroutes: [{{upstream: u}}]\n")
        load = self.use(hms.Load(proxy.address("inbound"), 4))
        load.wait_replies(requests)
        load.stop()
        self.assertEqual(load.failures, [])
        return [len(origin.requests) for origin in origins]

    def test_round_robin_takes_turns(self):
        shares = self.shares("round_robin", [self.use(hms.RawOrigin()) for _ in range(3)])
        self.assertLess(max(shares) - min(shares), 6)

    def slow_and_fast(self):
        gate = threading.Event()
        slow = self.use(hms.RawOrigin(answer=lambda head, body: (gate.wait(0.05), hms.response(200, b"slow"))[1]))
        return [slow, self.use(hms.RawOrigin())]

    def test_least_request_and_peak_ewma_avoid_the_slow_one(self):
        for balance in ("least_request", "peak_ewma"):
            slow, fast = self.shares(balance, self.slow_and_fast(), 200)
            self.assertGreater(fast, 3 * slow, balance)


class Outbound(Upstream):
    def test_a_call_goes_to_the_host_it_names(self):
        origin = self.use(hms.RawOrigin())
        self.process = self.start("hms-proxy", "--outbound", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--service", "s")
        address = self.process.address("outbound")
        self.assertEqual(hms.get(address, "/a", {"Host": origin.address, "X-Forwarded-For": "9.9.9.9"}).status, 200)
        head = origin.requests[0][0]
        self.assertEqual(hms.field(head, "x-forwarded-for"), "9.9.9.9")
        self.assertTrue(hms.field(head, "via").endswith("-out"))
        caller = self.use(hms.RawCaller(address))
        caller.send(f"GET http://localhost:{origin.port}/b HTTP/1.1\r\nHost: localhost:{origin.port}\r\n\r\n".encode())
        self.assertEqual(caller.read_reply().status, 200)
        self.assertTrue(origin.requests[1][0].startswith(b"GET /b HTTP/1.1\r\n"))
        text = hms.get(self.process.address("admin"), "/metrics").body.decode()
        self.assertIn("http_client_request_duration_seconds_count", text)

    def test_http_proxy_of_a_standard_client_works(self):
        import urllib.request
        origin = self.use(hms.RawOrigin(answer=hms.response(200, b"through")))
        self.process = self.start("hms-proxy", "--outbound", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--service", "s")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": "http://" + self.process.address("outbound")}))
        with opener.open(f"http://{origin.address}/x", timeout=hms.PATIENCE) as reply:
            self.assertEqual(reply.read(), b"through")

    def test_routes_by_host_come_first(self):
        origin = self.use(hms.RawOrigin())
        proxy = self.configured(f"upstreams: {{u: {{endpoints: ['{origin.address}']}}}}\nroutes: [{{match: {{host: claims, path: '/claims/{{id}}', methods: [GET]}}, upstream: u}}]\n", "--outbound", "127.0.0.1:0")
        self.assertEqual(hms.get(proxy.address("outbound"), "/claims/1", {"Host": "Claims:80"}).status, 200)
        text = hms.get(proxy.address("admin"), "/metrics").body.decode()
        self.assertIn('http_route="/claims/{id}"', text)

    def test_names_that_do_not_resolve_and_calls_to_itself(self):
        self.process = self.start("hms-proxy", "--outbound", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--service", "s")
        address = self.process.address("outbound")
        reply = hms.get(address, "/", {"Host": "no-such-host.invalid"})
        self.assertEqual((reply.status, reply.header("x-hms-error")), (502, "resolve_failed"))
        reply = hms.get(address, "/", {"Host": address})
        self.assertEqual((reply.status, reply.header("x-hms-error")), (508, "loop_detected"))
        self.assertEqual(hms.get(self.process.address("inbound")).header("x-hms-error"), "no_route")


if __name__ == "__main__":
    hms.main()
