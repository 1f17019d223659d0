"""OTLP metrics as protobuf, written by hand: one body a moment, quick enough in Python to feed a collector without being what is measured."""
import http.client
import random
import struct


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def attribute(number, key, value):
    return field(number, field(1, key.encode()) + field(2, field(1, value.encode())))


def counter_series(count):
    """[(service, attributes)]: 40 services, 400 routes, 250 pods, a few errors."""
    return [(f"s{i % 40}", {"route": f"/api/r{i // 4 % 400}", "pod": f"p{i % 250}", "code": "503" if i % 97 == 0 else "200", "id": str(i)}) for i in range(count)]


def counter_values(count, steps, seed=7):
    """Counters with random steps, as tsdb benchmarks have them; yields one list a moment (the same list, changed)."""
    rng = random.Random(seed)
    values = [rng.randrange(1000) for _ in range(count)]
    for _ in range(steps):
        for i in range(count):
            values[i] += rng.randrange(0, 200)
        yield values


class CounterBodies:
    """Bodies of one metric (a cumulative monotonic sum) over many series, a resource per service."""

    def __init__(self, name, series):
        self.by_service = {}
        for index, (service, attributes) in enumerate(series):
            encoded = b"".join(attribute(7, key, value) for key, value in attributes.items())
            self.by_service.setdefault(service, []).append((index, encoded))
        self.name = name

    def body(self, values, unix_millis):
        moment = b"\x19" + struct.pack("<Q", unix_millis * 1_000_000)
        out = []
        for service, members in self.by_service.items():
            points = [field(1, moment + b"\x31" + struct.pack("<q", values[index]) + encoded) for index, encoded in members]
            total = field(7, b"".join(points) + b"\x10\x02\x18\x01")
            metric = field(2, field(1, self.name.encode()) + total)
            resource = field(1, attribute(1, "service.name", service))
            out.append(field(1, resource + field(2, metric)))
        return b"".join(out)

    def series_bodies(self, columns, times_millis, group):
        """All moments of `group` series a body: how one backfills."""
        for service, members in self.by_service.items():
            resource = field(1, attribute(1, "service.name", service))
            for first in range(0, len(members), group):
                points = [field(1, b"\x19" + struct.pack("<Q", t * 1_000_000) + b"\x31" + struct.pack("<q", columns[k][index]) + encoded)
                          for index, encoded in members[first:first + group] for k, t in enumerate(times_millis)]
                total = field(7, b"".join(points) + b"\x10\x02\x18\x01")
                yield field(1, resource + field(2, field(2, field(1, self.name.encode()) + total)))


def histogram_body(service, name, routes, begin_millis, end_millis, counts_of, instance=""):
    """One interval of delta exponential histograms (scale 5), a point per route; counts_of(route) -> (first bucket, counts, sum)."""
    points = []
    for route in routes:
        first, counts, total = counts_of(route)
        packed = b"".join(varint(c) for c in counts)
        zigzag = (first << 1) ^ (first >> 31)
        buckets = b"\x08" + varint(zigzag & 0xFFFFFFFF) + field(2, packed)
        points.append(field(1, attribute(1, "http.route", route) + b"\x11" + struct.pack("<Q", begin_millis * 1_000_000) + b"\x19" + struct.pack("<Q", end_millis * 1_000_000)
                            + b"\x21" + struct.pack("<Q", sum(counts)) + b"\x29" + struct.pack("<d", total) + b"\x30\x0a" + field(8, buckets)))
    histogram = field(10, b"".join(points) + b"\x10\x01")
    metric = field(2, field(1, name.encode()) + field(3, b"s") + histogram)
    resource = attribute(1, "service.name", service) + (attribute(1, "service.instance.id", instance) if instance else b"")
    return field(1, field(1, resource) + field(2, metric))


class Sender:
    """One kept connection."""

    def __init__(self, port, content_type="application/x-protobuf"):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.headers = {"Content-Type": content_type}

    def post(self, path, body, **headers):
        self.connection.request("POST", path, body, {**self.headers, **headers})
        reply = self.connection.getresponse()
        return reply.status, reply.read()

    def get(self, path):
        self.connection.request("GET", path)
        reply = self.connection.getresponse()
        return reply.status, reply.read()
