"""Flags, files, environment, errors that teach, reload, splits and their stickiness, weights from the collector."""

import collections
import json
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

PORTS = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")


class Usage(hms.TestCase):
    def test_help_and_version(self):
        code, out, _ = hms.run("hms-proxy", "--help")
        self.assertEqual(code, 0)
        for flag in ("--config", "--check", "--service", "--listen", "--app", "--outbound", "--admin", "--collector", "--spool-dir", "--threads", "--spin-us", "--log-format", "--access-log"):
            self.assertIn(flag, out)
        code, out, _ = hms.run("hms-proxy", "--version")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"^hms-proxy \d+\.\d+\.\d+\n$")

    def test_bad_usage_is_exit_2_with_one_clear_sentence(self):
        for arguments, words in ((["--frobnicate"], "--frobnicate"), (["--threads", "0", "--app", "127.0.0.1:1"], "--threads"), (["--spin-us", "1001", "--app", "127.0.0.1:1"], "--spin-us"), (["--listen", "nonsense", "--app", "127.0.0.1:1"], "--listen"),
                                 (["--app", "no-port"], "--app"), (["--collector", "ftp://x", "--app", "127.0.0.1:1"], "--collector"), (["--log-format", "xml"], "--log-format"),
                                 (["--telemetry", "maybe", "--app", "127.0.0.1:1"], "--telemetry"), ([], "nothing to do"), (["--config", "/does/not/exist.yaml"], "/does/not/exist.yaml")):
            code, _, error = hms.run("hms-proxy", *arguments)
            self.assertEqual(code, 2, (arguments, error))
            self.assertIn(words, error)
            self.assertLessEqual(len(error.strip().splitlines()), 2, error)

    def test_a_port_in_use_is_exit_1_and_named(self):
        origin = self.use(hms.RawOrigin())
        for flags in (["--listen", origin.address], ["--listen", origin.address, "--threads", "2"], ["--listen", "127.0.0.1:0", "--admin", origin.address],
                      ["--listen", "127.0.0.1:0", "--outbound", origin.address]):
            code, _, error = hms.run("hms-proxy", "--app", "127.0.0.1:1", "--admin", "127.0.0.1:0", *flags)
            self.assertEqual(code, 1, error)
            self.assertIn(origin.address, error)
            self.assertIn("in use", error)

    def test_flags_win_over_environment_over_file(self):
        folder = self.folder()
        config = self.write(os.path.join(folder, "c.yaml"), "service: from-file\nlisteners: {inbound: {address: '127.0.0.1:0', app: '127.0.0.1:1'}}\nadmin: {address: '127.0.0.1:0'}\n")
        self.assertEqual(self.start("hms-proxy", "--config", config).ready["service"], "from-file")
        self.assertEqual(self.start("hms-proxy", env={"HMS_CONFIG": config, "HMS_SERVICE": "from-env"}).ready["service"], "from-env")
        self.assertEqual(self.start("hms-proxy", "--service", "from-flag", env={"HMS_CONFIG": config, "HMS_SERVICE": "from-env"}).ready["service"], "from-flag")

    def test_in_kubernetes_the_services_own_calls_are_taken_too(self):
        inside = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
        self.assertEqual(self.start("hms-proxy", "--app", "127.0.0.1:1", *PORTS, "--outbound", "off", env=inside).ready["outbound"], "off")
        code, out, error = hms.run("hms-proxy", "--check", env=inside)
        self.assertEqual((code, error), (0, ""))
        self.assertNotIn("to run it needs", out)  # the outbound listener alone is something to do

    def test_text_logs_for_people(self):
        taken = self.use(hms.RawOrigin()).address
        code, _, error = hms.run("hms-proxy", "--app", "127.0.0.1:1", "--listen", taken, "--admin", "127.0.0.1:0", "--log-format", "text")
        self.assertEqual(code, 1)
        self.assertFalse(error.startswith("{"), error)


class Check(hms.TestCase):
    def check(self, text):
        path = self.write(os.path.join(self.folder(), "claims.yaml"), text)
        return hms.run("hms-proxy", "--config", path, "--check")

    def test_the_pages_example_is_good(self):
        code, out, error = self.check("""service: claims
collector: {url: "https://collector:9090"}
listeners:
  inbound:  {address: "0.0.0.0:15006", app: "127.0.0.1:8080"}
  outbound: {address: "127.0.0.1:15001"}
upstreams:
  claims-v1: {endpoints: ["10.0.0.11:8080", "10.0.0.12:8080"], balance: peak_ewma}
  claims-v2: {endpoints: ["10.0.0.21:8080"]}
routes:
  - match: {host: "claims", path: "/claims/{id}", methods: [GET, POST]}
    split: [{upstream: claims-v1, weight: 95}, {upstream: claims-v2, weight: 5}]
    timeout: 15s
    retries: {attempts: 2, on: [connect, reset, 503], budget: 20%}
""")
        self.assertEqual((code, error), (0, ""))
        self.assertIn("good", out)

    def test_every_error_is_printed_with_file_line_and_what_is_allowed(self):
        code, _, error = self.check("""service: claims
servce: x
upstreams:
  a: {endpoints: ["nonsense"], balance: fastest}
routes:
  - match: {path: "claims", metods: [GET]}
    split: [{upstream: a, wieght: 5}]
    timeout: 15
  - upstream: nobody
""")
        self.assertEqual(code, 2)
        lines = error.splitlines()
        for words in (("claims.yaml:2:", "servce", "service"), ("claims.yaml:4:", "nonsense"), ("claims.yaml:4:", "fastest", "peak_ewma"), ("claims.yaml:6:", "metods", "methods"),
                      ("claims.yaml:6:", "begins with '/'"), ("claims.yaml:7:", "wieght", "weight"), ("claims.yaml:8:", "timeout"), ("claims.yaml:9:", "nobody", "known: a")):
            self.assertTrue(any(all(word in line for word in words) for line in lines), (words, error))

    def test_faults_that_show_only_in_the_whole_have_their_place_too(self):
        code, _, error = self.check("""upstreams:
  app: {endpoints: ["127.0.0.1:1"]}
  b: {endpoints: ["h:1"], tls: {ca: missing.pem}}
  c: {endpoints: ["h:1"], tls: {ca: gone.pem}}
routes:
  - match: {path: "/a"}
    upstream: nobody
  - match: {path: "/a?b=1", host: "h:80"}
    split:
      - {upstream: b, weight: 1}
      - {upstream: b, weight: 2}
      - {upstream: app, weight: 2}
""")
        self.assertEqual(code, 2)
        lines = error.splitlines()
        for words in (("claims.yaml:2:", "/upstreams/app", "choose another name"), ("claims.yaml:7:", "/routes/0/upstream", "nobody", "known: b, c"), ("claims.yaml:8:", "/routes/1/match/path", "'?'"),
                      ("claims.yaml:8:", "/routes/1/match/host", "without port"), ("claims.yaml:11:", "/routes/1/split/1/upstream", "twice"), ("claims.yaml:12:", "/routes/1/split/2/upstream", "app"),
                      ("claims.yaml:3:", "/upstreams/b", "missing.pem"), ("claims.yaml:4:", "/upstreams/c", "gone.pem")):
            self.assertTrue(any(all(word in line for word in words) for line in lines), (words, error))

    def test_patterns_that_could_never_match_are_refused_with_what_is_allowed(self):
        for match, words in (("path: '/api*'", "'/api/*'"), ("path: '/a/*/b'", "'*' is allowed as the last segment alone"), ("path: '/v{version}/x'", "a variable takes a whole segment"), ("path: '/a//b'", "without '.', '..' and empty segments"),
                             ("path: '/a/../b'", "without '.', '..' and empty segments"), ("host: 'api.*.example'", "'*.' and a domain"), ("host: '*'", "leave host out"), ("host: '*example.com'", "'*.example.com'"),
                             ("host: '[::1'", "allowed in brackets: an IPv6 address"), ("host: '[::1]x'", "allowed in brackets: an IPv6 address")):
            code, _, error = self.check("upstreams: {u: {endpoints: ['127.0.0.1:1']}}\nroutes:\n  - match: {" + match + "}\n    upstream: u\n")
            self.assertEqual((match, code), (match, 2))
            self.assertIn("claims.yaml:3", error)
            self.assertIn(words, error)

    def test_a_fault_in_the_environment_names_the_variable(self):
        code, _, error = hms.run("hms-proxy", "--app", "127.0.0.1:1", "--check", env={"HMS_THREADS": "banana"})
        self.assertEqual(code, 2)
        self.assertEqual(error, "HMS_THREADS: 'banana' is not a number from 1 to 256\n")
        code, _, error = hms.run("hms-proxy", "--app", "127.0.0.1:1", "--threads", "many", "--check", env={"HMS_THREADS": "banana"})
        self.assertIn("--threads: 'many'", error)

    def test_a_good_configuration_that_has_nothing_to_do_says_so(self):
        code, out, _ = self.check("service: claims\n")
        self.assertEqual(code, 0)
        self.assertIn("to run it needs --app", out)

    def test_broken_yaml_names_the_line(self):
        code, _, error = self.check("service: [\n")
        self.assertEqual(code, 2)
        self.assertIn("claims.yaml:", error)

    def test_a_directory_is_merged_and_conflicts_are_named(self):
        folder = self.folder()
        self.write(os.path.join(folder, "10-base.yaml"), "service: claims\nupstreams: {a: {endpoints: ['127.0.0.1:1']}}\n")
        self.write(os.path.join(folder, "20-routes.yaml"), "routes: [{upstream: a}]\n")
        self.write(os.path.join(folder, "ignored.txt"), "not: yaml: at: all")
        self.assertEqual(hms.run("hms-proxy", "--config", folder, "--check")[0], 0)
        self.write(os.path.join(folder, "30-again.yaml"), "service: other\nupstreams: {a: {endpoints: ['127.0.0.1:2']}}\n")
        code, _, error = hms.run("hms-proxy", "--config", folder, "--check")
        self.assertEqual(code, 2)
        self.assertIn("30-again.yaml:1", error)
        self.assertIn("10-base.yaml:1", error)
        self.assertIn("10-base.yaml:2", error)


class Reload(hms.TestCase):
    def test_a_change_on_disk_is_taken_and_a_bad_one_refused_whole(self):
        one, two = self.use(hms.RawOrigin(answer=hms.response(200, b"one"))), self.use(hms.RawOrigin(answer=hms.response(200, b"two")))
        path = os.path.join(self.folder(), "c.yaml")
        text = "upstreams: {{u: {{endpoints: ['{}']}}}}\nroutes: [{{upstream: u}}]\n"
        self.write(path, text.format(one.address))
        proxy = self.start("hms-proxy", "--config", path, *PORTS, "--service", "s")
        self.assertEqual(hms.get(proxy.address("inbound")).body, b"one")
        self.write(path, text.format(two.address))
        self.wait_for(lambda: hms.get(proxy.address("inbound")).body == b"two")
        self.write(path, text.format(one.address) + "nonsense: 1\n")
        refused = proxy.wait_log("configuration refused; the old one stays in force")
        self.assertIn("c.yaml:3:", refused["error"])
        self.assertEqual(hms.get(proxy.address("inbound")).body, b"two")
        self.assertEqual(hms.post(proxy.address("admin"), "/reload", b"").status, 400)
        self.write(path, text.format(one.address))
        self.wait_for(lambda: hms.get(proxy.address("inbound")).body == b"one")
        self.assertEqual(hms.get_json(proxy.address("admin"), "/config")["upstreams"]["u"]["endpoints"], [one.address])

    def test_sighup_reloads(self):
        path = self.write(os.path.join(self.folder(), "c.yaml"), "access_log: off\n")
        proxy = self.start("hms-proxy", "--config", path, *PORTS, "--app", "127.0.0.1:1")
        proxy.signal(signal.SIGHUP)
        self.assertEqual(proxy.wait_log("configuration taken")["why"], "SIGHUP")

    def test_reloads_under_load_fail_no_request(self):
        origins = [self.use(hms.RawOrigin()) for _ in range(2)]
        path = os.path.join(self.folder(), "c.yaml")

        def config(number):
            return f"upstreams: {{u: {{endpoints: ['{origins[number % 2].address}']}}}}\nroutes: [{{match: {{path: '/{{n}}'}}, upstream: u, timeout: {10 + number}s}}]\n"

        self.write(path, config(0))
        proxy = self.start("hms-proxy", "--config", path, *PORTS, "--threads", "2", "--service", "s")
        load = self.use(hms.Load(proxy.address("inbound"), 4, lambda n: ("POST", f"/{n}", {}, b"body")))
        for number in range(1, 20):
            self.write(path, config(number))
            self.assertEqual(hms.post(proxy.address("admin"), "/reload", b"").status, 200)
            load.wait_replies(20)
        self.assertEqual((list(load.stop()), load.failures), ([200], []))
        self.assertTrue(all(origin.requests for origin in origins))


class Splits(hms.TestCase):
    def split(self, text, *extra):
        self.one, self.two = self.use(hms.RawOrigin(answer=hms.response(200, b"1"))), self.use(hms.RawOrigin(answer=hms.response(200, b"2")))
        self.path = os.path.join(self.folder(), "c.yaml")
        self.write(self.path, f"upstreams: {{v1: {{endpoints: ['{self.one.address}']}}, v2: {{endpoints: ['{self.two.address}']}}}}\nroutes:\n{text}")
        self.process = self.start("hms-proxy", "--config", self.path, *PORTS, "--service", "claims", *extra)
        self.keep = self.use(hms.RawCaller(self.process.address("inbound")))

    def ask(self, headers=""):
        return self.keep.send(f"GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode()).read_reply().body

    def test_shares_follow_the_weights(self):
        for sticky in ("trace", "none"):
            self.split(f"  - split: [{{upstream: v1, weight: 80}}, {{upstream: v2, weight: 20}}]\n    sticky: {sticky}\n")
            shares = collections.Counter(self.ask() for _ in range(1000))
            # Binomial: 200 +- 6 sigma.
            self.assertTrue(120 < shares[b"2"] < 280, (sticky, shares))

    def test_a_trace_stays_on_its_side_and_nobody_moves_back_as_the_weight_grows(self):
        self.split("  - split: [{upstream: v1, weight: 90}, {upstream: v2, weight: 10}]\n")
        traces = [f"x-trace: trace-{n}\r\n" for n in range(150)]
        first = [self.ask(t) for t in traces]
        self.assertEqual(first, [self.ask(t) for t in traces])
        text = open(self.path, encoding="utf-8").read()
        self.write(self.path, text.replace("weight: 90", "weight: 50").replace("weight: 10", "weight: 50"))
        self.assertEqual(hms.post(self.process.address("admin"), "/reload", b"").status, 200)
        later = [self.ask(t) for t in traces]
        for before, after in zip(first, later):
            if before == b"2":
                self.assertEqual(after, b"2")
        self.assertGreater(later.count(b"2"), first.count(b"2"))

    def test_a_domain_stands_for_the_names_below_it_and_a_final_dot_for_nothing(self):
        app, below = self.use(hms.RawOrigin()), self.use(hms.RawOrigin())
        config = self.write(os.path.join(self.folder(), "c.yaml"), f"upstreams: {{u: {{endpoints: ['{below.address}']}}}}\nroutes:\n  - {{match: {{host: '*.Example.com'}}, upstream: u}}\n  - {{match: {{host: claims.local.}}, upstream: u}}\n")
        proxy = self.start("hms-proxy", "--config", config, "--app", app.address, *PORTS)
        for host, origin in (("a.example.com", below), ("A.B.EXAMPLE.com:81", below), ("a.example.com.", below), ("claims.local", below), ("claims.local.:80", below), ("example.com", app), (".example.com", app), ("badexample.com", app), ("a.example.com.evil", app)):
            before = len(origin.requests)
            self.assertEqual((host, hms.get(proxy.address("inbound"), "/", {"Host": host}).status), (host, 200))
            self.assertEqual((host, len(origin.requests)), (host, before + 1))

    def test_sticky_by_header(self):
        self.split("  - split: [{upstream: v1, weight: 50}, {upstream: v2, weight: 50}]\n    sticky: header:x-user\n")
        users = [f"x-user: user-{n}\r\n" for n in range(40)]
        first = [self.ask(u) for u in users]
        self.assertEqual(first, [self.ask(u) for u in users])
        self.assertEqual(set(first), {b"1", b"2"})

    def test_both_sides_are_told_apart_in_the_metrics(self):
        self.split("  - split: [{upstream: v1, weight: 50}, {upstream: v2, weight: 50}]\n    sticky: none\n")
        for _ in range(50):
            self.ask()
        text = hms.get(self.process.address("admin"), "/metrics").body.decode()
        self.assertIn('hms_upstream="v1"', text)
        self.assertIn('hms_upstream="v2"', text)


class FromTheCollector(Splits):
    """Weights over GET /ops/config/{service}: a raw peer plays the collector's side of the stream."""

    def stream(self):
        self.weights = []
        self.opened = threading.Semaphore(0)

        def script(connection):
            head = connection.read_head()
            if not head.startswith(b"GET /ops/config/claims "):
                connection.send(hms.response(200, b""))
                return
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.streams.append(connection)
            self.opened.release()
            connection.wait_end()

        self.streams = []
        return self.use(hms.RawOrigin(script=script))

    def push(self, weight, version):
        data = {"version": version, "splits": [{"name": "rollout", "service": "claims", "baseline": "v1", "canary": "v2", "weight": weight}]}
        event = f"event: config\ndata: {json.dumps(data)}\n\n: warm\n\n".encode()
        self.streams[-1].send(b"%x\r\n%s\r\n" % (len(event), event))
        self.wait_for(lambda: hms.get_json(self.process.address("admin"), "/config")["canaries"]["version"] == version)

    def shares(self, requests=200):
        return collections.Counter(self.ask() for _ in range(requests))

    def test_weights_are_taken_kept_without_the_collector_and_over_a_reload(self):
        collector = self.stream()
        self.split("  - upstream: v1\n", "--collector", "http://" + collector.address)
        self.assertTrue(self.opened.acquire(timeout=hms.PATIENCE))
        self.assertEqual(self.shares(50)[b"2"], 0)
        self.push(100, 1)
        self.assertEqual(self.shares(50)[b"1"], 0)
        self.push(30, 2)
        self.assertTrue(20 < self.shares()[b"2"] < 110)
        split = hms.get_json(self.process.address("admin"), "/upstreams")["splits"][0]["split"]
        self.assertEqual([(s["upstream"], round(s["weight"])) for s in split], [("v1", 70), ("v2", 30)])
        self.push(100, 3)
        self.streams[-1].close()
        collector.stop_listening()
        self.process.wait_log("configuration stream lost; the last weights stay")
        self.assertEqual(self.shares(50)[b"1"], 0)
        self.assertEqual(hms.post(self.process.address("admin"), "/reload", b"").status, 200)
        self.assertEqual(self.shares(50)[b"1"], 0)

    def test_a_canary_takes_its_percent_of_what_the_two_had(self):
        collector = self.stream()
        self.split("  - split: [{upstream: v1, weight: 60}, {upstream: v2, weight: 20}]\n", "--collector", "http://" + collector.address)
        self.assertTrue(self.opened.acquire(timeout=hms.PATIENCE))
        self.push(0, 7)
        self.assertEqual(self.shares(50)[b"2"], 0)

    def test_a_lost_stream_is_opened_again_and_nonsense_is_refused(self):
        collector = self.stream()
        self.split("  - upstream: v1\n", "--collector", "http://" + collector.address)
        self.assertTrue(self.opened.acquire(timeout=hms.PATIENCE))
        self.push(100, 1)
        bad = b"event: config\ndata: {\"version\":2,\"splits\":[{\"name\":\"x\"}]}\n\n"
        self.streams[-1].send(b"%x\r\n%s\r\n" % (len(bad), bad))
        self.process.wait_log("refused")
        self.assertEqual(self.shares(20)[b"1"], 0)
        self.streams[-1].close()
        self.assertTrue(self.opened.acquire(timeout=hms.PATIENCE))
        self.push(0, 3)
        self.assertEqual(self.shares(20)[b"2"], 0)

    test_shares_follow_the_weights = None
    test_a_trace_stays_on_its_side_and_nobody_moves_back_as_the_weight_grows = None
    test_sticky_by_header = None
    test_both_sides_are_told_apart_in_the_metrics = None


if __name__ == "__main__":
    hms.main()
