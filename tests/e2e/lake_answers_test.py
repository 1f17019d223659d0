"""What may differ once a day is in the lake, and must not: which lines fit a question, pages read across the roll, traces over midnight, and what is said when a file is damaged."""

import datetime
import glob
import os
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

DAY = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=3)).replace(hour=0, minute=0, second=0, microsecond=0)
START = int(DAY.timestamp())
END = START + 86_400
D = DAY.strftime("%Y-%m-%d")
OVER_MIDNIGHT = "ab" * 16


def line(n, level, text="", at=0, attributes=None):
    values = {"card": {"intValue": str(4111 + n)}, "share": {"doubleValue": 0.0000025 * n}, "note": {"stringValue": "an Odd Note"}, **(attributes or {})}
    return {"timeUnixNano": str((START + 3600 + at) * 10**9), "severityText": level, "severityNumber": 9, "body": {"stringValue": text or f"Line {n}"},
            "attributes": [{"key": k, "value": v} for k, v in values.items()]}


def span(trace, number, service, name, start_millis, parent=None):
    return {"type": "trace", "payload": {"traceId": trace, "spanId": f"{number:016x}", "parentId": f"{parent:016x}" if parent else None, "service": service, "name": name,
                                         "start": start_millis, "durationMs": 10, "status": "ok", "attributes": {}}}


class LakeAnswersTest(hms.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.folder()
        self.data, self.lake = os.path.join(folder, "data"), os.path.join(folder, "lake")

    def begin(self):
        return self.start("hms-collector", "--data", self.data, "--lake", self.lake, "--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0", "--min-free-disk", "0")

    def send_lines(self, program, host, lines):
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "claims"}}, {"key": "host.name", "value": {"stringValue": host}}]}
        reply = hms.post_json(program.address("otlp"), "/v1/logs", {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": lines}]}]})
        self.assertEqual(reply.status, 200, reply)

    def send(self, program, items):
        reply = hms.post_json(program.address("listen"), "/ingest", items)
        self.assertEqual(reply.status, 202, reply)

    def roll(self, program):
        hms.post_json(program.address("listen"), f"/ops/lake/roll?day={D}", None)
        self.wait_for(lambda: [d["day"] for d in hms.get_json(program.address("listen"), "/ops/lake")["days"]] == [D], what="the day in the lake")
        program.wait_log("a day that the lake has was dropped")

    def page(self, program, **query):
        return hms.get_json(program.address("listen"), "/ops/logs?" + urllib.parse.urlencode(query, doseq=True))

    def test_the_same_lines_fit_in_the_lake(self):
        program = self.begin()
        self.send_lines(program, "H7", [line(n, level, at=n) for n, level in enumerate(["WARN", "warn", "Warning", "ERR", "Critical", "info"])])
        self.send_lines(program, "H8", [line(100 + n, "notice", message, at=100 + n, attributes={"note": {"stringValue": "Übergröße"}}) for n, message in enumerate(["Großer Ärger", "ο Σίσυφος", "İstanbul"])])
        questions = {
            "one attribute": ({"attr": "card:4113"}, 1), "no such value": ({"attr": "card:nothing"}, 0), "no such key": ({"attr": "cart:4113"}, 0),
            "a small number": ({"attr": "share:0.000005"}, 1), "both": ({"attr": ["card:4113", "note:an Odd Note"]}, 1), "of the resource": ({"attr": "host.name:H7"}, 6), "capitals": ({"q": "ÄRGER"}, 1), "a capital sharp s": ({"q": "GROẞER"}, 1), "two letters for one": ({"q": "grosser"}, 0),
            "sigmas": ({"q": "ΣΊΣΥΦΟΣ"}, 1), "a dotted I": ({"q": "istanbul"}, 0), "in an attribute": ({"q": "ÜBERGRÖẞE"}, 3),
            "with a text": ({"attr": "card:4113", "q": "LINE"}, 1), "a text of an attribute": ({"q": "odd nOTE"}, 6), "a text of the resource only": ({"q": "H7"}, 0),
            "warn": ({"level": "warn"}, 3), "WARNING": ({"level": "WARNING"}, 3), "error": ({"level": "error"}, 1), "fatal": ({"level": "fatal"}, 1), "crit": ({"level": "crit"}, 1),
            "information": ({"level": "Information"}, 1), "debug": ({"level": "debug"}, 0), "all": ({}, 9)}
        before = {}
        for name, (query, count) in questions.items():
            before[name] = self.page(program, start=START, end=END, **query)
            self.assertEqual(len(before[name]["logs"]), count, name)
        self.roll(program)
        for name, (query, _) in questions.items():
            self.assertEqual(self.page(program, start=START, end=END, **query), before[name], name)

    def test_a_cursor_goes_on_where_it_was_when_its_day_is_rolled(self):
        program = self.begin()
        # Many of one time, in several hosts, and one that stands there twice.
        lines = [line(n, "info", f"line {n}", at=n // 20) for n in range(60)]
        for host in range(3):
            self.send_lines(program, f"h{host}", lines[host::3])
        self.send_lines(program, "h0", [line(30, "info", "twice", at=1)] * 2)
        self.send(program, [{"type": "log", "payload": {"ts": (END + n) * 1000, "service": "claims", "level": "info", "msg": f"next day {n}"}} for n in range(5)])
        expected = sorted([f"line {n}" for n in range(60)] + ["twice"] * 2 + [f"next day {n}" for n in range(5)])
        firsts = {}
        for limit in (3, 5, 13, 29, 64):  # the first pages end in the next day, among lines of one time, at their end
            page = self.page(program, limit=limit)
            firsts[limit] = ([one["msg"] for one in page["logs"]], page["cursor"])
            if limit == 13:
                page = self.page(program, limit=limit, cursor=page["cursor"])
                firsts[limit] = (firsts[limit][0] + [one["msg"] for one in page["logs"]], page["cursor"])
        self.roll(program)
        for limit, (found, cursor) in firsts.items():
            while cursor:
                page = self.page(program, limit=limit, cursor=cursor)
                found += [one["msg"] for one in page["logs"]]
                cursor = page["cursor"]
            self.assertEqual(sorted(found), expected, f"pages of {limit}")

    def searched(self, program, service):
        start, end = START * 10**6, (END + 86_400) * 10**6
        return hms.get_json(program.address("listen"), f"/api/traces?service={service}&start={start}&end={end}&limit=1000")

    def searched_v3(self, program, service):
        query = {"query.service_name": service, "query.start_time_min": DAY.isoformat().replace("+00:00", "Z"),
                 "query.start_time_max": (DAY + datetime.timedelta(days=2)).isoformat().replace("+00:00", "Z"), "query.search_depth": 1000}
        return hms.get(program.address("listen"), "/api/v3/traces?" + urllib.parse.urlencode(query))

    def test_a_search_finds_traces_over_midnight_whole_and_tells_what_it_cannot_read(self):
        program = self.begin()
        self.send(program, [span(OVER_MIDNIGHT, 1, "edge", "root", END * 1000 - 1000), span(OVER_MIDNIGHT, 2, "ledger", "child", END * 1000 + 1000, parent=1)]
                  + [span(f"{n + 1:032x}", n + 10, "old", "of the day", START * 1000 + n) for n in range(20)])
        for service in ("edge", "ledger"):
            self.assertEqual([len(t["spans"]) for t in self.searched(program, service)["data"]], [2], service)
        self.roll(program)
        for service in ("edge", "ledger"):
            self.assertEqual([sorted(s["operationName"] for s in t["spans"]) for t in self.searched(program, service)["data"]], [["child", "root"]], service)
            self.assertEqual(self.searched_v3(program, service).body.count(b'"spanId"'), 2, service)
        self.assertEqual(len(self.searched(program, "old")["data"]), 20)
        program.terminate()
        name = glob.glob(os.path.join(self.lake, f"day={D}", "trace-index-spans*.parquet"))[0]
        with open(name, "r+b") as file:
            file.seek(os.path.getsize(name) // 3)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x55]))
        program = self.begin()
        gone = hms.get(program.address("listen"), f"/api/traces?service=old&start={START * 10**6}&end={END * 10**6}&limit=1000")
        self.assertEqual(gone.status, 503, gone)
        self.assertIn(D, gone.body.decode())
        self.assertEqual(self.searched_v3(program, "old").status, 503)
        # What is hot is shown, and says what is missing, in every form.
        part = self.searched(program, "ledger")["data"]
        self.assertEqual([[s["operationName"] for s in t["spans"]] for t in part], [["child"]])
        self.assertIn(D, part[0]["warnings"][0])
        self.assertIn(D.encode(), self.searched_v3(program, "ledger").body)


if __name__ == "__main__":
    hms.main()
