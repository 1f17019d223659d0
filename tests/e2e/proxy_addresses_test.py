"""Hosts with several addresses, of both families, of which not all are listened on: no caller notices, in HTTP and in raw TCP.

The proxy runs in a mount namespace of its own with another /etc/hosts, which needs root (or user namespaces); where that is not to be had the test says so and is skipped."""

import os
import shutil
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

# Both families, in the order of a machine that prefers IPv6; nobody listens on the first two.
HOSTS = "127.0.0.1 localhost\n::1 dual\n127.0.0.7 dual\n127.0.0.1 dual\n"
PORTS = ("--listen", "127.0.0.1:0", "--outbound", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--service", "s")
NAMESPACE = [shutil.which("unshare") or "/usr/bin/unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])


def missing():
    trial = subprocess.run(NAMESPACE + ["mount", "--bind", "/etc/hosts", "/etc/hosts"], capture_output=True)
    return "" if trial.returncode == 0 else "no mount namespace: " + trial.stderr.decode().strip()


@unittest.skipIf(missing(), f"skipped: {missing()}")
class Addresses(hms.TestCase):
    def proxy(self, *flags):
        hosts = self.write(os.path.join(self.folder(), "hosts"), HOSTS)
        inside = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return self.start(*NAMESPACE, "sh", "-c", inside, hosts, hms.binary("hms-proxy"), *PORTS, *flags)

    def metric(self, proxy, name):
        return hms.prometheus_values(hms.get(proxy.address("admin"), "/metrics").body.decode()).get(name, 0)

    def test_http_passes_over_the_addresses_where_nobody_listens(self):
        origin = self.use(hms.RawOrigin())
        proxy = self.proxy("--app", f"dual:{origin.port}")
        for number in range(10):
            self.assertEqual(hms.get(proxy.address("inbound"), f"/{number}").status, 200)
            self.assertEqual(hms.get(proxy.address("outbound"), f"/{number}", {"Host": f"dual:{origin.port}"}).status, 200)
        self.assertEqual(len(origin.requests), 20)

    def test_raw_tcp_passes_over_them_as_well(self):
        origin = self.use(hms.RawOrigin(script=lambda c: (c.send(b"220 ready\r\n"), c.wait_end())))
        proxy = self.proxy("--app", f"dual:{origin.port}")
        for _ in range(10):
            caller = self.use(hms.RawCaller(proxy.address("inbound")))
            self.assertEqual(caller.read_until(b"\r\n"), b"220 ready\r\n")
            caller.close()
        self.assertEqual(len(origin.connections), 10)
        self.assertGreaterEqual(self.metric(proxy, 'hms_proxy_retries_total{reason="address"}'), 1)

    def test_a_host_that_nobody_listens_on_is_said_to_be_so(self):
        proxy = self.proxy("--app", f"dual:{hms.free_port()}")
        reply = hms.get(proxy.address("inbound"), "/")
        self.assertEqual((reply.status, reply.header("x-hms-error")), (502, "connect_failed"))


class Literals(hms.TestCase):
    def test_the_service_calls_an_ipv6_address_with_its_port(self):
        listener = self.use(socket.create_server(("::1", 0), family=socket.AF_INET6))
        authority = "[::1]:%d" % listener.getsockname()[1]
        proxy = self.start("hms-proxy", *PORTS)
        for target in ("/", f"http://{authority}/"):
            caller = self.use(hms.RawCaller(proxy.address("outbound")))
            caller.send(f"GET {target} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            service, _ = listener.accept()
            with service:
                service.recv(65_536)
                service.sendall(hms.response(200))
                self.assertEqual(caller.read_reply().status, 200)


if __name__ == "__main__":
    hms.main()
