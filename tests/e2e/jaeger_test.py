"""Clients written against Jaeger's query API, version 1 and version 3, as their own documentation describes them; the same spans through both."""

import json
import os
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms


def hexadecimal(number, digits):
    return f"{number:0{digits}x}"


def text(key, value):
    return {"key": key, "value": {"stringValue": value}}


class Client:
    def __init__(self, address):
        self.address = address

    def get(self, path, **parameters):
        return hms.get(self.address, path + ("?" + urllib.parse.urlencode(parameters) if parameters else ""))

    def json(self, path, **parameters):
        reply = self.get(path, **parameters)
        assert reply.status == 200, reply
        return json.loads(reply.body)


class Jaeger(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.collector = self.start("hms-collector", "--data", os.path.join(self.folder(), "data"), "--listen", "127.0.0.1:0", "--otlp-listen", "off")
        self.client = Client(self.collector.address("listen"))
        self.now = int(time.time()) * 10**9

    def span(self, trace, number, name, parent=0, kind=2, start=0, milliseconds=5, attributes=(), **more):
        begin = self.now + start
        span = {"traceId": hexadecimal(trace, 32), "spanId": hexadecimal(number, 16), "name": name, "kind": kind, "startTimeUnixNano": str(begin),
                "endTimeUnixNano": str(begin + int(milliseconds * 1e6)), "attributes": list(attributes), **more}
        if parent:
            span["parentSpanId"] = hexadecimal(parent, 16)
        return span

    def send(self, service, *spans):
        body = {"resourceSpans": [{"resource": {"attributes": [text("service.name", service), text("host.name", "h1")]},
                                   "scopeSpans": [{"scope": {"name": "lib"}, "spans": list(spans)}]}]}
        reply = hms.post_json(self.client.address, "/v1/traces", body)
        self.assertEqual(reply.status, 200, reply.body)

    def send_story(self):
        array = {"key": "ids", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "two"}]}}}
        mapping = {"key": "map", "value": {"kvlistValue": {"values": [text("inner", "x")]}}}
        self.send("ui", self.span(0xA1, 1, "GET /", milliseconds=80))
        self.send("claims",
                  self.span(0xA1, 2, "GET /claims/{id}", parent=1, start=10**6, milliseconds=60, status={"code": 2, "message": "boom"},
                            attributes=[text("http.route", "/claims/{id}"), {"key": "http.response.status_code", "value": {"intValue": "500"}},
                                        {"key": "retry", "value": {"boolValue": True}}, {"key": "ratio", "value": {"doubleValue": 0.25}}, array, mapping],
                            events=[{"timeUnixNano": str(self.now + 2 * 10**6), "name": "exception", "attributes": [text("exception.type", "E")]}],
                            links=[{"traceId": hexadecimal(0xFF, 32), "spanId": hexadecimal(9, 16)}]),
                  self.span(0xB2, 3, "GET /claims/{id}", start=10**9, milliseconds=3))
        self.send("ui", self.span(0xC3, 4, "backwards", start=2 * 10**9, milliseconds=-1))

    def rfc3339(self, seconds):
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.now // 10**9 + seconds)) + ".000000000Z"

    def ask_v3(self, **more):
        parameters = {"query.service_name": "claims", "query.start_time_min": self.rfc3339(-60), "query.start_time_max": self.rfc3339(60)}
        parameters.update({"query." + key: value for key, value in more.items()})
        reply = self.client.json("/api/v3/traces", **parameters)
        spans = [span for resource in reply["result"]["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]
        return {int(span["traceId"], 16) for span in spans}

    def test_version_3_lists(self):
        self.send_story()
        self.assertEqual(self.client.json("/api/v3/services"), {"services": ["claims", "ui"]})
        self.assertEqual(self.client.json("/api/v3/operations", service="ui"),
                         {"operations": [{"name": "GET /", "spanKind": "server"}, {"name": "backwards", "spanKind": "server"}]})
        self.assertEqual(self.client.json("/api/v3/operations", service="ui", span_kind="client"), {"operations": []})
        self.assertEqual(self.client.get("/api/v3/operations").status, 400)
        for limit in ("0", "-1", "1501", "many"):
            reply = self.client.get("/api/traces", service="claims", limit=limit)
            self.assertEqual(reply.status, 400)
            self.assertIn('parameter "limit": must be a whole number from 1 to 1500', str(reply.json()["errors"]), limit)

    def test_version_3_gives_a_trace_as_otlp(self):
        self.send_story()
        resources = self.client.json("/api/v3/traces/" + hexadecimal(0xA1, 32))["result"]["resourceSpans"]
        by_service = {}
        for resource in resources:
            attributes = {a["key"]: a["value"] for a in resource["resource"]["attributes"]}
            self.assertEqual(attributes["host.name"], {"stringValue": "h1"})
            self.assertEqual([scope["scope"] for scope in resource["scopeSpans"]], [{"name": "lib"}])
            by_service[attributes["service.name"]["stringValue"]] = resource["scopeSpans"][0]["spans"]
        self.assertEqual({service: len(spans) for service, spans in by_service.items()}, {"ui": 1, "claims": 1})
        span = by_service["claims"][0]
        self.assertEqual((span["traceId"], span["spanId"], span["parentSpanId"]), (hexadecimal(0xA1, 32), hexadecimal(2, 16), hexadecimal(1, 16)))
        self.assertEqual((span["kind"], span["status"]), (2, {"code": 2, "message": "boom"}))
        self.assertEqual(span["startTimeUnixNano"], str(self.now + 10**6))
        self.assertEqual(span["endTimeUnixNano"], str(self.now + 61 * 10**6))
        values = {a["key"]: a["value"] for a in span["attributes"]}
        self.assertEqual(values["http.response.status_code"], {"intValue": "500"})
        self.assertEqual((values["retry"], values["ratio"]), ({"boolValue": True}, {"doubleValue": 0.25}))
        self.assertEqual(values["ids"], {"arrayValue": {"values": [{"intValue": "1"}, {"stringValue": "two"}]}})
        self.assertEqual(values["map"], {"kvlistValue": {"values": [text("inner", "x")]}})
        self.assertEqual(span["events"], [{"timeUnixNano": str(self.now + 2 * 10**6), "name": "exception", "attributes": [text("exception.type", "E")]}])
        self.assertEqual(span["links"], [{"traceId": hexadecimal(0xFF, 32), "spanId": hexadecimal(9, 16)}])
        # What comes out can go in again.
        other = self.start("hms-collector", "--data", os.path.join(self.folder(), "data"), "--listen", "127.0.0.1:0", "--otlp-listen", "off")
        self.assertEqual(hms.post_json(other.address("listen"), "/v1/traces", {"resourceSpans": resources}).body, b'{}')
        self.assertEqual(Client(other.address("listen")).json("/api/v3/traces/" + hexadecimal(0xA1, 32))["result"]["resourceSpans"], resources)
        self.assertEqual(self.client.get("/api/v3/traces/" + hexadecimal(0xDD, 32)).status, 404)

    def test_version_3_search(self):
        self.send_story()
        self.assertEqual(self.ask_v3(), {0xA1, 0xB2})
        self.assertEqual(self.ask_v3(search_depth=1), {0xB2})
        self.assertEqual(self.ask_v3(duration_min="50ms"), {0xA1})
        self.assertEqual(self.ask_v3(duration_max="50ms"), {0xB2})
        self.assertEqual(self.ask_v3(operation_name="GET /nothing"), set())
        self.assertEqual(self.ask_v3(attributes=json.dumps({"http.response.status_code": "500", "retry": "true"})), {0xA1})
        self.assertEqual(self.ask_v3(attributes=json.dumps({"http.response.status_code": "501"})), set())
        self.assertEqual(self.ask_v3(attributes=json.dumps({"host.name": "h1", "error": "true"})), {0xA1})
        self.assertEqual(self.ask_v3(start_time_min=self.rfc3339(10)), set())
        camel = {"query.serviceName": "claims", "query.startTimeMin": self.rfc3339(-60), "query.startTimeMax": self.rfc3339(60), "query.durationMin": "50ms"}
        self.assertEqual(len(self.client.json("/api/v3/traces", **camel)["result"]["resourceSpans"]), 2)
        for wrong in ({"query.service_name": "claims"}, {**camel, "query.attributes": "[]"}, {**camel, "query.durationMin": "long"}, {**camel, "query.startTimeMin": "now"}):
            self.assertEqual(self.client.get("/api/v3/traces", **wrong).status, 400, wrong)

    def test_version_1_gives_the_same(self):
        self.send_story()
        self.assertEqual(self.client.json("/api/services")["data"], ["claims", "ui"])
        trace = self.client.json("/api/traces/" + hexadecimal(0xA1, 32))["data"][0]
        self.assertEqual([span["operationName"] for span in trace["spans"]], ["GET /", "GET /claims/{id}"])
        self.assertEqual(trace["processes"][trace["spans"][1]["processID"]]["serviceName"], "claims")
        microseconds = self.now // 1000
        search = lambda **more: {int(t["traceID"], 16) for t in self.client.json("/api/traces", service="claims", start=microseconds - 10**7, end=microseconds + 10**7, **more)["data"]}
        self.assertEqual(search(), {0xA1, 0xB2})
        self.assertEqual(search(tags=json.dumps({"http.response.status_code": "500"})), {0xA1})
        self.assertEqual(search(tag="retry:true", minDuration="50ms", operation="GET /claims/{id}"), {0xA1})
        self.assertEqual(search(tag="retry:false"), set())

    def test_a_trace_is_found_by_the_text_of_its_x_trace_in_both(self):
        sent = {"type": "trace", "payload": {"traceId": "order 17/ä", "service": "till", "name": "pay", "durationMs": 4}}
        self.assertEqual(hms.post_json(self.client.address, "/ingest", sent).status, 202)
        name = urllib.parse.quote("order 17/ä", safe="")
        one = self.client.json(f"/api/traces/{name}")["data"][0]
        self.assertEqual(one["xTrace"], "order 17/ä")
        three = self.client.json(f"/api/v3/traces/{name}")["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        self.assertEqual(three["traceId"], one["traceID"])

    def test_a_late_span_and_a_span_that_ends_before_it_begins(self):
        self.send_story()
        self.send("store", self.span(0xA1, 7, "SELECT", parent=2, start=-3 * 86400 * 10**9))
        trace = self.client.json("/api/traces/" + hexadecimal(0xA1, 32))["data"][0]
        self.assertEqual(len(trace["spans"]), 3)
        backwards = self.client.json("/api/traces/" + hexadecimal(0xC3, 32))["data"][0]["spans"][0]
        self.assertEqual(backwards["duration"], 0)
        three = self.client.json("/api/v3/traces/" + hexadecimal(0xC3, 32))["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        self.assertEqual(three["endTimeUnixNano"], three["startTimeUnixNano"])

    def test_spans_without_ids_are_refused_and_the_others_kept(self):
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [self.span(0, 5, "no trace"), self.span(0xF1, 0, "no span"), self.span(0xF1, 6, "good")]}]}]}
        told = hms.post_json(self.client.address, "/v1/traces", body).json()["partialSuccess"]
        self.assertEqual((told["rejectedSpans"], told["errorMessage"]), ("2", "spans[0]: trace_id is all zero"))
        [span] = self.client.json("/api/traces/" + hexadecimal(0xF1, 32))["data"][0]["spans"]
        self.assertEqual(span["operationName"], "good")

    def test_parents_that_make_a_loop_or_are_in_another_trace_are_shown_as_sent(self):
        self.send("a", self.span(0xF2, 1, "its own parent", parent=1), self.span(0xF2, 2, "x", parent=3), self.span(0xF2, 3, "y", parent=2))
        self.send("b", self.span(0xF3, 7, "child of a span elsewhere", parent=2))
        spans = self.client.json("/api/traces/" + hexadecimal(0xF2, 32))["data"][0]["spans"]
        self.assertEqual({s["spanID"][-1]: s["references"][0]["spanID"][-1] for s in spans}, {"1": "1", "2": "3", "3": "2"})
        [lost] = self.client.json("/api/traces/" + hexadecimal(0xF3, 32))["data"][0]["spans"]
        self.assertEqual(lost["references"][0]["traceID"], hexadecimal(0xF3, 32))
        # No call between services can be told from them.
        self.assertEqual(hms.get_json(self.client.address, "/ops/map")["edges"], [])

    def test_an_attribute_of_ten_megabytes_is_cut(self):
        self.send("a", self.span(0xF4, 8, "big", attributes=[text("note", "v" * (10 << 20))]))
        [span] = self.client.json("/api/traces/" + hexadecimal(0xF4, 32))["data"][0]["spans"]
        self.assertEqual([len(tag["value"]) for tag in span["tags"] if tag["key"] == "note"], [64 << 10])

    def test_a_trace_of_too_many_spans_is_cut_and_says_so(self):
        for begin in range(0, 101_000, 5_000):
            self.send("storm", *(self.span(0xE5, begin + n + 1, "tick") for n in range(5_000)))
        trace = self.client.json("/api/traces/" + hexadecimal(0xE5, 32))["data"][0]
        self.assertEqual(len(trace["spans"]), 100_000)
        self.assertIn("only the first 100000 spans", trace["warnings"][0])


if __name__ == "__main__":
    hms.main()
