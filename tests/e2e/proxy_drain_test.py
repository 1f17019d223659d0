"""How hms-proxy ends: drain on SIGTERM with no failed request, readiness first, a deadline, a second SIGTERM at once."""

import os
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

PORTS = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")


class Drain(hms.TestCase):
    def slow_origin(self):
        self.arrived, self.go = threading.Semaphore(0), threading.Event()

        def script(connection):
            while connection.read_head():
                self.arrived.release()
                self.go.wait(hms.PATIENCE)
                connection.send(hms.response(200, b"done"))

        return self.use(hms.RawOrigin(script=script))

    def test_a_running_request_is_finished_and_reported(self):
        proxy = self.start("hms-proxy", "--app", self.slow_origin().address, *PORTS)
        caller = self.use(hms.RawCaller(proxy.address("inbound")))
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(self.arrived.acquire(timeout=hms.PATIENCE))
        proxy.signal(signal.SIGTERM)
        proxy.wait_log("draining")
        self.assertEqual(hms.get(proxy.address("admin"), "/readyz").status, 503)
        self.assertEqual(hms.get(proxy.address("admin"), "/healthz").status, 200)
        self.go.set()
        reply = caller.read_reply()
        self.assertEqual((reply.status, reply.body, reply.header("connection")), (200, b"done", "close"))
        self.assertEqual(proxy.wait(), 0)
        report = proxy.wait_log("drained")
        self.assertEqual((report["requests_cut"], report["requests_total"]), (0, 1))

    def test_no_request_fails_while_callers_hammer(self):
        origin = self.use(hms.RawOrigin())
        proxy = self.start("hms-proxy", "--app", origin.address, *PORTS, "--threads", "2")
        failures, replies = [], []

        def call():
            while True:
                try:
                    caller = hms.RawCaller(proxy.address("inbound"))
                except OSError:
                    return  # the listener is closed: callers go elsewhere
                try:
                    while True:
                        caller.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
                        reply = caller.read_reply()
                        replies.append(reply.status)
                        if reply.header("connection") == "close":
                            break
                except (OSError, EOFError) as error:
                    failures.append(repr(error))
                finally:
                    caller.close()

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        self.wait_for(lambda: len(replies) > 200)
        self.assertEqual(proxy.terminate(), 0)
        for thread in threads:
            thread.join()
        self.assertEqual((set(replies), failures), ({200}, []))
        self.assertEqual(proxy.wait_log("drained")["requests_total"], len(replies))
        self.assertEqual(len(origin.requests), len(replies))

    def test_idle_callers_do_not_hold_it_up(self):
        proxy = self.start("hms-proxy", "--app", self.use(hms.RawOrigin()).address, *PORTS)
        caller = self.use(hms.RawCaller(proxy.address("inbound")))
        self.assertEqual(caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").read_reply().status, 200)
        proxy.signal(signal.SIGTERM)
        self.assertTrue(caller.closed_by_peer())
        caller.close()
        self.assertEqual(proxy.wait(), 0)

    def test_callers_that_never_said_a_byte_do_not_hold_it_up(self):
        config = self.write(os.path.join(self.folder(), "c.yaml"), "drain: {deadline: 10m}\n")
        proxy = self.start("hms-proxy", "--app", self.use(hms.RawOrigin()).address, *PORTS, "--config", config)
        caller = self.use(hms.RawCaller(proxy.address("inbound")))  # nobody knows yet what it will speak
        hms.wait_for(lambda: "hms_proxy_connections_open{direction=\"inbound\"} 1" in hms.get(proxy.address("admin"), "/metrics").body.decode())
        proxy.signal(signal.SIGTERM)
        self.assertTrue(caller.closed_by_peer())
        caller.close()
        self.assertEqual(proxy.wait(), 0)
        self.assertEqual(proxy.wait_log("drained")["waited_for"], "0 requests, 0 tunnels, 1 connection without a request")

    def test_the_deadline_cuts_what_is_left(self):
        config = self.write(os.path.join(self.folder(), "c.yaml"), "drain: {deadline: 200ms}\n")
        proxy = self.start("hms-proxy", "--app", self.slow_origin().address, *PORTS, "--config", config)
        caller = self.use(hms.RawCaller(proxy.address("inbound")))
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(self.arrived.acquire(timeout=hms.PATIENCE))
        self.assertEqual(proxy.terminate(), 0)
        report = proxy.wait_log("drained")
        self.assertEqual((report["requests_cut"], report["waited_for"]), (1, "1 request, 0 tunnels, 0 connections without a request"))
        self.go.set()

    def test_a_second_sigterm_stops_at_once(self):
        proxy = self.start("hms-proxy", "--app", self.slow_origin().address, *PORTS)
        caller = self.use(hms.RawCaller(proxy.address("inbound")))
        caller.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(self.arrived.acquire(timeout=hms.PATIENCE))
        proxy.signal(signal.SIGTERM)
        proxy.wait_log("draining")
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait(10), 0)
        self.go.set()

    def test_post_drain_turns_readiness_off_and_goes_on_serving(self):
        proxy = self.start("hms-proxy", "--app", self.use(hms.RawOrigin()).address, *PORTS)
        self.assertEqual(hms.post(proxy.address("admin"), "/drain", b"").status, 200)
        self.assertEqual(hms.get(proxy.address("admin"), "/readyz").status, 503)
        reply = hms.get(proxy.address("inbound"))
        self.assertEqual((reply.status, reply.header("connection")), (200, "close"))


if __name__ == "__main__":
    hms.main()
