"""Raw TCP and protocol detection: services that speak first, bytes that are not HTTP, TLS that is not ours; nobody waits; what was seen is remembered."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

MAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "certs", "make")
PORTS = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
MEBI = 1024 * 1024


class Raw(hms.TestCase):
    def proxy(self, *flags, script=None, app=None, config=None):
        if app is None:
            self.origin = self.use(hms.RawOrigin(script=script) if script else hms.RawOrigin())
            app = self.origin.address
        if config:
            flags = (*flags, "--config", self.write(os.path.join(self.folder(), "c.yaml"), config))
        self.process = self.start("hms-proxy", "--app", app, *PORTS, *flags)
        return self.process

    def caller(self):
        return self.use(hms.RawCaller(self.process.address("inbound")))

    def metric(self, name):
        return hms.prometheus_values(hms.get(self.process.address("admin"), "/metrics").body.decode()).get(name, 0)

    def learned(self, protocol):
        return self.process.wait_log("protocol learned", lambda line: line["protocol"] == protocol)


class ServiceFirst(Raw):
    @staticmethod
    def mail(connection):
        connection.send(b"220 mail ready\r\n")
        line = b""
        while not line.endswith(b"\r\n"):
            byte = connection.read_exactly(1)
            if not byte:
                return
            line += byte
        connection.send(b"250 you said " + line)
        connection.wait_end()
        connection.send(b"221 bye\r\n")

    def test_a_service_that_speaks_first_is_heard_at_once(self):
        # Nothing that would help: were anybody to wait for a timeout, the test would.
        self.proxy(script=self.mail, config="timeouts: {header: 1h, detect: 10s}\n")
        for _ in range(3):
            caller = self.caller()
            self.assertEqual(caller.read_until(b"\r\n"), b"220 mail ready\r\n")
            self.assertEqual(caller.send(b"EHLO me\r\n").read_until(b"\r\n"), b"250 you said EHLO me\r\n")
            caller.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(caller.read_to_end(), b"221 bye\r\n")
        self.learned("tcp")
        hms.wait_for(lambda: self.metric('hms_proxy_tcp_closed_total{end="clean"}') == 3)
        self.assertEqual(self.metric('hms_proxy_tcp_connections_total{direction="inbound",protocol="tcp"}'), 3)
        self.assertEqual(self.metric('hms_proxy_tcp_connections_open{direction="inbound"}'), 0)
        self.assertEqual(self.metric('hms_proxy_tunnel_bytes_total{flow="received"}'), 3 * 9)
        self.assertEqual(self.metric('hms_proxy_tunnel_bytes_total{flow="sent"}'), 3 * (16 + 22 + 9))
        self.assertEqual(len(self.process.log), len([line for line in self.process.log if line["level"] != "error"]))

    def test_a_caller_that_only_listens_gets_the_banner_and_its_half_close_through(self):
        self.proxy(script=lambda c: (c.wait_end(), c.send(b"all I have")))
        caller = self.caller()
        caller.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(caller.read_to_end(), b"all I have")

    def test_several_workers_share_what_one_has_learned(self):
        self.proxy("--threads", "3", script=self.mail)
        self.assertEqual(self.caller().read_until(b"\r\n"), b"220 mail ready\r\n")
        self.learned("tcp")
        for _ in range(12):
            self.assertEqual(self.caller().read_until(b"\r\n"), b"220 mail ready\r\n")
        self.assertEqual(len([line for line in self.process.log if line.get("msg") == "protocol learned"]), 1)


class CallerFirst(Raw):
    @staticmethod
    def echo(connection):
        while True:
            at = connection.position
            if not connection.read_exactly(1):
                return
            piece = connection.received[at:]
            connection.position = len(connection.received)
            connection.send(piece)

    def test_bytes_that_are_not_http_go_through_unchanged(self):
        self.proxy(script=self.echo)
        for first in (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"*1\r\n$4\r\nPING\r\n", b"SSH-2.0-x\r\n", bytes(range(255, -1, -1))):
            self.assertEqual(self.caller().send(first).read_exactly(len(first)), first)

    def test_a_beginning_that_could_be_http_is_not_held_for_long(self):
        self.proxy(script=self.echo)
        self.assertEqual(self.caller().send(b"PING").read_exactly(4), b"PING")

    def test_bytes_that_come_one_by_one_are_still_http(self):
        self.proxy(config="timeouts: {detect: 10s}\n")
        caller = self.caller()
        for byte in b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n":
            caller.send(bytes([byte]))
        self.assertEqual(caller.read_reply().status, 200)
        self.assertIn(b"\r\nx-trace: ", self.origin.requests[0][0])
        self.assertEqual(len(self.origin.connections), 1)

    def test_http_is_http_and_what_is_not_is_then_refused(self):
        proxy = self.proxy()
        reply = hms.get(proxy.address("inbound"), "/")
        self.assertEqual(reply.status, 200)
        self.assertTrue(reply.header("x-trace"))
        self.learned("http")
        for garbage in (b"\x00\x01\x02\x03" * 10, b"EHLO me\r\n", b"\x16\x03\x01\x00\x05hello"):
            caller = self.caller()
            self.assertIn(caller.send(garbage).read_reply().status, (400, 501))
        self.assertEqual(len(self.origin.requests), 1)
        self.assertEqual(self.origin.bytes_received().count(b"EHLO"), 0)

    def test_a_service_that_answers_garbage_in_http_is_an_http_service(self):
        self.proxy(script=lambda c: (c.read_exactly(1), c.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")))
        self.assertIn(b"400 Bad Request", self.caller().send(b"\x01\x02\x03").read_to_end())
        self.learned("http")

    def test_what_came_back_on_the_port_is_found_out_anew(self):
        first = self.use(hms.RawOrigin())
        proxy = self.proxy(app=first.address)
        self.assertEqual(hms.get(proxy.address("inbound"), "/").status, 200)
        self.learned("http")
        first.close()
        self.assertEqual(hms.get(proxy.address("inbound"), "/").header("x-hms-error"), "connect_failed")
        self.use(hms.RawOrigin(script=ServiceFirst.mail, port=first.port))
        self.assertEqual(self.caller().read_until(b"\r\n"), b"220 mail ready\r\n")

    def test_without_a_service_http_is_told_so_and_others_are_reset(self):
        proxy = self.proxy(app=f"127.0.0.1:{hms.free_port()}")
        self.assertEqual(hms.get(proxy.address("inbound"), "/").header("x-hms-error"), "connect_failed")
        for first in (b"\x00\x01", b""):
            with self.assertRaises(ConnectionResetError):
                self.caller().send(first).read_to_end()
        hms.wait_for(lambda: self.metric('hms_proxy_tcp_closed_total{end="connect_failed"}') == 2)

    def test_both_directions_at_once_and_back_pressure(self):
        self.proxy(script=self.echo)
        caller = self.caller()
        payload = os.urandom(8 * MEBI)
        caller.send(b"\x01")
        sender = threading.Thread(target=lambda: (caller.send(payload), caller.socket.shutdown(socket.SHUT_WR)))
        sender.start()
        self.assertTrue(caller.read_to_end() == b"\x01" + payload)
        sender.join()
        self.assertLess(self.process.rss_bytes(), 64 * MEBI if "asan" not in os.environ["HMS_BIN"] and "tsan" not in os.environ["HMS_BIN"] else 1 << 40)


class Forced(Raw):
    def test_tcp_by_flag_passes_http_on_untouched(self):
        proxy = self.proxy("--protocol", "tcp")
        reply = hms.get(proxy.address("inbound"), "/")
        self.assertEqual((reply.status, reply.header("x-trace")), (200, None))
        self.assertNotIn(b"x-trace", self.origin.requests[0][0])

    def test_http_by_configuration_splices_nothing(self):
        proxy = self.proxy(config="listeners: {inbound: {protocol: http}}\n")
        self.assertEqual(self.caller().send(b"\x00\x01\x02").read_reply().status, 400)
        self.assertEqual(self.origin.connections, [])
        self.assertEqual(hms.get_json(proxy.address("admin"), "/config")["listeners"]["inbound"]["protocol"], "http")

    def test_a_wrong_name_is_refused(self):
        code, _, errors = hms.run("hms-proxy", "--protocol", "smtp", "--check")
        self.assertEqual(code, 2)
        self.assertIn("allowed: detect, http, tcp", errors)

    def test_connections_have_a_cap(self):
        self.proxy(script=ServiceFirst.mail, config="limits: {connections: 2}\nlisteners: {inbound: {protocol: tcp}}\n")
        held = [self.caller() for _ in range(2)]
        for caller in held:
            self.assertEqual(caller.read_until(b"\r\n"), b"220 mail ready\r\n")
        with self.assertRaises(ConnectionResetError):
            self.caller().read_to_end()
        self.assertEqual(self.metric("hms_proxy_connections_refused_total"), 1)

    def test_silence_ends_in_time(self):
        self.proxy(script=ServiceFirst.mail, config="timeouts: {tunnel_idle: 200ms}\n")
        caller = self.caller()
        caller.read_until(b"\r\n")
        with self.assertRaises(ConnectionResetError):
            caller.read_to_end()
        self.assertEqual(self.metric('hms_proxy_tcp_closed_total{end="idle"}'), 1)


class Told(Raw):
    def test_a_connection_leaves_a_span_and_a_line(self):
        collector = self.start("hms-collector", "--data", self.folder(), "--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0")
        self.proxy("--collector", f"http://{collector.address('listen')}", "--access-log", "on", "--service", "mail", script=ServiceFirst.mail)
        caller = self.caller()
        caller.read_until(b"\r\n")
        caller.send(b"EHLO me\r\n").read_until(b"\r\n")
        caller.socket.shutdown(socket.SHUT_WR)
        caller.read_to_end()
        line = json.loads(self.process.wait_output(lambda text: '"TCP"' in text))
        self.assertEqual((line["error"], line["request_bytes"], line["reply_bytes"], line["peer"]), ("clean", 9, 47, "127.0.0.1"))
        trace = hms.wait_for(lambda: hms.get_json(collector.address("listen"), "/api/traces?service=mail")["data"])[0]
        self.assertEqual(trace["traceID"], line["x_trace"].replace("-", ""))
        span = trace["spans"][0]
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        self.assertEqual(span["operationName"], "TCP connection")
        self.assertEqual((tags["network.transport"], tags["hms.bytes.received"], tags["hms.bytes.sent"]), ("tcp", 9, 47))
        self.assertEqual((tags["span.kind"], tags["network.peer.address"]), ("server", "127.0.0.1"))

    def test_a_drain_waits_for_a_tunnel_and_then_cuts_it(self):
        self.proxy(script=ServiceFirst.mail, config="drain: {deadline: 300ms}\n")
        caller = self.caller()
        caller.read_until(b"\r\n")
        self.process.signal(signal.SIGTERM)
        self.process.wait_log("draining")
        self.assertEqual(caller.send(b"EHLO me\r\n").read_until(b"\r\n"), b"250 you said EHLO me\r\n")
        with self.assertRaises(ConnectionResetError):
            caller.read_to_end()
        self.assertEqual(self.process.wait(), 0)
        self.assertEqual(self.process.wait_log("drained")["requests_cut"], 1)

    def test_a_drain_is_over_when_the_last_tunnel_is(self):
        self.proxy(script=ServiceFirst.mail)
        caller = self.caller()
        caller.read_until(b"\r\n")
        self.process.signal(signal.SIGTERM)
        self.process.wait_log("draining")
        caller.send(b"EHLO me\r\n").socket.shutdown(socket.SHUT_WR)
        self.assertEqual(caller.read_to_end(), b"250 you said EHLO me\r\n221 bye\r\n")
        self.assertEqual(self.process.wait(), 0)
        self.assertEqual(self.process.wait_log("drained")["requests_cut"], 0)


class Tls(Raw):
    def setUp(self):
        super().setUp()
        self.certs = self.folder()
        subprocess.run([MAKE, "-d", self.certs, "shop", "shop.example"], check=True, stdout=subprocess.DEVNULL)
        self.trust = ssl.create_default_context(cafile=f"{self.certs}/ca.pem")

    def tls_service(self):
        own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        own.load_cert_chain(f"{self.certs}/shop.pem", f"{self.certs}/shop.key")

        def script(connection):
            with own.wrap_socket(connection.socket, server_side=True) as secure:
                secure.sendall(b"you said " + secure.recv(100))

        return script

    def test_a_tls_service_is_reached_unopened_and_its_name_is_told(self):
        self.proxy("--access-log", "on", script=self.tls_service())
        for _ in range(2):
            caller = self.caller()
            with self.trust.wrap_socket(caller.socket, server_hostname="shop.example") as secure:
                secure.sendall(b"hello")
                self.assertEqual(secure.recv(100), b"you said hello")
        hms.wait_for(lambda: self.metric('hms_proxy_tcp_connections_total{direction="inbound",protocol="tls"}') == 2)
        line = json.loads(self.process.wait_output(lambda text: '"TLS"' in text))
        self.assertEqual(line["host"], "shop.example")
        self.learned("tcp")

    def test_raw_bytes_inside_our_own_tls_are_detected_as_well(self):
        tls = f"{{certificate: {self.certs}/shop.pem, key: {self.certs}/shop.key}}"
        self.proxy(script=ServiceFirst.mail, config=f"listeners: {{inbound: {{tls: {tls}}}}}\n")
        caller = self.caller()
        secure = self.use(self.trust.wrap_socket(caller.socket, server_hostname="shop.example"))
        self.assertEqual(secure.recv(100), b"220 mail ready\r\n")
        secure.sendall(b"EHLO me\r\n")
        self.assertEqual(secure.recv(100), b"250 you said EHLO me\r\n")


if __name__ == "__main__":
    hms.main()
