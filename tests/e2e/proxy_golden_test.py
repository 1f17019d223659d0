"""hms-proxy as a user meets it first: flags only, one service, one request; and every header rule that is promised."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

UUID7 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
TRACEPARENT = re.compile(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$")


class Proxied(hms.TestCase):
    def proxy(self, *extra, answer=None, script=None, **options):
        self.origin = self.use(hms.RawOrigin(answer=answer, script=script))
        return self.start("hms-proxy", "--app", self.origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *extra, **options)


class GoldenPath(Proxied):
    def test_a_request_reaches_the_service_and_its_reply_the_caller(self):
        proxy = self.proxy(answer=hms.response(200, b"hello", [("Content-Type", "text/plain")]))
        reply = hms.get(proxy.address("inbound"), "/claims/4711?x=1")
        self.assertEqual((reply.status, reply.body, reply.header("content-type")), (200, b"hello", "text/plain"))
        head, _ = self.origin.requests[0]
        self.assertTrue(head.startswith(b"GET /claims/4711?x=1 HTTP/1.1\r\n"), head)

    def test_many_requests_share_one_connection_on_both_sides(self):
        proxy = self.proxy()
        caller = hms.RawCaller(proxy.address("inbound"))
        for number in range(50):
            caller.send(f"GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            self.assertEqual(caller.read_reply().status, 200)
        self.assertEqual(len(self.origin.connections), 1)
        self.assertEqual(len(self.origin.requests), 50)
        caller.close()

    def test_a_post_body_arrives_as_it_was_sent(self):
        proxy = self.proxy()
        body = bytes(range(256)) * 700
        self.assertEqual(hms.post(proxy.address("inbound"), "/x", body).status, 200)
        head, received = self.origin.requests[0]
        self.assertEqual(received, body)
        self.assertEqual(hms.field(head, "content-length"), str(len(body)))

    def test_the_service_name_is_found_by_itself(self):
        proxy = self.proxy()
        self.assertTrue(proxy.ready["service"])
        named = self.proxy(env={"OTEL_SERVICE_NAME": "from-otel"})
        self.assertEqual(named.ready["service"], "from-otel")
        both = self.proxy("--service", "flag", env={"OTEL_SERVICE_NAME": "x", "HMS_SERVICE": "y"})
        self.assertEqual(both.ready["service"], "flag")
        environment = self.proxy(env={"OTEL_SERVICE_NAME": "x", "HMS_SERVICE": "y"})
        self.assertEqual(environment.ready["service"], "y")

    def test_several_workers_serve_one_port(self):
        proxy = self.proxy("--threads", "2")
        for _ in range(20):
            self.assertEqual(hms.get(proxy.address("inbound"), "/").status, 200)
        values = hms.prometheus_values(hms.get(proxy.address("admin"), "/metrics").body.decode())
        self.assertEqual(values['hms_proxy_requests_total{direction="inbound"}'], 20)

    def test_the_access_log_tells_the_request_and_its_timers(self):
        proxy = self.proxy("--access-log", "on", answer=hms.response(201, b"made"))
        hms.post(proxy.address("inbound"), '/claims/7?q="1', b"abc", {"x-trace": "order-77"})
        line = __import__("json").loads(proxy.wait_output(lambda text: "/claims/7" in text))
        self.assertEqual((line["method"], line["status"], line["route"], line["x_trace"]), ("POST", 201, "/claims/{id}", "order-77"))
        self.assertEqual((line["flags"], line["request_bytes"], line["reply_bytes"]), ("-", 3, 4))
        for timer in ("TR", "Tw", "Tc", "Tr", "Ta"):
            self.assertGreaterEqual(line[timer], 0, timer)


class RequestHeaders(Proxied):
    def head_of(self, headers, method="GET", extra=(), body=b""):
        proxy = self.proxy(*extra)
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers)
        hms.exchange(proxy.address("inbound"), f"{method} / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{lines}\r\n".encode() + body)
        return self.origin.requests[0][0]

    def test_a_request_without_a_trace_gets_one_and_the_reply_too(self):
        proxy = self.proxy()
        reply = hms.get(proxy.address("inbound"), "/")
        head = self.origin.requests[0][0]
        trace = hms.field(head, "x-trace")
        self.assertRegex(trace, UUID7)
        self.assertEqual(reply.all("x-trace"), [trace])
        self.assertRegex(hms.field(head, "traceparent"), TRACEPARENT)
        self.assertEqual(hms.field(head, "traceparent")[3:35], trace.replace("-", ""))

    def test_an_x_trace_is_kept_byte_for_byte_both_ways(self):
        for text in ("0190A7E0-1234-7ABC-8DEF-0123456789AB", "4bf92f3577b34da6a3ce929d0e0e4736", "Order #77 is free/text"[:5] + "-77"):
            proxy = self.proxy()
            reply = hms.get(proxy.address("inbound"), "/", {"X-Trace": text})
            self.assertEqual(hms.field(self.origin.requests[0][0], "x-trace"), text)
            self.assertEqual(reply.all("x-trace"), [text])

    def test_x_trace_and_traceparent_are_the_same_128_bits(self):
        head = self.head_of([("x-trace", "0190a7e0-1234-7abc-8def-0123456789ab")])
        self.assertEqual(hms.field(head, "traceparent")[3:35], "0190a7e012347abc8def0123456789ab")

    def test_a_traceparent_is_continued(self):
        head = self.head_of([("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", "vendor=1,other=2")])
        parent = hms.field(head, "traceparent")
        self.assertEqual(parent[:35], "00-4bf92f3577b34da6a3ce929d0e0e4736")
        self.assertNotEqual(parent[36:52], "00f067aa0ba902b7")
        self.assertEqual(hms.field(head, "tracestate"), "vendor=1,other=2")
        self.assertEqual(hms.field(head, "x-trace").replace("-", "").lower(), "4bf92f3577b34da6a3ce929d0e0e4736")

    def test_a_broken_traceparent_is_replaced_and_its_tracestate_dropped(self):
        head = self.head_of([("traceparent", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"), ("tracestate", "vendor=1")])
        self.assertRegex(hms.field(head, "traceparent"), TRACEPARENT)
        self.assertNotIn("0" * 32, hms.field(head, "traceparent"))
        self.assertIsNone(hms.field(head, "tracestate"))

    def test_b3_is_read_and_written_when_it_came_in(self):
        head = self.head_of([("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")])
        self.assertEqual(hms.field(head, "b3")[:32], "4bf92f3577b34da6a3ce929d0e0e4736")
        self.assertEqual(hms.field(head, "traceparent")[3:35], "4bf92f3577b34da6a3ce929d0e0e4736")
        self.assertIn("00f067aa0ba902b7", hms.field(head, "b3"))
        head = self.head_of([("X-B3-TraceId", "4bf92f3577b34da6a3ce929d0e0e4736"), ("X-B3-SpanId", "00f067aa0ba902b7"), ("X-B3-Sampled", "1")])
        self.assertEqual(hms.field(head, "x-b3-traceid"), "4bf92f3577b34da6a3ce929d0e0e4736")
        self.assertEqual(hms.field(head, "x-b3-parentspanid"), "00f067aa0ba902b7")
        head = self.head_of([])
        self.assertIsNone(hms.field(head, "b3"))
        self.assertIsNone(hms.field(head, "x-b3-traceid"))

    def test_x_request_id_is_passed_on_or_added(self):
        self.assertEqual(hms.field(self.head_of([("X-Request-Id", "abc")]), "x-request-id"), "abc")
        self.assertRegex(hms.field(self.head_of([]), "x-request-id"), UUID7)

    def test_forwarded_fields_of_callers_are_not_trusted(self):
        head = self.head_of([("X-Forwarded-For", "6.6.6.6"), ("x-forwarded-proto", "https"), ("X-Forwarded-Host", "evil"), ("Forwarded", "for=6.6.6.6")])
        self.assertNotIn(b"6.6.6.6", head)
        self.assertNotIn(b"evil", head)
        self.assertEqual(hms.field(head, "x-forwarded-for"), "127.0.0.1")
        self.assertEqual(hms.field(head, "x-forwarded-proto"), "http")
        self.assertEqual(hms.field(head, "x-forwarded-host"), "shop")

    def test_trusted_forwarded_fields_are_appended_to(self):
        config = self.write(os.path.join(self.folder(), "c.yaml"), "trust_forwarded: true\n")
        head = self.head_of([("X-Forwarded-For", "10.1.1.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "front")], extra=("--config", config))
        self.assertEqual(hms.field(head, "x-forwarded-for"), "10.1.1.1, 127.0.0.1")
        self.assertEqual(hms.field(head, "x-forwarded-proto"), "https")
        self.assertEqual(hms.field(head, "x-forwarded-host"), "front")

    def test_via_names_the_proxy_and_keeps_what_came(self):
        head = self.head_of([("Via", "1.0 fred")])
        vias = [value for key, value in hms.head_fields(head) if key.lower() == "via"]
        self.assertEqual(vias[0], "1.0 fred")
        self.assertRegex(vias[1], r"^1\.1 hms-[0-9a-f]{8}-in$")

    def test_a_request_that_comes_back_to_the_same_proxy_is_refused_508(self):
        port = hms.free_port()
        proxy = self.start("hms-proxy", "--app", f"127.0.0.1:{port}", "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0")
        reply = hms.get(proxy.address("inbound"), "/")
        self.assertEqual((reply.status, reply.header("x-hms-error")), (508, "loop_detected"))

    def test_hop_by_hop_fields_and_nominated_ones_are_removed(self):
        head = self.head_of([("Connection", "keep-alive, X-Secret, content-length, host, te"), ("X-Secret", "1"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"),
                             ("TE", "trailers, deflate"), ("Content-Length", "0"), ("x-hms-error", "spoofed"), ("HTTP2-Settings", "AAA"), ("Upgrade", "h2c")])
        names = [key.lower() for key, _ in hms.head_fields(head)]
        for gone in ("x-secret", "keep-alive", "proxy-connection", "x-hms-error", "http2-settings", "upgrade"):
            self.assertNotIn(gone, names)
        self.assertEqual(names.count("host"), 1)
        self.assertEqual(hms.field(head, "content-length"), "0")
        self.assertEqual(hms.field(head, "te"), "trailers")

    def test_max_forwards_counts_down_for_options_and_trace_and_ends_here_at_0(self):
        for method, sent, received in (("OPTIONS", "3", "2"), ("TRACE", "1", "0"), ("GET", "3", "3"), ("OPTIONS", "many", "many")):
            self.assertEqual((method, hms.field(self.head_of([("max-forwards", sent)], method), "max-forwards")), (method, received))
        proxy = self.proxy()
        for method, status in (("OPTIONS", 501), ("TRACE", 501), ("GET", 200)):
            self.assertEqual((method, hms.request(proxy.address("inbound"), method, "/", {"Max-Forwards": "0"}).status), (method, status))
        self.assertEqual(len(self.origin.requests), 1)

    def test_order_case_and_duplicates_stay(self):
        sent = [("X-One", "1"), ("aCCept", "*/*"), ("x-one", "2"), ("Cookie", "a=b"), ("X-Empty", ""), ("Cookie", "c=d")]
        received = hms.head_fields(self.head_of(sent))
        self.assertEqual([pair for pair in received if pair in sent], sent)

    def test_an_absolute_target_becomes_a_path_and_its_host_the_host(self):
        proxy = self.proxy()
        hms.exchange(proxy.address("inbound"), b"GET http://shop.example:81/a?b HTTP/1.1\r\nHost: shop.example:81\r\nConnection: close\r\n\r\n")
        head = self.origin.requests[0][0]
        self.assertTrue(head.startswith(b"GET /a?b HTTP/1.1\r\n"))
        self.assertEqual(hms.field(head, "host"), "shop.example:81")


    def test_an_https_target_that_came_in_clear_is_never_sent_on_in_clear(self):
        proxy = self.proxy("--outbound", "127.0.0.1:0")
        for listener in ("inbound", "outbound"):
            answer = hms.exchange(proxy.address(listener), b"POST https://127.0.0.1/pay HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret\r\nContent-Length: 2\r\n\r\nhi")
            self.assertIn(b" 501 ", answer.split(b"\r\n", 1)[0] + b" ")
            self.assertIn(b"x-hms-error: not_implemented", answer)
        self.assertEqual(len(self.origin.requests), 0)


class ReplyHeaders(Proxied):
    def test_the_reply_is_the_services_own_but_for_hop_by_hop_fields(self):
        answer = (b"HTTP/1.1 201 Created At Last\r\nSet-Cookie: a=1\r\nX-Mixed-Case: yes\r\nSet-Cookie: b=2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
                  b"Keep-Alive: timeout=5\r\nx-trace: not-the-services-business\r\nx-hms-error: fake\r\nContent-Length: 2\r\n\r\nok")
        proxy = self.proxy(answer=answer)
        caller = hms.RawCaller(proxy.address("inbound"))
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\nx-trace: t-1\r\n\r\n")
        head = caller.read_head()
        self.assertTrue(head.startswith(b"HTTP/1.1 201 Created At Last\r\nSet-Cookie: a=1\r\nX-Mixed-Case: yes\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n"), head)
        reply = hms.Reply(*hms.parse_reply_head(head), caller.read_exactly(2))
        self.assertEqual(reply.all("x-trace"), ["t-1"])
        for gone in ("x-hop", "keep-alive", "x-hms-error"):
            self.assertEqual(reply.all(gone), [])
        caller.close()


class AdminInterface(Proxied):
    def test_every_promised_path_answers(self):
        proxy = self.proxy("--service", "claims")
        admin = proxy.address("admin")
        for number in range(3):
            hms.get(proxy.address("inbound"), f"/claims/{number}")
        self.assertEqual(hms.get(admin, "/healthz").status, 200)
        self.assertEqual(hms.get(admin, "/readyz").status, 200)
        self.assertEqual(hms.get_json(admin, "/config")["service"], "claims")
        self.assertEqual(hms.get_json(admin, "/routes")["learned"], ["/claims/{id}"])
        app = hms.get_json(admin, "/upstreams")["upstreams"][0]
        self.assertEqual((app["name"], app["endpoints"][0]["address"], app["endpoints"][0]["requests"]), ("app", self.origin.address, 3))
        text = hms.get(admin, "/metrics").body.decode()
        self.assertIn('http_server_request_duration_seconds_count{service_name="claims",http_request_method="GET",http_route="/claims/{id}",http_response_status_code="200"', text)
        openmetrics = hms.get(admin, "/metrics", {"Accept": "application/openmetrics-text"})
        self.assertTrue(openmetrics.body.endswith(b"# EOF\n"))
        self.assertIn("openmetrics", openmetrics.header("content-type"))

    def test_what_changes_something_is_a_post(self):
        admin = self.proxy().address("admin")
        for path in ("/drain", "/reload", "/loglevel?level=debug"):
            reply = hms.get(admin, path)
            self.assertEqual((reply.status, reply.header("allow")), (405, "POST"), path)
        self.assertEqual(hms.post(admin, "/loglevel?level=debug", b"").status, 200)
        self.assertEqual(hms.post(admin, "/loglevel?level=loud", b"").status, 400)
        self.assertEqual(hms.post(admin, "/reload", b"").status, 200)
        self.assertEqual(hms.get(admin, "/nothing").status, 404)

    def test_secrets_are_masked(self):
        config = self.write(os.path.join(self.folder(), "c.yaml"), "resource: {api.token: s3cret, k8s.namespace.name: shop}\ncollector: {url: 'http://127.0.0.1:9/?token=s3cret'}\n")
        text = hms.get(self.proxy("--config", config).address("admin"), "/config").body.decode()
        self.assertNotIn("s3cret", text)
        self.assertIn("shop", text)


if __name__ == "__main__":
    hms.main()
