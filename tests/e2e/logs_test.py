"""Logs as people look for them: words and parts of words over full chunks and fresh lines, attributes, pages, and the live tail."""

import json
import os
import socket
import sys
from urllib.parse import quote

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms
from sidecar import Events


def line(message, service="claims", **more):
    return {"type": "log", "payload": {"service": service, "level": "info", "msg": message, **more}}


class Logs(hms.TestCase):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.folder(), "data")
        self.begin()

    def begin(self):
        self.collector = self.start("hms-collector", "--data", self.data, "--listen", "127.0.0.1:0", "--otlp-listen", "off")
        self.address = self.collector.address("listen")

    def ingest(self, items):
        reply = hms.post_json(self.address, "/ingest", items)
        self.assertEqual(reply.status, 202, reply.body)

    def found(self, target):
        return [entry["msg"] for entry in hms.get_json(self.address, target)["logs"]]

    def test_words_parts_of_words_and_attributes_in_many_lines(self):
        for group in range(5):
            self.ingest([line(f"request {group}-{n} took {n % 97} ms" + (" near a Quagga#7" if (group, n) in ((1, 17), (4, 2)) else ""), order=f"o-{group}-{n}")
                         for n in range(4000)])
        for question in ("quagga", "Quagg", "AGGA%237"):
            self.assertEqual(self.found(f"/ops/logs?q={question}"), ["request 4-2 took 2 ms near a Quagga#7", "request 1-17 took 17 ms near a Quagga#7"])
        self.assertEqual(self.found("/ops/logs?q=zebra"), [])
        self.assertEqual(self.found("/ops/logs?attr=order:o-3-7"), ["request 3-7 took 7 ms"])
        self.assertEqual(self.found("/ops/logs?q=o-3-7%20"), [])  # another kind of nothing: the text of an attribute ends there
        self.assertEqual(hms.get(self.address, "/ops/logs?attr=nokey").status, 400)
        self.collector.kill()
        self.begin()
        self.assertEqual(len(self.found("/ops/logs?q=quagga")), 2)
        seen, cursor = [], ""
        while True:
            page = hms.get_json(self.address, "/ops/logs?limit=4999" + cursor)
            seen += [entry["msg"] for entry in page["logs"]]
            if not page["cursor"]:
                break
            cursor = "&cursor=" + page["cursor"]
        self.assertEqual((len(seen), len(set(seen))), (20000, 20000))
        self.assertEqual(seen[0], "request 4-3999 took 22 ms")

    def test_letters_of_every_script_in_either_case_over_full_chunks_and_fresh_lines(self):
        self.ingest([line(f"request {n}" + {17: " gab Ärger", 4711: " ΣΊΣΥΦΟΣ"}.get(n, "")) for n in range(9000)])  # one full chunk and a rest
        self.ingest([line("wieder ÄRGER in der straße", note="ОШИБКА"), line("ο Σίσυφος"), line("İstanbul")])
        asked = lambda text: self.found("/ops/logs?q=" + quote(text))
        for question in ("Ärger", "ÄRGER", "ärGER"):
            self.assertEqual(asked(question), ["wieder ÄRGER in der straße", "request 17 gab Ärger"])
        for question in ("σίσυφος", "ΣΊΣΥΦΟΣ", "Σίσυφοσ"):
            self.assertEqual(asked(question), ["ο Σίσυφος", "request 4711 ΣΊΣΥΦΟΣ"])
        self.assertEqual(asked("Ошибка"), ["wieder ÄRGER in der straße"])
        self.assertEqual(asked("STRAẞE"), ["wieder ÄRGER in der straße"])
        self.assertEqual(asked("İSTANBUL"), ["İstanbul"])
        for question in ("arger", "STRASSE", "istanbul", "Ärgernis"):
            self.assertEqual(asked(question), [])
        tail = self.use(Events(self.address, "/ops/logs/tail?q=" + quote("ÄRGER")))
        self.ingest([line("kein ärger"), line("still")])
        self.assertEqual(tail.find(lambda name, value: True)[2]["msg"], "kein ärger")

    def test_the_tail_gives_what_fits_as_it_comes(self):
        tail = self.use(Events(self.address, "/ops/logs/tail?service=claims&q=DECLINED"))
        self.assertEqual(tail.status, 200)
        self.ingest([line("card declined", card="4"), line("card declined", service="ui"), line("went well")])
        self.ingest([line("declined again", traceId="my-own-trace")])
        tail.find(lambda name, value: value["msg"] == "declined again")
        self.assertEqual([(entry["msg"], entry.get("card")) for entry in tail.data()], [("card declined", "4"), ("declined again", None)])
        self.assertEqual(tail.data()[1]["traceId"], "my-own-trace")

    def test_a_tail_reader_that_does_not_read_is_told_what_it_missed_and_costs_nothing(self):
        host, port = hms.split_address(self.address)
        slow = self.use(socket.create_connection((host, port)))
        slow.settimeout(hms.PATIENCE)
        slow.sendall(b"GET /ops/logs/tail HTTP/1.1\r\nHost: x\r\n\r\n")
        begun = b""
        while b": tail" not in begun:
            begun += slow.recv(4096)
        left_out = lambda: hms.prometheus_values(hms.get(self.address, "/metrics").body.decode())["hms_collector_tail_left_out_total"]
        number = 0
        while left_out() == 0:  # until the sockets' buffers are full, too
            self.ingest([line(f"{number + n}:" + "x" * 20_000) for n in range(50)])
            number += 50
            self.assertLess(number, 20_000)
        text = b""
        while b"event: gap" not in text:
            piece = slow.recv(1 << 20)
            self.assertTrue(piece)
            text = text[-4096:] + piece
            self.ingest([line("after")])
        gap = text[text.index(b"event: gap"):].split(b"data: ")[1].split(b"\n")[0]
        self.assertEqual(json.loads(gap)["reason"], "slow")
        self.assertGreater(json.loads(gap)["lines"], 0)

    def test_the_tail_refuses_more_readers_than_it_may_have(self):
        for _ in range(64):
            self.use(Events(self.address, "/ops/logs/tail"))
        reply = hms.get(self.address, "/ops/logs/tail")
        self.assertEqual((reply.status, reply.header("Retry-After")), (503, "5"))


if __name__ == "__main__":
    hms.main()
