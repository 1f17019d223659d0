"""Malformed and hostile requests against the running proxy, with an origin that records the bytes that arrive.

Each refused vector gets its status, `x-hms-error` and a closed connection, and not one byte of it (nor of what is smuggled behind it)
reaches the service. Each accepted one arrives re-framed and exactly once.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def get(fields=b"", line=b"GET / HTTP/1.1", end=b"\r\n"):
    return line + b"\r\nHost: a\r\n" + fields + end


REFUSED = {
    # name: (bytes, status)
    "bare LF lines": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare CR in a value": (get(b"x: a\rb\r\n"), 400),
    "NUL in a value": (get(b"x: a\0b\r\n"), 400),
    "head ended by CRLF CR X": (b"GET / HTTP/1.1\r\nHost: a\r\n\rX" + SMUGGLED, 400),
    "CR before a hidden field": (get(b"x:\rTransfer-Encoding: chunked\r\n"), 400),
    "blank before the colon": (get(b"Content-Length : 5\r\n") + b"hello", 400),
    "blank inside a name": (get(b"Transfer Encoding: chunked\r\n"), 400),
    "empty name": (get(b": v\r\n"), 400),
    "folded line": (get(b"x: a\r\n b\r\n"), 400),
    "folded Content-Length": (get(b"Content-Length:\r\n 5\r\n", b"POST / HTTP/1.1") + b"hello", 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (get(b"Host: b\r\n"), 400),
    "Host with a list": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "Host with user info": (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    "target and Host differ": (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "fragment": (get(line=b"GET /a#b HTTP/1.1"), 400),
    "two blanks": (get(line=b"GET  / HTTP/1.1"), 400),
    "tab in the request line": (get(line=b"GET\t/ HTTP/1.1"), 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "HTTP/2.0": (get(line=b"GET / HTTP/2.0"), 505),
    "HTTP/1.2": (get(line=b"GET / HTTP/1.2"), 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "lower-case version": (get(line=b"GET / http/1.1"), 400),
    "unknown method": (get(line=b"FROBNICATE / HTTP/1.1"), 501),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
    "control character in the target": (get(line=b"GET /\x01 HTTP/1.1"), 400),
    "obs-text in the target": (get(line=b"GET /\xff HTTP/1.1"), 400),
    "CL and TE": (get(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"POST / HTTP/1.1") + b"0\r\n\r\n" + SMUGGLED, 400),
    "TE and CL": (get(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"POST / HTTP/1.1") + b"0\r\n\r\n" + SMUGGLED, 400),
    "two lengths that differ": (get(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"POST / HTTP/1.1") + b"hello!", 400),
    "list of lengths": (get(b"Content-Length: 5, 6\r\n", b"POST / HTTP/1.1") + b"hello!", 400),
    "signed length": (get(b"Content-Length: +5\r\n", b"POST / HTTP/1.1") + b"hello", 400),
    "negative length": (get(b"Content-Length: -5\r\n", b"POST / HTTP/1.1") + b"hello", 400),
    "hex length": (get(b"Content-Length: 0x5\r\n", b"POST / HTTP/1.1") + b"hello", 400),
    "length overflow": (get(b"Content-Length: 18446744073709551621\r\n", b"POST / HTTP/1.1") + b"hello", 400),
    "gzip, chunked": (get(b"Transfer-Encoding: gzip, chunked\r\n", b"POST / HTTP/1.1") + b"0\r\n\r\n", (400, 501)),
    ", chunked": (get(b"Transfer-Encoding: ,chunked\r\n", b"POST / HTTP/1.1") + b"0\r\n\r\n", (400, 501)),
    "xchunked": (get(b"Transfer-Encoding: xchunked\r\n", b"POST / HTTP/1.1") + b"0\r\n\r\n", (400, 501)),
    "chunked twice": (get(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"POST / HTTP/1.1") + b"0\r\n\r\n", (400, 501)),
    "identity then chunked": (get(b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", b"POST / HTTP/1.1") + b"0\r\n\r\n", (400, 501)),
    "vertical tab before chunked": (get(b"Transfer-Encoding: \x0bchunked\r\n", b"POST / HTTP/1.1") + b"0\r\n\r\n", 400),
    "TE on HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    "three leading CRLFs": (b"\r\n\r\n\r\n" + get(), 400),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60, 400),
    "request line too long": (get(line=b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414),
    "head too long": (get(b"".join(b"x%d: " % i + b"v" * 1000 + b"\r\n" for i in range(70))), 431),
    "one field too long": (get(b"x: " + b"v" * 70000 + b"\r\n"), 431),
    "too many fields": (get(b"".join(b"x%d: v\r\n" % i for i in range(140))), 431),
}

CUT_BODIES = {
    "chunk size with a blank": b"5 \r\nhello\r\n0\r\n\r\n",
    "chunk size not hex": b"zz\r\nhello\r\n0\r\n\r\n",
    "chunk size overflow": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "chunk overrun": b"5\r\nhello!\r\n0\r\n\r\n",
    "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "CR X after the size": b"5\rXhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "extension without end": b"5;" + b"a" * 3000 + b"\r\nhello\r\n0\r\n\r\n",
    "1 CR 0 LF": b"1\r0\na\r\n0\r\n\r\n",
    "broken trailer": b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    "trailers too long": b"5\r\nhello\r\n0\r\nx: " + b"v" * 20000 + b"\r\n\r\n",
}


class Attacks(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.origin = self.use(hms.RawOrigin())
        self.proxy = self.start("hms-proxy", "--app", self.origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--service", "target")

    def still_works(self):
        self.assertEqual(hms.get(self.proxy.address("inbound"), "/alive").status, 200)

    def test_malformed_heads_are_refused_and_never_reach_the_service(self):
        self.still_works()  # the port is known to speak HTTP: what does not even look like it is refused as well
        for name, (sent, status) in REFUSED.items():
            with self.subTest(name):
                before = len(self.origin.bytes_received())
                caller = hms.RawCaller(self.proxy.address("inbound"))
                caller.send(sent)
                reply = caller.read_reply()
                self.assertIn(reply.status, status if isinstance(status, tuple) else (status,), name)
                self.assertTrue(reply.header("x-hms-error"), name)
                self.assertEqual(reply.header("connection"), "close", name)
                self.assertEqual(reply.json()["status"], "error")
                self.assertTrue(caller.closed_by_peer(), name)
                caller.close()
                self.assertEqual(len(self.origin.bytes_received()), before, f"{name}: the service received {self.origin.bytes_received()[before:]!r}")
        self.still_works()

    def test_malformed_heads_are_refused_however_they_are_cut_into_reads(self):
        for name in ("bare CR in a value", "folded line", "CL and TE", "two Hosts", "head ended by CRLF CR X"):
            sent, status = REFUSED[name]
            with self.subTest(name):
                caller = hms.RawCaller(self.proxy.address("inbound"))
                try:
                    for byte in sent:
                        caller.send(bytes([byte]))
                except OSError:
                    pass  # refused before the end
                self.assertEqual(caller.read_reply().status, status)
                caller.close()
        self.assertNotIn(b"GET", self.origin.bytes_received())
        self.assertNotIn(b"POST", self.origin.bytes_received())

    def test_a_broken_chunked_body_is_an_abort_for_the_service_and_never_an_end(self):
        for name, body in CUT_BODIES.items():
            with self.subTest(name):
                count = len(self.origin.connections)
                caller = hms.RawCaller(self.proxy.address("inbound"))
                caller.send(get(b"Transfer-Encoding: chunked\r\n", b"POST / HTTP/1.1") + body + SMUGGLED)
                reply = caller.read_reply()
                self.assertIn(reply.status, (400, 431), name)
                self.assertTrue(reply.header("x-hms-error"), name)
                self.assertTrue(caller.closed_by_peer(), name)
                caller.close()
                for connection in self.origin.connections[count:]:
                    self.wait_for(lambda c=connection: c.ended, what=f"{name}: the upstream connection ends")
                    self.assertNotIn(b"0\r\n\r\n", connection.received, name)
                    self.assertNotIn(b"smuggled", connection.received, name)
        self.still_works()

    def test_chunked_bodies_arrive_rewritten_without_extensions(self):
        caller = hms.RawCaller(self.proxy.address("inbound"))
        request = get(b"Transfer-Encoding: Chunked\r\n", b"POST / HTTP/1.1") + b"00005;name=value\r\nhello\r\n006;x\r\n world\r\n0;last\r\nX-Trailer: t\r\nAuthorization: forged\r\n\r\n"
        for _ in range(2):
            self.assertEqual(caller.send(request).read_reply().status, 200)
        for head, body in self.origin.requests:
            self.assertEqual(hms.field(head, "transfer-encoding"), "chunked")
            self.assertIsNone(hms.field(head, "content-length"))
            chunks = (b"b\r\nhello world", b"5\r\nhello\r\n6\r\n world")  # one if it waited for its connection
            self.assertIn(body, [chunk + b"\r\n0\r\nX-Trailer: t\r\n\r\n" for chunk in chunks])
        caller.close()

    def test_a_body_on_a_get_stays_that_requests_body(self):
        caller = hms.RawCaller(self.proxy.address("inbound"))
        caller.send(get(b"Content-Length: %d\r\n" % len(SMUGGLED)) + SMUGGLED + get(line=b"GET /second HTTP/1.1"))
        self.assertEqual([caller.read_reply().status for _ in range(2)], [200, 200])
        self.assertEqual([body for _, body in self.origin.requests], [SMUGGLED, b""])
        self.assertTrue(self.origin.requests[1][0].startswith(b"GET /second "))
        caller.close()

    def test_h2c_is_stripped_and_what_follows_is_http_again(self):
        caller = hms.RawCaller(self.proxy.address("inbound"))
        caller.send(get(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n") + get(line=b"GET /second HTTP/1.1"))
        self.assertEqual([caller.read_reply().status for _ in range(2)], [200, 200])
        for head, _ in self.origin.requests:
            for name in ("upgrade", "http2-settings", "connection"):
                self.assertIsNone(hms.field(head, name))
        caller.close()

    def test_no_value_that_comes_in_breaks_out_of_what_goes_out(self):
        caller = hms.RawCaller(self.proxy.address("inbound"))
        caller.send(get(b'x-trace: "><script>\r\nx-request-id: a"b\\c\r\n', b'GET /%0d%0aSet-Cookie:x=1/"{} HTTP/1.1'.replace(b'"{}', b"q")))
        reply = caller.read_reply()
        self.assertEqual(reply.status, 200)
        self.assertIsNone(reply.header("set-cookie"))
        caller.close()
        metrics = hms.get(self.proxy.address("admin"), "/metrics").body.decode()
        for line in metrics.splitlines():
            self.assertTrue(line.startswith(("#", "http_", "hms_")), line)

    def test_a_trace_text_that_is_not_plain_is_replaced(self):
        for text in (b"a" * 300, b"caf\xc3\xa9", b"tab\there"):
            caller = hms.RawCaller(self.proxy.address("inbound"))
            caller.send(get(b"x-trace: " + text + b"\r\n"))
            reply = caller.read_reply()
            self.assertEqual(reply.status, 200)
            self.assertNotEqual(reply.header("x-trace").encode("latin-1"), text)
            caller.close()

    def test_a_slow_head_is_answered_408_and_closed(self):
        config = self.write(os.path.join(self.folder(), "c.yaml"), "timeouts: {header: 200ms, idle: 300ms}\n")
        proxy = self.start("hms-proxy", "--app", self.origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", config)
        caller = hms.RawCaller(proxy.address("inbound"))
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        reply = caller.read_reply()
        self.assertEqual((reply.status, reply.header("x-hms-error")), (408, "request_timeout"))
        self.assertTrue(caller.closed_by_peer())
        caller.close()
        silent = hms.RawCaller(proxy.address("inbound"))
        self.assertTrue(silent.closed_by_peer())
        silent.close()

    def test_a_body_that_stops_coming_ends_the_request(self):
        config = self.write(os.path.join(self.folder(), "c.yaml"), "timeouts: {body_stall: 200ms}\n")
        origin = self.use(hms.RawOrigin(script=lambda c: (c.read_head(), c.wait_end())))
        proxy = self.start("hms-proxy", "--app", origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", config)
        caller = hms.RawCaller(proxy.address("inbound"))
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        self.assertEqual(caller.read_reply().status, 408)
        self.wait_for(lambda: origin.connections[0].ended == "reset")
        caller.close()

    def test_connections_and_requests_beyond_the_limits_get_503_and_are_counted(self):
        config = self.write(os.path.join(self.folder(), "c.yaml"), "limits: {connections: 2}\n")
        proxy = self.start("hms-proxy", "--app", self.origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", config)
        first = [hms.RawCaller(proxy.address("inbound")) for _ in range(2)]
        for caller in first:
            self.assertEqual(caller.send(get()).read_reply().status, 200)
        third = hms.RawCaller(proxy.address("inbound"))
        reply = third.send(get()).read_reply()
        self.assertEqual((reply.status, reply.header("x-hms-error")), (503, "overloaded"))
        values = hms.prometheus_values(hms.get(proxy.address("admin"), "/metrics").body.decode())
        self.assertEqual(values["hms_proxy_connections_refused_total"], 1)
        for caller in (*first, third):
            caller.close()


if __name__ == "__main__":
    hms.main()
