"""Transparent interception in a network namespace of its own: iptables REDIRECT, original destinations, HTTP and raw TCP, loops.

Needs root, network namespaces, iptables and iproute2; where one is missing the test says so and is skipped. The proxy and the services run inside
the namespace; callers are programs that enter it.
"""

import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

USER = 61337  # the proxy's own, left out by the rules

# Runs inside the namespace: services, the proxy's user left alone, and what this file's test asks for on standard input.
INSIDE = r"""
import json, os, socket, subprocess, sys, threading
def serve(address, answer, family=socket.AF_INET):
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(16)
    def one(connection):
        with connection:
            answer(connection)
    def loop():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=one, args=(connection,), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
def web(name):
    def answer(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return
            data += piece
        body = name + (b" traced" if b"x-trace" in data else b" plain")
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return answer
def mail(connection):
    connection.sendall(b"220 mail\r\n")
    while connection.recv(100):
        pass
serve(("10.99.0.1", 8080), web(b"app"))
serve(("10.99.0.1", 8081), web(b"second"))
serve(("10.99.0.1", 2525), mail)
serve(("fd99::1", 8081), web(b"six"), socket.AF_INET6)
print("up", flush=True)
for line in sys.stdin:
    what = json.loads(line)
    try:
        with socket.create_connection((what["host"], what["port"]), timeout=20) as connection:
            if what.get("http"):
                connection.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % what["http"].encode())
            data = b""
            while True:
                piece = connection.recv(65536)
                if not piece:
                    break
                data += piece
                if not what.get("http"):
                    break
        print(json.dumps(data.decode("latin-1")), flush=True)
    except OSError as error:
        print(json.dumps("error: " + type(error).__name__), flush=True)
"""


def missing():
    if os.geteuid() != 0:
        return "this needs root"
    for program in ("ip", "iptables", "ip6tables", "setpriv", "nsenter"):
        if shutil.which(program) is None:
            return f"this needs {program}"
    trial = subprocess.run(["unshare", "-n", "iptables", "-t", "nat", "-L"], capture_output=True)
    return "" if trial.returncode == 0 else "no network namespace with iptables here: " + trial.stderr.decode()[:200]


@unittest.skipIf(missing(), f"skipped: {missing()}")
class Transparent(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.name = f"hms-test-{os.getpid()}"
        self.run_command("ip", "netns", "add", self.name)
        self._exit.callback(self.run_command, "ip", "netns", "delete", self.name)
        for command in ("ip link set lo up", "ip link add d0 type veth peer name d1", "ip addr add 10.99.0.1/24 dev d0", "ip addr add fd99::1/64 dev d0 nodad",
                        "ip link set d0 up", "ip link set d1 up"):
            self.inside(*command.split())
        self.peer = subprocess.Popen(["ip", "netns", "exec", self.name, sys.executable, "-c", INSIDE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._exit.callback(self.end_peer)
        self.assertEqual(self.peer.stdout.readline(), "up\n")

    def end_peer(self):
        self.peer.stdin.close()
        self.peer.wait(10)
        self.peer.stdout.close()

    def run_command(self, *command):
        subprocess.run(command, check=True, capture_output=True)

    def inside(self, *command):
        self.run_command("ip", "netns", "exec", self.name, *command)

    def redirect(self, *rule, to, tables="iptables"):
        self.inside(tables, "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-m", "owner", "!", "--uid-owner", str(USER), *rule, "-j", "REDIRECT", "--to-ports", str(to))

    def proxy(self, *flags, config):
        folder = self.folder()
        os.chmod(folder, 0o755)
        path = self.write(os.path.join(folder, "c.yaml"), config)
        os.chmod(path, 0o644)
        program = os.path.join(folder, "hms-proxy")
        shutil.copy(hms.binary("hms-proxy"), program)  # the user of the proxy may read it there
        self.process = self.start("/usr/bin/env", "ip", "netns", "exec", self.name, "setpriv", "--reuid", str(USER), "--clear-groups", program, "--config", path, "--admin", "127.0.0.1:15000", *flags)

    def call(self, host, port, http=None):
        import json
        self.peer.stdin.write(json.dumps({"host": host, "port": port, "http": http}) + "\n")
        self.peer.stdin.flush()
        return json.loads(self.peer.stdout.readline())

    def metrics(self):
        code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:15000/metrics').read().decode())"
        return hms.prometheus_values(subprocess.run(["ip", "netns", "exec", self.name, sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    def test_the_services_calls_go_where_they_were_going_http_or_not(self):
        self.redirect("-d", "10.99.0.1", to=15001)
        self.redirect("-d", "fd99::1", to=15001, tables="ip6tables")
        self.proxy("--listen", "127.0.0.1:15006", "--outbound", "[::]:15001", config="listeners: {outbound: {transparent: on}}\n")
        self.assertTrue(self.call("10.99.0.1", 8081, http="no.such.name").endswith("second traced"))
        self.assertTrue(self.call("10.99.0.1", 8080, http="x").endswith("app traced"))
        self.assertTrue(self.call("fd99::1", 8081, http="x").endswith("six traced"))
        self.assertEqual(self.call("10.99.0.1", 2525), "220 mail\r\n")
        values = self.metrics()
        self.assertEqual(values['hms_proxy_requests_total{direction="outbound"}'], 3)
        self.assertEqual(values['hms_proxy_tcp_connections_total{direction="outbound",protocol="tcp"}'], 1)

    def test_callers_of_other_ports_reach_them_and_the_app_is_the_app(self):
        self.redirect("-d", "10.99.0.1", to=15006)
        self.proxy("--listen", "0.0.0.0:15006", "--app", "10.99.0.1:8080", config="listeners: {inbound: {transparent: on}}\n")
        self.assertTrue(self.call("10.99.0.1", 8080, http="x").endswith("app traced"))
        self.assertTrue(self.call("10.99.0.1", 8081, http="x").endswith("second traced"))
        self.assertEqual(self.call("10.99.0.1", 2525), "220 mail\r\n")

    def misdirect(self, threads):
        # The listener's own port, redirected; and the proxy's own calls, which a wrong rule redirects as well.
        self.redirect("-d", "10.99.0.1", "--dport", "15001:15006", to=15001)
        for port in ("2525", "8081"):
            self.inside("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", "10.99.0.1", "--dport", port, "-j", "REDIRECT", "--to-ports", "15001")
        self.proxy("--listen", "0.0.0.0:15006", "--outbound", "0.0.0.0:15001", "--threads", str(threads), config="listeners: {outbound: {transparent: on}}\n")

    def test_what_leads_back_is_reset(self):
        self.misdirect(threads=1)
        self.assertEqual(self.call("10.99.0.1", 15006), "error: ConnectionResetError")
        self.assertIn(self.call("10.99.0.1", 2525), ("error: ConnectionResetError", ""))
        values = self.metrics()
        self.assertGreaterEqual(values["hms_proxy_loops_refused_total"], 2)
        self.assertLess(values['hms_proxy_connections_accepted_total{direction="outbound"}'], 20)

    def test_what_leads_back_to_another_worker_is_reset_and_http_is_told(self):
        self.misdirect(threads=2)
        for _ in range(10):
            self.assertIn(self.call("10.99.0.1", 2525), ("error: ConnectionResetError", ""))
        before = self.metrics()
        self.assertEqual(before["hms_proxy_loops_refused_total"], 10)
        self.assertEqual(before['hms_proxy_connections_accepted_total{direction="outbound"}'], 20)  # the caller's, and its own that came back
        for _ in range(4):
            reply = self.call("10.99.0.1", 8081, http="a")
            self.assertTrue(reply.startswith("HTTP/1.1 508 "), reply)
            self.assertIn("\r\nx-hms-error: loop_detected\r\n", reply)
        self.assertLess(self.metrics()['hms_proxy_connections_accepted_total{direction="outbound"}'], 40)


if __name__ == "__main__":
    hms.main()
