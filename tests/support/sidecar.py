"""Plays a sidecar towards the collector: one OTLP/JSON batch of exact numbers per second, and readers of event streams and webhooks. Standard library only."""

import json
import math
import threading
import time

import hms

NANOS = 10**9


def bucket(seconds):
    """Index of an exponential histogram's bucket at scale 5."""
    return math.ceil(math.log2(seconds) * 32) - 1


def point(second, count, duration=0.1, route="/claims/{id}", status=200, upstream=None):
    """`count` requests of `duration` seconds, measured in that Unix second."""
    attributes = [
        {"key": "http.route", "value": {"stringValue": route}},
        {"key": "http.request.method", "value": {"stringValue": "GET"}},
        {"key": "http.response.status_code", "value": {"intValue": str(status)}},
    ]
    if status >= 500:
        attributes.append({"key": "error.type", "value": {"stringValue": str(status)}})
    if upstream:
        attributes.append({"key": "hms.upstream", "value": {"stringValue": upstream}})
    return {
        "attributes": attributes, "startTimeUnixNano": str(second * NANOS), "timeUnixNano": str((second + 1) * NANOS), "count": str(count),
        "sum": count * duration, "scale": 5, "zeroCount": "0", "positive": {"offset": bucket(duration), "bucketCounts": [str(count)]},
    }


def metrics(service, points, instance=None, name="http.server.request.duration"):
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}, {"key": "service.instance.id", "value": {"stringValue": instance or service + "-1"}}]}
    histogram = {"aggregationTemporality": 1, "dataPoints": points}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [{"name": name, "unit": "s", "exponentialHistogram": histogram}]}]}]}


def post_metrics(address, service, points, **options):
    reply = hms.post_json(address, "/v1/metrics", metrics(service, points, **options))
    if reply.status != 200:
        raise AssertionError(f"metrics not taken: {reply}")


class Sidecar:
    """Sends `make(second)` (a list of points) for each Unix second right after its end, until closed."""

    def __init__(self, address, service, make, **options):
        self.address, self.service, self.make, self.options = address, service, make, options
        self.errors = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        second = int(time.time())
        while not self._stop.wait(max(0.0, second + 1.02 - time.time())):
            try:
                points = self.make(second)
                if points:
                    post_metrics(self.address, self.service, points, **self.options)
            except Exception as error:  # shown by the test; a collector that is down is no accident here
                self.errors.append(repr(error))
            second = max(second + 1, int(time.time()) - 1)

    def close(self):
        self._stop.set()
        self._thread.join(hms.PATIENCE)


class Events(hms.SseReader):
    """An event stream whose data is JSON."""

    def find(self, where, at_most=hms.PATIENCE):
        """The first event for which where(name, data) holds: (name, id, data)."""
        event = self.wait(lambda event: where(event["event"], json.loads(event["data"])), at_most)
        return event["event"], event["id"], json.loads(event["data"])

    def data(self, name="message"):
        return [json.loads(event["data"]) for event in list(self.events) if event["event"] == name]


class Hook:
    """A webhook's receiver: self.calls is a list of (time, path, body JSON)."""

    def __init__(self, status=200):
        self.status = status
        self.calls = []
        self.origin = hms.RawOrigin(answer=self._answer)
        self.url = f"http://{self.origin.address}/hook"

    def _answer(self, head, body):
        self.calls.append((time.time(), head.split(b" ")[1].decode(), json.loads(body)))
        return hms.response(self.status, b"{}")

    def wait(self, where, at_most=hms.PATIENCE, what="a call of the webhook"):
        return hms.wait_for(lambda: next((call for call in list(self.calls) if where(call[2])), None), at_most, f"{what}; so far {self.calls[-3:]}")

    def close(self):
        self.origin.close()
