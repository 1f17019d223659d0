"""The loop guard: a proxy whose upstream is itself, through either listener and any of its workers, and two proxies that point at each other.

HTTP ends in 508 with x-hms-error, raw bytes in a reset, and neither goes round for long. What a redirection of the machine brings back is in
proxy_transparent_test.py.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

BINARY = b"\x00\x01\x02\xff not http"


class Loops(hms.TestCase):
    def proxy(self, *flags, config=""):
        if config:
            flags += ("--config", self.write(os.path.join(self.folder(), "c.yaml"), config))
        return self.start("hms-proxy", "--service", "loop", "--admin", "127.0.0.1:0", "--threads", "2", *flags)

    def own(self, listen, app_host, *flags):
        """A proxy whose app is its own inbound listener."""
        port = hms.free_port()
        proxy = self.proxy("--listen", f"{listen}:{port}", "--app", f"{app_host}:{port}", *flags)
        return proxy, f"127.0.0.1:{port}"

    def assert_loop(self, address, headers=None, times=8):
        for _ in range(times):  # a connection each: both workers get some
            reply = hms.get(address, "/a", headers)
            self.assertEqual((reply.status, reply.header("x-hms-error")), (508, "loop_detected"))

    def values(self, proxy):
        return hms.prometheus_values(hms.get(proxy.address("admin"), "/metrics").body.decode())

    def assert_reset(self, address, sent):
        try:
            caller = self.use(hms.RawCaller(address))
            if sent:
                caller.send(sent)
            self.assertEqual(caller.read_to_end(), b"")
        except (ConnectionResetError, BrokenPipeError):
            pass

    def test_its_own_inbound_listener_as_the_app(self):
        proxy, address = self.own("127.0.0.1", "127.0.0.1")
        self.assert_loop(address)
        self.assertLessEqual(self.values(proxy)['hms_proxy_connections_accepted_total{direction="inbound"}'], 8)

    def test_its_own_inbound_listener_on_every_address_as_the_app(self):
        proxy, address = self.own("0.0.0.0", "127.0.0.1")
        self.assert_loop(address)
        self.assertLessEqual(self.values(proxy)['hms_proxy_connections_accepted_total{direction="inbound"}'], 8)

    def test_another_address_with_the_same_port_is_no_loop(self):
        origin = self.use(hms.RawOrigin())
        self.proxy("--listen", f"127.0.0.2:{origin.port}", "--app", origin.address)
        self.assertEqual(hms.get(f"127.0.0.2:{origin.port}").status, 200)

    def test_its_own_outbound_listener_as_the_app_and_as_an_upstream(self):
        port = hms.free_port()
        route = f"upstreams: {{me: {{endpoints: ['127.0.0.1:{port}']}}}}\nroutes: [{{match: {{host: me}}, upstream: me}}]\n"
        proxy = self.proxy("--listen", "127.0.0.1:0", "--app", f"127.0.0.1:{port}", "--outbound", f"127.0.0.1:{port}", config=route)
        self.assert_loop(proxy.address("inbound"))
        self.assert_loop(proxy.address("outbound"), {"Host": "me"})
        self.assert_loop(proxy.address("outbound"), {"Host": f"127.0.0.1:{port}"})

    def test_the_service_may_call_itself_through_both_listeners(self):
        origin = self.use(hms.RawOrigin())
        proxy = self.proxy("--listen", "127.0.0.1:0", "--app", origin.address, "--outbound", "127.0.0.1:0")
        self.assertEqual(hms.get(proxy.address("outbound"), "/", {"Host": proxy.address("inbound")}).status, 200)

    def test_two_proxies_that_point_at_each_other(self):
        ports = hms.free_port(), hms.free_port()
        proxies = [self.proxy("--listen", f"127.0.0.1:{ports[i]}", "--app", f"127.0.0.1:{ports[1 - i]}") for i in range(2)]
        for proxy in proxies:
            self.assert_loop(proxy.address("inbound"))
        told = sum(self.values(proxy)['hms_proxy_local_replies_total{error="loop_detected"}'] for proxy in proxies)
        self.assertEqual(told, 16)

    def test_raw_bytes_to_itself_are_reset(self):
        for listen in ("127.0.0.1", "0.0.0.0"):
            for flags in ((), ("--protocol", "tcp")):
                with self.subTest(listen=listen, flags=flags):
                    proxy, address = self.own(listen, "127.0.0.1", *flags)
                    for sent in (BINARY, b"", BINARY):
                        self.assert_reset(address, sent)
                    values = self.values(proxy)
                    self.assertEqual(values["hms_proxy_loops_refused_total"], 3)
                    self.assertLessEqual(values['hms_proxy_connections_accepted_total{direction="inbound"}'], 3)


if __name__ == "__main__":
    hms.main()
