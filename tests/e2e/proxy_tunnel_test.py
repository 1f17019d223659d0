"""Tunnels end as their two sides do: last bytes arrive although the sender has closed both directions, resets are passed on, silence has a limit."""

import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

PORTS = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
LAST = b"z" * (3 * 1024 * 1024) + b"the last words"


class Tunnel(hms.TestCase):
    def proxy(self, script, config=None):
        self.origin = self.use(hms.RawOrigin(script=script))
        more = ("--config", self.write(os.path.join(self.folder(), "proxy.yaml"), config)) if config else ()
        self.process = self.start("hms-proxy", "--app", self.origin.address, *PORTS, *more)
        return self.process

    def metric(self, name):
        return hms.prometheus_values(hms.get(self.process.address("admin"), "/metrics").body.decode()).get(name)

    def upgraded(self, script, config=None):
        caller = self.use(hms.RawCaller(self.proxy(script, config).address("inbound")))
        caller.send(UPGRADE).read_head()
        return caller


class Ends(Tunnel):
    def test_what_a_caller_sent_arrives_although_it_has_closed_both_directions(self):
        gone, received = threading.Event(), []

        def script(connection):
            connection.read_head()
            connection.send(SWITCH)
            gone.wait(hms.PATIENCE)
            connection.send(b"nobody reads this")  # answered with a reset: the caller is gone
            connection.wait_end()
            received.append((connection.received.partition(b"\r\n\r\n")[2], connection.ended))

        words = LAST[-150_000:]
        caller = self.upgraded(script)
        caller.send(words).close()
        hms.wait_for(lambda: self.metric('hms_proxy_tunnel_bytes_total{flow="received"}') == len(words))
        gone.set()
        hms.wait_for(lambda: self.metric('hms_proxy_tunnel_bytes_total{flow="sent"}') > 0)
        hms.wait_for(lambda: received)
        self.assertEqual(received[0][1], "fin")
        self.assertEqual(received[0][0], words)
        hms.wait_for(lambda: self.metric("hms_proxy_tunnels_open") == 0)

    def test_what_a_service_sent_arrives_although_it_has_closed_both_directions(self):
        words, closed = LAST[-1_000_000:], threading.Event()

        def script(connection):
            connection.read_head()
            connection.send(SWITCH + words)
            connection.close()
            closed.set()

        caller = self.upgraded(script)
        hms.wait_for(lambda: self.metric('hms_proxy_tunnel_bytes_total{flow="sent"}') == len(words))
        closed.wait(hms.PATIENCE)  # with the caller's next bytes unread in its socket it would say RST instead of FIN
        caller.send(b"nobody reads this")  # answered with a reset: the service is gone
        hms.wait_for(lambda: self.metric('hms_proxy_tunnel_bytes_total{flow="received"}') > 0)
        self.assertEqual(caller.read_to_end(), words)

    def test_a_reset_comes_after_the_bytes_before_it(self):
        def script(connection):
            connection.read_head()
            connection.send(SWITCH + b"before")
            connection.wait_end()
            connection.send(b"after")
            connection.reset()

        caller = self.upgraded(script)
        self.assertEqual(caller.read_exactly(6), b"before")
        caller.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(caller.read_exactly(5), b"after")
        with self.assertRaises(ConnectionResetError):
            caller.read_to_end()

    def test_a_callers_reset_reaches_the_service(self):
        ends = []
        caller = self.upgraded(lambda connection: (connection.read_head(), connection.send(SWITCH), ends.append(connection.wait_end())))
        caller.reset()
        hms.wait_for(lambda: ends)
        self.assertEqual(ends, ["reset"])

    def test_silence_ends_in_time(self):
        ends = []
        caller = self.upgraded(lambda c: (c.read_head(), c.send(SWITCH), ends.append(c.wait_end())), "timeouts: {tunnel_idle: 200ms}\n")
        with self.assertRaises(ConnectionResetError):
            caller.read_to_end()
        hms.wait_for(lambda: ends)
        self.assertEqual(ends, ["reset"])

    def test_a_reader_that_stops_reading_is_cut(self):
        def script(connection):
            connection.read_head()
            connection.send(SWITCH)
            while True:
                connection.send(b"x" * 65536)

        self.upgraded(script, "timeouts: {write_stall: 200ms}\n")
        hms.wait_for(lambda: self.metric('hms_proxy_stalled_total{kind="reader"}') == 1)
        self.assertEqual(self.metric("hms_proxy_tunnels_open"), 0)


if __name__ == "__main__":
    hms.main()
