"""The corners of HTTP/1.1 through the running proxy: framing, pipelining, interim replies, upgrades, early replies, aborts, half-close, back-pressure."""

import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

MEBI = 1024 * 1024


class Corners(hms.TestCase):
    def proxy(self, *extra, answer=None, script=None, config=None):
        self.origin = self.use(hms.RawOrigin(answer=answer, script=script))
        if config:
            extra = (*extra, "--config", self.write(os.path.join(self.folder(), "c.yaml"), config))
        self.proxy_process = self.start("hms-proxy", "--app", self.origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--service", "s", *extra)
        return self.proxy_process.address("inbound")

    def caller(self, address):
        return self.use(hms.RawCaller(address))

    def metric(self, name):
        return hms.prometheus_values(hms.get(self.proxy_process.address("admin"), "/metrics").body.decode()).get(name, 0)


class Framing(Corners):
    def test_pipelined_requests_are_answered_in_order(self):
        address = self.proxy(answer=lambda head, body: hms.response(200, head.split(b" ")[1] + b":" + body))
        caller = self.caller(address)
        caller.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\nPOST /p%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy" % (i, i) for i in range(40)))
        for i in range(40):
            self.assertEqual(caller.read_reply().body, b"/%d:" % i)
            self.assertEqual(caller.read_reply().body, b"/p%d:xy" % i)

    def test_a_worker_that_polls_before_it_sleeps_answers_the_same(self):
        caller = self.caller(self.proxy("--spin-us", "200", answer=lambda head, body: hms.response(200, body)))
        for i in range(50):
            self.assertEqual(caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d" % i).read_reply().body, b"%02d" % i)

    def test_a_chunked_reply_is_re_framed_with_its_trailers(self):
        reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n0003;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
        caller = self.caller(self.proxy(answer=reply))
        for _ in range(2):
            caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            head = caller.read_head()
            self.assertIn(b"\r\nTransfer-Encoding: chunked\r\n", head)
            self.assertNotIn(b"ext", head)
            self.assertEqual(caller.read_until(b"\r\n\r\n"), b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n")

    def test_a_reply_that_ends_with_its_connection_becomes_chunked(self):
        caller = self.caller(self.proxy(script=self.close_delimited))
        for _ in range(2):
            reply = caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").read_reply()
            self.assertEqual((reply.status, reply.body, reply.header("transfer-encoding")), (200, b"until close", "chunked"))

    @staticmethod
    def close_delimited(connection):
        connection.read_head()
        connection.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil ")
        connection.send(b"close")

    def test_an_http_1_0_caller_gets_bytes_and_a_close(self):
        address = self.proxy(answer=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        text = hms.exchange(address, b"GET /x HTTP/1.0\r\n\r\n")
        self.assertTrue(text.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertTrue(text.endswith(b"\r\n\r\nabc"))
        self.assertNotIn(b"chunked", text.lower())
        head = self.origin.requests[0][0]
        self.assertTrue(head.startswith(b"GET /x HTTP/1.1\r\n"))
        self.assertTrue(hms.field(head, "host"))

    def test_an_http_1_0_caller_may_keep_its_connection(self):
        caller = self.caller(self.proxy())
        for _ in range(2):
            reply = caller.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").read_reply()
            self.assertEqual(reply.header("connection"), "keep-alive")

    def test_connection_close_of_the_caller_is_answered_and_not_forwarded(self):
        address = self.proxy()
        for _ in range(3):
            text = hms.exchange(address, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertIn(b"\r\nConnection: close\r\n", text)
        self.assertEqual(len(self.origin.connections), 1)

    def test_replies_without_a_body_keep_the_connection_in_step(self):
        def answer(head, _):
            path = head.split(b" ")[1]
            return {b"/head": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
                    b"/204": b"HTTP/1.1 204 No Content\r\n\r\n",
                    b"/304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: x\r\n\r\n",
                    b"/empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}.get(path, hms.response(200, b"end"))

        caller = self.caller(self.proxy(answer=answer))
        head = caller.send(b"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").read_reply(to_head=True)
        self.assertEqual((head.status, head.header("content-length")), (200, "1000"))
        self.assertEqual(caller.send(b"GET /204 HTTP/1.1\r\nHost: a\r\n\r\n").read_reply().status, 204)
        kept = caller.send(b"GET /304 HTTP/1.1\r\nHost: a\r\n\r\n").read_reply()
        self.assertEqual((kept.status, kept.header("content-length")), (304, "77"))
        self.assertEqual(caller.send(b"GET /empty HTTP/1.1\r\nHost: a\r\n\r\n").read_reply().header("content-length"), "0")
        self.assertEqual(caller.send(b"GET /end HTTP/1.1\r\nHost: a\r\n\r\n").read_reply().body, b"end")
        self.assertEqual(len(self.origin.connections), 1)

    def test_bytes_after_a_reply_are_never_anybodys_reply(self):
        address = self.proxy(answer=hms.response(200, b"right") + hms.response(200, b"poison"))
        for _ in range(3):
            self.assertEqual(hms.get(address).body, b"right")
        self.assertEqual(len(self.origin.connections), 3)


class Interim(Corners):
    def test_interim_replies_are_forwarded_but_not_to_http_1_0(self):
        answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + hms.response(200, b"ok")
        address = self.proxy(answer=answer)
        caller = self.caller(address)
        for _ in range(2):
            caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(caller.read_head(), b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
            self.assertEqual(caller.read_reply().body, b"ok")
        self.assertNotIn(b" 103 ", hms.exchange(address, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"))

    def test_an_interim_reply_has_no_content_length(self):
        caller = self.caller(self.proxy(answer=b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 7\r\n\r\n" + hms.response(200, b"done")))
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        early, final = caller.read_reply(), caller.read_reply()
        self.assertEqual((early.status, early.header("link"), early.header("content-length")), (103, "</a>", None))
        self.assertEqual((final.status, final.body), (200, b"done"))

    def test_expect_100_continue_is_the_services_to_answer(self):
        def script(connection):
            head = connection.read_head()
            self.assertEqual(hms.field(head, "expect"), "100-continue")
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = connection.read_body(head)
            connection.send(hms.response(200, body))
            connection.wait_end()

        caller = self.caller(self.proxy(script=script))
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        self.assertEqual(caller.read_head(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(caller.send(b"hello").read_reply().body, b"hello")

    def test_a_final_answer_to_expect_ends_the_connection_unsent_body_and_all(self):
        def script(connection):
            connection.read_head()
            connection.send(hms.response(413, b"too large"))
            connection.wait_end()

        caller = self.caller(self.proxy(script=script))
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        reply = caller.read_reply()
        self.assertEqual((reply.status, reply.body, reply.header("connection")), (413, b"too large", "close"))
        self.assertTrue(caller.closed_by_peer())


class Upgrade(Corners):
    @staticmethod
    def echo(connection):
        head = connection.read_head()
        if hms.field(head, "upgrade") != "websocket":
            connection.send(hms.response(426, b"upgrade", reason="Upgrade Required"))
            connection.wait_end()
            return
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst")
        while True:
            at = connection.position
            if not connection.read_exactly(1):
                break
            piece = connection.received[at:]
            connection.position = len(connection.received)
            connection.send(b"<" + piece + b">")
        connection.send(b"bye")

    REQUEST = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"

    def test_a_websocket_becomes_a_tunnel_with_early_bytes_and_half_close(self):
        caller = self.caller(self.proxy(script=self.echo))
        caller.send(self.REQUEST + b"early")
        head = caller.read_head()
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "))
        self.assertIn(b"\r\nConnection: upgrade\r\n", head)
        self.assertIn(b"\r\nUpgrade: websocket\r\n", head)
        self.assertEqual(caller.read_exactly(5), b"first")
        self.assertEqual(caller.read_exactly(7), b"<early>")
        caller.send(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(caller.read_exactly(20), b"<GET / HTTP/1.1\r\n\r\n>")
        caller.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(caller.read_to_end(), b"bye")
        self.wait_for(lambda: self.metric("hms_proxy_tunnels_open") == 0)
        self.assertEqual(self.metric("hms_proxy_tunnels_total"), 1)

    def test_a_refused_upgrade_stays_http(self):
        caller = self.caller(self.proxy(answer=lambda head, body: hms.response(426 if b"chat" in head else 200, b"no")))
        caller.send(self.REQUEST + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual([caller.read_reply().status for _ in range(2)], [426, 200])

    def test_a_101_that_nobody_asked_for_is_502(self):
        reply = hms.get(self.proxy(answer=b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: evil\r\n\r\n"))
        self.assertEqual((reply.status, reply.header("x-hms-error")), (502, "upstream_protocol"))

    def test_a_large_tunnel_is_held_together_by_back_pressure(self):
        caller = self.caller(self.proxy(script=self.echo))
        caller.send(self.REQUEST)
        caller.read_head()
        caller.read_exactly(5)
        payload = b"z" * (4 * MEBI)
        sender = threading.Thread(target=caller.send, args=(payload,))
        sender.start()
        received = 0
        while received < len(payload):
            received += caller.read_exactly(1).count(b"z") + caller.buffer.count(b"z")
            caller.buffer = b""
        sender.join()


class Early(Corners):
    def test_an_early_refusal_reaches_a_caller_that_is_still_uploading(self):
        def script(connection):
            connection.read_head()
            connection.send(hms.response(413, b"too large", reason="Payload Too Large"))
            connection.shutdown_write()
            connection.wait_end()

        caller = self.caller(self.proxy(script=script))
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000)
        reply = caller.read_reply()
        self.assertEqual((reply.status, reply.body), (413, b"too large"))
        self.assertIsNone(reply.header("x-hms-error"))

    def upload(self, caller, size, closed=None, path=b"/"):
        """Half of the body, the reply, the other half. `closed`: set when the service has ended its connection."""
        caller.send(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path, size))
        caller.send(b"x" * (size // 2))
        reply = caller.read_reply()
        if closed:
            self.assertTrue(closed.wait(hms.PATIENCE))
            closed.clear()
        caller.send(b"x" * (size - size // 2))
        return reply

    def answer_early(self, connection):
        head = connection.read_head()
        connection.send(hms.response(int(head.split(b" ")[1][1:]), b"early"))
        self.bodies.append(connection.read_body(head))
        connection.wait_end()

    def test_a_service_that_answers_early_and_reads_on_gets_all_and_the_caller_goes_on(self):
        self.bodies = []
        caller = self.caller(self.proxy(script=self.answer_early))
        for status in (200, 404, 200):
            reply = self.upload(caller, 100_000, path=b"/%d" % status)
            self.assertEqual((reply.status, reply.body, reply.header("connection")), (status, b"early", None))
        self.wait_for(lambda: len(self.bodies) == 3)
        self.assertEqual(self.bodies, [b"x" * 100_000] * 3)
        self.assertEqual(self.metric("hms_proxy_early_replies_total"), 3)

    def test_a_chunked_upload_answered_early_is_sent_to_its_end(self):
        self.bodies = []
        caller = self.caller(self.proxy(script=self.answer_early))
        for _ in range(2):
            caller.send(b"POST /200 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            self.assertEqual(caller.read_reply().body, b"early")
            caller.send(b"2\r\nde\r\n0\r\n\r\n")
        self.wait_for(lambda: len(self.bodies) == 2)
        self.assertEqual(self.bodies, [b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"] * 2)

    def test_a_service_that_answers_early_and_closes_costs_the_caller_nothing(self):
        for ending in ("fin", "reset"):
            def script(connection):
                connection.read_head()
                connection.send(hms.response(200, b"early"))
                connection.shutdown_write() if ending == "fin" else connection.reset()
                closed.set()

            closed = threading.Event()
            caller = self.caller(self.proxy(script=script))
            for _ in range(3):
                reply = self.upload(caller, 300_000, closed)
                self.assertEqual((reply.status, reply.body, reply.header("connection")), (200, b"early", None), ending)
            self.assertEqual(len(self.origin.connections), 3)

    def test_an_upload_that_nobody_wants_any_more_is_thrown_away_up_to_a_bound(self):
        def script(connection):
            connection.read_head()
            connection.send(hms.response(200, b"early"))
            connection.shutdown_write()

        caller = self.caller(self.proxy(script=script))
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        self.assertEqual(caller.read_reply().body, b"early")
        with self.assertRaises(OSError):
            for _ in range(1_000):
                caller.send(b"x" * 100_000)

    def test_a_second_answer_to_an_upload_is_not_the_next_requests(self):
        """A service that answers without reading the body and then takes the body for a request (CL.0)."""
        def script(connection):
            head = connection.read_head()
            connection.send(hms.response(200, b"early"))
            connection.read_exactly(1_000)
            connection.send(hms.response(200, b"poison"))
            connection.wait_end()

        caller = self.caller(self.proxy(script=script))
        for _ in range(2):
            self.assertEqual(self.upload(caller, 100_000).body, b"early")
        self.assertEqual(len(self.origin.connections), 2)

    def test_a_reply_may_stream_while_the_request_still_does(self):
        def script(connection):
            connection.read_head()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(3):
                piece = connection.read_exactly(3)
                connection.send(b"3\r\n" + piece + b"\r\n")
            connection.send(b"0\r\n\r\n")
            connection.wait_end()

        caller = self.caller(self.proxy(script=script))
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
        caller.read_head()
        for piece in (b"abc", b"def", b"ghi"):
            caller.send(piece)
            self.assertEqual(caller.read_exactly(8), b"3\r\n" + piece + b"\r\n")
        self.assertEqual(caller.read_until(b"0\r\n\r\n"), b"0\r\n\r\n")


class Aborts(Corners):
    def cut_reply(self, text):
        address = self.proxy(script=lambda c: (c.read_head(), c.send(text)))
        caller = self.caller(address)
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with self.assertRaises(ConnectionResetError):
            caller.read_to_end()

    def test_a_cut_reply_is_a_reset_and_never_a_clean_end(self):
        self.cut_reply(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        self.cut_reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc")
        self.assertEqual(self.metric("hms_proxy_replies_cut_total"), 1)

    def test_a_cut_request_is_a_reset_for_the_service(self):
        address = self.proxy(script=lambda c: (c.read_head(), c.wait_end()))
        caller = self.caller(address)
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        self.wait_for(lambda: self.origin.bytes_received().endswith(b"abc"))
        caller.socket.shutdown(socket.SHUT_WR)
        self.wait_for(lambda: self.origin.connections[0].ended == "reset")

    def test_a_malformed_reply_is_502(self):
        for text in (b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\nContent-Length: 0\r\n\r\n",
                     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"v" * 70000 + b"\r\n\r\n"):
            reply = hms.get(self.proxy(answer=text))
            self.assertEqual((reply.status, reply.header("x-hms-error")), (502, "upstream_protocol"), text[:60])

    def test_a_caller_that_leaves_cancels_the_call(self):
        for leave in ("reset", "close"):
            address = self.proxy(script=lambda c: (c.read_head(), c.wait_end()))
            caller = self.caller(address)
            caller.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            self.wait_for(lambda: self.origin.bytes_received().endswith(b"\r\n\r\n"))
            caller.reset() if leave == "reset" else caller.close()
            self.wait_for(lambda: self.origin.connections[0].ended, what=leave)
            self.wait_for(lambda: self.metric("hms_proxy_client_disconnects_total") == 1)
            text = hms.get(self.proxy_process.address("admin"), "/metrics").body.decode()
            self.assertIn('error_type="client_disconnect"', text)
            self.assertNotIn('http_response_status_code="0"', text)

    def test_pipelined_requests_are_all_answered_to_a_caller_that_half_closed(self):
        half_closed = threading.Event()

        def script(connection):
            while True:
                head = connection.read_head()
                if not head:
                    return
                half_closed.wait(hms.PATIENCE)
                connection.send(hms.response(200, head.split(b" ")[1]))

        for last, expected in ((b"", []), (b"GET /cut HT", [400])):
            half_closed.clear()
            caller = self.caller(self.proxy(script=script))
            caller.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(3)) + last)
            caller.socket.shutdown(socket.SHUT_WR)
            self.wait_for(lambda: self.origin.bytes_received().endswith(b"\r\n\r\n"))
            half_closed.set()
            replies = []
            while len(replies) < 3 + len(expected):
                reply = caller.read_reply()
                if reply.status != 100:
                    replies.append(reply)
            self.assertEqual([r.body for r in replies[:3]], [b"/0", b"/1", b"/2"])
            self.assertEqual([r.status for r in replies[3:]], expected)
            self.assertTrue(caller.closed_by_peer())

    def test_a_caller_that_half_closes_still_gets_its_reply(self):
        def script(connection):
            connection.read_head()
            self.half_closed.wait(hms.PATIENCE)
            connection.send(hms.response(200, b"late"))
            connection.wait_end()

        self.half_closed = threading.Event()
        caller = self.caller(self.proxy(script=script))
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        caller.socket.shutdown(socket.SHUT_WR)
        self.half_closed.set()
        reply = caller.read_reply()
        while reply.status == 100:
            reply = caller.read_reply()
        self.assertEqual(reply.body, b"late")
        self.assertTrue(caller.closed_by_peer())


class BackPressure(Corners):
    def test_a_slow_reader_holds_the_service_back_and_memory_stays_small(self):
        size = 200 * MEBI
        sent = []

        def script(connection):
            connection.read_head()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            block = b"x" * MEBI
            for _ in range(size // MEBI):
                connection.send(block)
                sent.append(1)
            connection.wait_end()

        caller = self.caller(self.proxy(script=script))
        hms.get(self.proxy_process.address("admin"), "/healthz")
        before = self.proxy_process.rss_bytes()
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        caller.read_head()
        self.wait_for(lambda: self.metric("hms_proxy_reading_paused_total{side=\"upstream\"}") >= 1)
        self.assertLess(len(sent), size // MEBI)
        count = size - len(caller.buffer)
        while count > 0:
            count -= len(caller.socket.recv(min(count, 1 << 20)))
        self.assertEqual(len(sent), size // MEBI)
        self.assertLess(self.proxy_process.rss_bytes() - before, 4 * MEBI * hms.MEMORY_FACTOR)

    def test_a_slow_service_holds_the_caller_back_and_memory_stays_small(self):
        size = 100 * MEBI
        go = threading.Event()

        def script(connection):
            connection.read_head()
            go.wait(hms.PATIENCE)
            left = size - (len(connection.received) - connection.position)
            while left > 0:
                left -= len(connection.socket.recv(1 << 20))
            connection.send(hms.response(200, b"all"))
            connection.wait_end()

        caller = self.caller(self.proxy(script=script))
        before = self.proxy_process.rss_bytes()
        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)

        def upload():
            block = b"x" * MEBI
            for _ in range(size // MEBI):
                caller.send(block)

        sender = threading.Thread(target=upload)
        sender.start()
        self.wait_for(lambda: self.metric("hms_proxy_reading_paused_total{side=\"downstream\"}") >= 1)
        grown = self.proxy_process.rss_bytes() - before
        go.set()
        sender.join()
        self.assertEqual(caller.read_reply().body, b"all")
        self.assertLess(grown, 4 * MEBI * hms.MEMORY_FACTOR)

    def test_a_reader_that_stops_reading_is_cut(self):
        def script(connection):
            connection.read_head()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MEBI))
            block = b"x" * MEBI
            for _ in range(100):
                connection.send(block)

        caller = self.caller(self.proxy(script=script, config="timeouts: {write_stall: 200ms}\n"))
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.wait_for(lambda: self.metric("hms_proxy_stalled_total{kind=\"reader\"}") == 1)

    def test_idle_callers_are_closed_in_time(self):
        caller = self.caller(self.proxy(config="timeouts: {idle: 200ms}\n"))
        self.assertEqual(caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").read_reply().status, 200)
        self.assertTrue(caller.closed_by_peer())


if __name__ == "__main__":
    hms.main()
