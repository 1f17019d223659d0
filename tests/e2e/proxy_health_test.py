"""Health of endpoints: failing ones are left out, longer each time, never too many; active checks take them out and bring them back. And several workers that name routes alike."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import hms

PORTS = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")


class Switch:
    """A service that answers 200, or what it is told."""

    def __init__(self, test, port=0):
        self.status = 200
        self.origin = test.use(hms.RawOrigin(answer=lambda head, body: hms.response(self.status, b"x", reason="Told"), port=port))
        self.address = self.origin.address

    def asked(self, path=b" /call "):
        return len([head for head, _ in list(self.origin.requests) if path in head])


class Health(hms.TestCase):
    def proxy(self, services, more, *flags):
        endpoints = ", ".join(f'"{service.address}"' for service in services)
        config = f"upstreams:\n  shop: {{endpoints: [{endpoints}], balance: round_robin, {more}}}\nroutes:\n  - {{upstream: shop, retries: {{attempts: 0}}}}\n"
        self.process = self.start("hms-proxy", "--config", self.write(os.path.join(self.folder(), "c.yaml"), config), *PORTS, *flags)

    def call(self, count):
        return [hms.get(self.process.address("inbound"), "/call").status for _ in range(count)]

    def endpoints(self):
        return {e["address"]: e for e in hms.get_json(self.process.address("admin"), "/upstreams")["upstreams"][0]["endpoints"]}

    def metric(self, name):
        return hms.prometheus_values(hms.get(self.process.address("admin"), "/metrics").body.decode()).get(name, 0)


class Passive(Health):
    def test_an_endpoint_that_fails_in_a_row_is_left_out_and_taken_back(self):
        good, bad = Switch(self), Switch(self)
        bad.status = 503
        self.proxy((good, bad), "outlier: {consecutive: 3, ejection: 300ms}")
        statuses = self.call(20)
        self.assertEqual((statuses.count(503), statuses.count(200)), (3, 17))
        self.assertEqual(self.metric('hms_proxy_endpoint_ejections_total{result="ejected"}'), 1)
        bad.status = 200
        hms.wait_for(lambda: bad.asked() > 3 or not self.call(1)[0] == 200)
        self.assertEqual(set(self.call(10)), {200})

    def test_the_admin_view_says_until_when_and_longer_the_second_time(self):
        good, bad = Switch(self), Switch(self)
        bad.status = 500
        self.proxy((good, bad), "outlier: {consecutive: 2, ejection: 200ms}")
        self.call(6)
        first = self.process.wait_log("endpoint ejected")
        self.assertEqual((first["endpoint"], first["millis"]), (bad.address, 200))
        second = hms.wait_for(lambda: self.call(2) and next((line for line in list(self.process.log) if line.get("msg") == "endpoint ejected" and line["millis"] == 400), None))
        self.assertEqual(second["upstream"], "shop")
        out = self.endpoints()[bad.address]
        self.assertEqual((out["health"], out["ejections"] >= 2, out["ejected_until"] > 0), ("ejected", True, True))
        self.assertIsNone(self.endpoints()[good.address]["ejected_until"])

    def test_connections_that_fail_count_and_not_everybody_can_be_left_out(self):
        services = [Switch(self) for _ in range(3)]
        for service in services:
            service.status = 500
        services[2].origin.close()
        self.proxy(services, "outlier: {consecutive: 2, ejection: 1m}")
        statuses = self.call(30)
        self.assertIn(502, statuses)
        self.assertEqual(self.metric('hms_proxy_endpoint_ejections_total{result="ejected"}'), 1)
        self.assertGreater(self.metric('hms_proxy_endpoint_ejections_total{result="kept"}'), 0)

    def test_zero_turns_it_off(self):
        good, bad = Switch(self), Switch(self)
        bad.status = 500
        self.proxy((good, bad), "outlier: {consecutive: 0}")
        self.assertEqual(self.call(20).count(500), 10)


class Active(Health):
    CHECK = "health_check: {path: /healthz, interval: 20ms, timeout: 1s, healthy: 2, unhealthy: 2}"

    def test_an_endpoint_that_does_not_answer_well_gets_nothing_until_it_does(self):
        one, other = Switch(self), Switch(self)
        other.status = 500
        self.proxy((one, other), self.CHECK + ", outlier: {consecutive: 0}", "--threads", "2")
        self.process.wait_log("health check failed", lambda line: line["endpoint"] == other.address and "500" in line["error"])
        hms.wait_for(lambda: self.endpoints()[other.address]["health"] == "check_failed")
        before = other.asked()
        self.assertEqual(set(self.call(10)), {200})
        self.assertEqual(other.asked(), before)
        other.status = 200
        self.process.wait_log("healthy again", lambda line: line["endpoint"] == other.address)
        hms.wait_for(lambda: self.call(2) and other.asked() > before)
        self.assertGreater(self.metric('hms_proxy_health_checks_total{result="bad"}'), 0)

    def test_in_a_panic_everybody_is_asked(self):
        one, other = Switch(self), Switch(self)
        self.proxy((one, other), "health_check: {path: /healthz, interval: 20ms, unhealthy: 1}, outlier: {consecutive: 0}")
        one.status = other.status = 500
        for service in (one, other):
            self.process.wait_log("health check failed", lambda line, a=service.address: line["endpoint"] == a)
        hms.wait_for(lambda: [e["health"] for e in self.endpoints().values()] == ["check_failed"] * 2)
        self.assertEqual(set(self.call(10)), {500})
        self.assertGreater(min(one.asked(), other.asked()), 0)

    def test_connecting_is_enough_without_a_path(self):
        one, other = Switch(self), Switch(self)
        port = other.origin.port
        self.proxy((one, other), "health_check: {interval: 20ms, unhealthy: 1}")
        other.origin.close()
        self.process.wait_log("health check failed", lambda line: line["endpoint"] == other.address)
        Switch(self, port)
        self.process.wait_log("healthy again", lambda line: line["endpoint"] == other.address)


class NoDescriptors(hms.TestCase):
    """The limit is ours, so the services are not to blame, and whoever asks how we are gets an answer."""

    LIMIT = 96

    def test_our_own_want_of_descriptors_is_503_and_no_word_against_the_services(self):
        services = [Switch(self), Switch(self)]
        config = self.write(os.path.join(self.folder(), "proxy.yaml"), f"""upstreams:
  shop: {{endpoints: [{", ".join(repr(s.address) for s in services)}], outlier: {{consecutive: 1}}}}
routes: [{{upstream: shop}}]
""")
        limited = self.write(os.path.join(self.folder(), "limited"), f'#!/bin/sh\nulimit -n {self.LIMIT}\nexec "{hms.binary("hms-proxy")}" "$@"\n')
        os.chmod(limited, 0o755)
        proxy = self.start(limited, "--config", config, "--protocol", "http", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        callers = [self.use(hms.RawCaller(proxy.address("inbound"))) for _ in range(self.LIMIT)]
        for caller in callers:
            caller.send(b"GET / HTTP/1.1\r\n")

        def metric(name):
            return hms.prometheus_values(hms.get(proxy.address("admin"), "/metrics").body.decode()).get(name, 0)

        kept_back = self.LIMIT - self.LIMIT // 8  # the first of them: its use tells that all others are taken
        hms.wait_for(lambda: set(range(kept_back + 1)) <= {int(name) for name in os.listdir(f"/proc/{proxy.pid}/fd")})
        for caller in callers[:5]:
            reply = caller.send(b"Host: a\r\n\r\n").read_reply()
            self.assertEqual((reply.status, reply.header("x-hms-error"), reply.header("retry-after")), (503, "overloaded", "1"))
        self.assertEqual(metric("hms_proxy_out_of_descriptors_total"), 5)
        self.assertEqual(metric('hms_proxy_local_replies_total{error="overloaded"}'), 5)
        self.assertGreater(metric("hms_proxy_accept_pauses_total"), 0)
        self.assertEqual(hms.get(proxy.address("admin"), "/healthz").status, 200)
        for endpoint in hms.get_json(proxy.address("admin"), "/upstreams")["upstreams"][0]["endpoints"]:
            self.assertEqual((endpoint["health"], endpoint["failures"], endpoint["ejections"]), ("healthy", 0, 0), endpoint)
        for caller in callers[5:]:
            caller.close()
        hms.wait_for(lambda: hms.get(proxy.address("inbound"), "/").status == 200)


class SharedAddress(Health):
    def test_the_check_of_one_upstream_says_nothing_of_another_at_the_same_address(self):
        shared, other = Switch(self), Switch(self)
        config = (f'upstreams:\n  plain: {{endpoints: ["{shared.address}", "{other.address}"], balance: round_robin}}\n'
                  f'  checked: {{endpoints: ["{shared.address}"], health_check: {{path: /bad, interval: 20ms, unhealthy: 1}}}}\n'
                  "routes:\n  - {match: {path: /checked}, upstream: checked}\n  - {upstream: plain}\n")
        shared.status = 500
        self.process = self.start("hms-proxy", "--config", self.write(os.path.join(self.folder(), "c.yaml"), config), *PORTS)
        self.process.wait_log("health check failed", lambda line: line["upstream"] == "checked")

        def health():
            upstreams = hms.get_json(self.process.address("admin"), "/upstreams")["upstreams"]
            return {(u["name"], e["address"]): e["health"] for u in upstreams for e in u["endpoints"] if u["name"] in ("plain", "checked")}

        hms.wait_for(lambda: health()["checked", shared.address] == "check_failed")
        self.assertEqual({health()["plain", address] for address in (shared.address, other.address)}, {"healthy"})
        told = hms.get_json(self.process.address("admin"), "/config")["upstreams"]
        self.assertEqual((told["checked"]["health_check"]["path"], told["checked"]["health_check"]["unhealthy"]), ("/bad", 1))
        self.assertNotIn("health_check", told["plain"])
        self.assertEqual(told["plain"]["outlier"]["consecutive"], 5)
        shared.status = 200
        self.assertEqual(set(self.call(10)), {200})
        self.assertEqual((shared.asked(), other.asked()), (5, 5))


class Workers(hms.TestCase):
    def test_four_workers_name_routes_alike(self):
        origin = self.use(hms.RawOrigin())
        proxy = self.start("hms-proxy", "--app", origin.address, "--threads", "4", *PORTS)

        def call(first, count):
            for number in range(first, first + count):
                word = "".join(chr(97 + int(digit)) for digit in str(number))
                self.assertEqual(hms.get(proxy.address("inbound"), f"/shops/name-{word}/stock").status, 200)

        def learned():
            return [route for route in hms.get_json(proxy.address("admin"), "/routes")["learned"] if route.startswith("/shops/")]

        # 60 names over four workers: none of them sees the 33 alone that make a place a value.
        callers = [threading.Thread(target=call, args=(15 * i, 15)) for i in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        hms.wait_for(lambda: call(0, 60) or learned() == ["/shops/{value}/stock"], what=f"one name; so far {learned()}")
        self.assertEqual(learned(), ["/shops/{value}/stock"])


if __name__ == "__main__":
    hms.main()
