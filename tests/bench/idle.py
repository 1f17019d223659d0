#!/usr/bin/env python3
"""Opens N keep-alive connections, makes one request on each, says HELD, and holds them until its input ends: idle.py PORT N plain|tls"""
import resource
import socket
import ssl
import sys


def main():
    port, count, tls = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "tls"
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    held = []
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        if tls:
            connection = context.wrap_socket(connection)
        connection.sendall(b"GET /1k HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b"\r\n\r\n" not in received or len(received) < received.index(b"\r\n\r\n") + 4 + 1024:
            piece = connection.recv(65536)
            if not piece:
                raise SystemExit(f"connection {number} ended early")
            received += piece
        held.append(connection)
    print("HELD", flush=True)
    sys.stdin.read()


main()
