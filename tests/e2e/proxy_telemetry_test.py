"""What leaves for the collector: batches with an identity, kept over an outage, sent again unchanged, counted."""

import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

BATCH = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/\d+/\d+$")


class Telemetry(hms.TestCase):
    def proxy(self, collector, *extra):
        self.origin = self.use(hms.RawOrigin())
        return self.start("hms-proxy", "--app", self.origin.address, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--service", "claims", "--collector", f"http://{collector}", *extra)

    def values(self, proxy):
        return hms.prometheus_values(hms.get(proxy.address("admin"), "/metrics").body.decode())

    def test_spans_and_metrics_arrive_once_a_second_with_an_identity(self):
        collector = self.use(hms.RecordingCollector())
        proxy = self.proxy(collector.address)
        for number in range(5):
            hms.get(proxy.address("inbound"), f"/claims/{number}", {"x-trace": f"free-text-{number}"})
        collector.wait_batches(1, lambda b: b["path"] == "/v1/traces")
        collector.wait_batches(1, lambda b: b["path"] == "/v1/metrics")
        sequences = []
        for batch in list(collector.batches):
            self.assertRegex(batch["headers"]["x-hms-batch"], BATCH)
            self.assertEqual(batch["headers"]["content-type"], "application/x-protobuf")
            self.assertEqual(batch["headers"]["content-encoding"], "zstd")
            sequences.append(int(batch["headers"]["x-hms-batch"].rsplit("/", 1)[1]))
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))

    def test_a_point_names_the_trace_of_its_slowest_request(self):
        collector = self.start("hms-collector", "--data", self.folder(), "--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0")
        proxy = self.proxy(collector.address("otlp"))
        trace = "01902c6a-7d3f-7cc2-9a41-5f1c2b7e8d90"
        start = int(time.time())
        hms.get(proxy.address("inbound"), "/slow", {"x-trace": trace})

        def exemplars():
            path = f"/api/v1/query_exemplars?query=http_server_request_duration_seconds&start={start}&end={start + 600}"
            return [e for series in hms.get(collector.address("listen"), path).json()["data"] for e in series["exemplars"]]

        self.wait_for(exemplars)
        self.assertEqual(exemplars()[0]["labels"]["trace_id"], trace.replace("-", ""))

    def test_a_second_without_requests_is_reported_too(self):
        # The collector holds each second back until every sidecar has reported it.
        collector = self.use(hms.RecordingCollector())
        self.proxy(collector.address)
        collector.wait_batches(6, lambda b: b["path"] == "/v1/metrics")

    def test_an_outage_loses_nothing_and_repeats_the_same_batch(self):
        collector = self.use(hms.RecordingCollector(status=503))
        proxy = self.proxy(collector.address)
        hms.get(proxy.address("inbound"), "/a")
        collector.wait_batches(2)
        self.assertEqual(len({b["headers"]["x-hms-batch"] for b in collector.batches}), 1, "the first batch is tried until it is acknowledged")
        self.assertEqual(len({b["body"] for b in collector.batches}), 1)
        hms.get(proxy.address("inbound"), "/b")
        self.wait_for(lambda: self.values(proxy)["hms_proxy_telemetry_spool_batches"] >= 3)
        collector.status = 200
        self.wait_for(lambda: self.values(proxy)["hms_proxy_telemetry_spool_batches"] == 0, 60)
        accepted = [b["headers"]["x-hms-batch"] for b in collector.batches if b["status"] == 200]
        self.assertEqual(len(accepted), len(set(accepted)))
        sequences = [int(batch.rsplit("/", 1)[1]) for batch in accepted]
        self.assertEqual(sequences, list(range(1, len(sequences) + 1)))
        def all_acknowledged():
            values = self.values(proxy)
            return values['hms_proxy_telemetry_records_total{state="acknowledged"}'] == values['hms_proxy_telemetry_records_total{state="added"}']

        self.wait_for(all_acknowledged)

    def test_a_collector_that_is_away_costs_no_request(self):
        proxy = self.proxy(f"127.0.0.1:{hms.free_port()}")
        for number in range(20):
            self.assertEqual(hms.get(proxy.address("inbound"), f"/{number}").status, 200)
        self.wait_for(lambda: self.values(proxy)["hms_proxy_export_failures_total"] >= 1)

    def test_what_was_measured_last_is_sent_before_the_end(self):
        collector = self.use(hms.RecordingCollector())
        proxy = self.proxy(collector.address)
        hms.get(proxy.address("inbound"), "/last")
        self.assertEqual(proxy.terminate(), 0)
        self.assertTrue(proxy.wait_log("drained")["telemetry_delivered"])
        self.assertTrue(any(b["path"] == "/v1/traces" for b in collector.batches))

    def test_the_instance_and_its_boot_number_outlive_a_restart_with_a_spool_directory(self):
        collector, folder = self.use(hms.RecordingCollector()), self.folder()
        identities = []
        for _ in range(2):
            before = len(collector.batches)
            proxy = self.proxy(collector.address, "--spool-dir", folder)
            hms.get(proxy.address("inbound"), "/")
            self.assertEqual(proxy.terminate(), 0)
            identities.append(collector.batches[before]["headers"]["x-hms-batch"].split("/")[:2])
        self.assertEqual(identities[0][0], identities[1][0])
        self.assertEqual([int(boot) for _, boot in identities], [1, 2])

    def test_telemetry_off_sends_nothing(self):
        collector = self.use(hms.RecordingCollector())
        proxy = self.proxy(collector.address, "--telemetry", "off")
        hms.get(proxy.address("inbound"), "/")
        self.assertEqual(proxy.terminate(), 0)
        self.assertEqual(collector.batches, [])


if __name__ == "__main__":
    hms.main()
