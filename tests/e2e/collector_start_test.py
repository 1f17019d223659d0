"""The collector listens before it has read back what is stored, and says so; a client waits with Retry-After and loses nothing."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms


class Start(hms.TestCase):
    def begin(self, data, **options):
        return self.start("hms-collector", "--data", data, "--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0", **options)

    def held_back(self):
        """A collector that cannot read its data directory's CURRENT yet: the file is a pipe that nobody writes to. Also gives what lets it go on."""
        data = os.path.join(self.folder(), "data")
        first = self.begin(data)
        self.assertEqual(hms.post_json(first.address("listen"), "/ingest", {"type": "log", "payload": {"service": "s", "msg": "before"}}).status, 202)
        self.assertEqual(first.terminate(), 0)
        current, kept = os.path.join(data, "CURRENT"), os.path.join(data, "CURRENT.kept")
        os.rename(current, kept)
        os.mkfifo(current)
        collector = self.begin(data, wait_ready=False)
        collector.ready = collector.wait_log("starting")

        def go_on():
            with open(current, "wb") as pipe:  # returns when the collector has it open
                with open(kept, "rb") as file:
                    content = file.read()
                os.rename(kept, current)
                pipe.write(content)
            collector.ready = collector.wait_log("ready")

        return collector, go_on

    def test_503_until_recovered_then_everything_is_there(self):
        collector, go_on = self.held_back()
        for target in ("/readyz", "/metrics", "/", "/api/services", "/ops/logs", "/no/such/path"):
            reply = hms.get(collector.address("listen"), target)
            self.assertEqual((reply.status, reply.header("Retry-After")), (503, "1"), target)
        self.assertEqual(hms.get(collector.address("listen"), "/healthz").status, 200)
        sent = {"type": "log", "payload": {"service": "s", "msg": "too early"}}
        self.assertEqual(hms.post_json(collector.address("listen"), "/ingest", sent).status, 503)
        self.assertEqual(hms.get(collector.address("otlp"), "/v1/traces").status, 503)
        self.assertFalse(any(line.get("msg") == "ready" for line in collector.log))
        go_on()
        self.assertEqual(hms.get(collector.address("listen"), "/readyz").status, 200)
        self.assertEqual(hms.get(collector.address("listen"), "/no/such/path").status, 404)
        lines = hms.get_json(collector.address("listen"), "/ops/logs?service=s")["logs"]
        self.assertEqual([line["msg"] for line in lines], ["before"])

    def test_asked_to_stop_while_starting_it_stops(self):
        collector, go_on = self.held_back()
        self.assertEqual(collector.terminate(), 0)


if __name__ == "__main__":
    hms.main()
