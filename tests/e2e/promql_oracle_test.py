"""PromQL beside Debian's Prometheus: the same data in both, the same questions, the same answers to 1e-6.

Needs Debian's `prometheus` package (prometheus and promtool), which ./dev test unpacks into build/deps; without it the test is skipped and says so. The data is written once as OpenMetrics
(promtool makes blocks of it) and once as OTLP. Every sample lies 1 ms off a round second, because Debian's Prometheus 2.42 closes its ranges on the
left and ours are left-open, as in Prometheus 3 (docs/query.md lists what differs on purpose).
"""

import json
import math
import os
import random
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import hms

STEP = 15
POINTS = 360  # 90 minutes
TOLERANCE = 1e-6


def make_data(end):
    """[(labels, [(unix_seconds + 0.001, value)])], labels with __name__."""
    rng = random.Random(42)
    start = (end - POINTS * STEP) // 60 * 60
    times = [start + i * STEP + 0.001 for i in range(POINTS)]
    series = []

    def add(name, labels, values):
        series.append((dict(labels, __name__=name), [(t, v) for t, v in zip(times, values) if v is not None]))

    for service in ("claims", "ui", "store"):
        for instance in ("a", "b"):
            for code in ("200", "404", "500"):
                total, values = 0.0, []
                for i in range(POINTS):
                    if rng.random() < 0.004:
                        total = 0.0  # the process began anew
                    total += rng.randrange(0, {"200": 50, "404": 5, "500": 3}[code])
                    values.append(total)
                if service == "ui" and instance == "b":
                    values = [None] * 120 + values[120:240] + [None] * 120  # came late, left early
                if service == "store" and code == "404":
                    values = [v if i % 7 else None for i, v in enumerate(values)]  # some scrapes failed
                add("requests_total", {"service_name": service, "instance": instance, "code": code}, values)
        add("limit", {"service_name": service}, [1000.0 * (1 + len(service))] * POINTS)
        level, values = 20.0, []
        for i in range(POINTS):
            level += rng.uniform(-1.5, 1.5)
            values.append(round(level, 3))
        add("temperature", {"service_name": service, "sensor": "s-" + service[:2], "unit": "disk%d" % len(service)}, values)
        add("negative", {"service_name": service}, [math.sin(i / 10.0) * 5 - 2 for i in range(POINTS)])
    for service in ("claims", "store"):
        for route in ("/a", "/b"):
            counts = dict.fromkeys(("0.1", "0.25", "0.5", "1", "2.5", "+Inf"), 0.0)
            columns = {le: [] for le in counts}
            for i in range(POINTS):
                running = 0
                for le in counts:
                    running += rng.randrange(0, 6)
                    counts[le] += running
                    columns[le].append(counts[le])
            for le, values in columns.items():
                add("latency_bucket", {"service_name": service, "route": route, "le": le}, values)
            add("latency_count", {"service_name": service, "route": route}, columns["+Inf"])
            add("latency_sum", {"service_name": service, "route": route}, [v * 0.3 for v in columns["+Inf"]])
    add("version", {"service_name": "claims", "build": "v1.2.3"}, [1.0] * 180 + [None] * 180)
    add("version", {"service_name": "claims", "build": "v1.3.0"}, [None] * 180 + [1.0] * 180)
    add("gappy", {"service_name": "ui"}, [float(i) if (i // 40) % 2 == 0 else None for i in range(POINTS)])
    add("special", {"service_name": "ui", "kind": "inf"}, [math.inf] * POINTS)
    add("special", {"service_name": "ui", "kind": "nan"}, [math.nan] * POINTS)
    add("special", {"service_name": "ui", "kind": "one"}, [1.0] * POINTS)
    add("special", {"service_name": "ui", "kind": "minus"}, [-math.inf] * POINTS)
    return start, series


def number(value):
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def open_metrics(series):
    families = {}
    for labels, points in series:
        families.setdefault(labels["__name__"], []).append((labels, points))
    lines = []
    for name, members in families.items():
        lines.append(f"# TYPE {name} unknown")
        for labels, points in members:
            text = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()) if k != "__name__")
            lines += [f"{name}{{{text}}} {number(v)} {t:.3f}" for t, v in points]
    return "\n".join(lines) + "\n# EOF\n"


def otlp(series):
    by_service = {}
    for labels, points in series:
        by_service.setdefault(labels["service_name"], []).append((labels, points))
    resources = []
    for service, members in by_service.items():
        metrics = []
        for labels, points in members:
            attributes = [{"key": k, "value": {"stringValue": v}} for k, v in labels.items() if k not in ("__name__", "service_name")]
            data = [{"timeUnixNano": str(round(t * 1000) * 10**6), "asDouble": v if math.isfinite(v) else {"NaN": "NaN", "+Inf": "Infinity", "-Inf": "-Infinity"}[number(v)],
                     "attributes": attributes} for t, v in points]
            metrics.append({"name": labels["__name__"], "gauge": {"dataPoints": data}})
        resources.append({"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}, "scopeMetrics": [{"metrics": metrics}]})
    return json.dumps({"resourceMetrics": resources}).encode()


def expressions():
    out = [
        "1", "1+1", "-1 ^ 2", "2 ^ 3 ^ 2", "7 % 4", "-7 % 4", "7 / 0", "0 / 0", "1 == bool 1", "2 > bool 3", "1e3", "0x10", "time()", "pi()", '"text"',
        "vector(1)", "vector(time())", "scalar(limit{service_name='ui'})", "scalar(limit)", "scalar(nothing)",
        "limit", "limit{service_name='ui'}", "limit{service_name!='ui'}", "limit{service_name=~'u.|s.*'}", "limit{service_name!~'u.|s.*'}", "{__name__=~'lim.*'}",
        "limit offset 10m", "limit offset -5m", "requests_total{code='500'} offset 1h", "gappy", "gappy offset 4m", "version", "version offset 30m",
        "temperature{service_name=~''}", "temperature{nothing=''}", "temperature{service_name=''}", "nothing", "nothing{a='b'}",
        "-limit", "+limit", "-temperature + 1", "limit * 2", "2 * limit", "limit / 0", "limit % 7", "limit ^ 0.5", "2 ^ (limit / 1000)", "1 / limit", "sum(limit atan2 1000)",
        "temperature > 20", "temperature >= 20", "temperature < 20", "20 > temperature", "temperature == temperature", "temperature != 20", "temperature > bool 20", "20 <= bool temperature",
        "temperature > 1000", "limit == 5000", "limit != 5000", "negative > 0", "negative < bool 0",
        "requests_total / on(service_name) group_left limit", "limit / on(service_name) group_right requests_total", "requests_total / ignoring(code, instance) group_left limit",
        "sum by (service_name) (requests_total) / limit", "limit * ignoring(sensor, unit) temperature", "limit + on(service_name) temperature",
        "requests_total{code='500'} / ignoring(code) requests_total{code='200'}", "requests_total{code='500'} / ignoring(code) group_left sum without(code) (requests_total)",
        "requests_total * on(service_name) group_left(sensor) temperature", "requests_total * on(service_name) group_left(sensor, unit) (temperature > 0)",
        "sum(requests_total) by (service_name) > on(service_name) group_left() limit", "limit > bool on(service_name) temperature", "limit - on(service_name) limit",
        "limit + on(code) requests_total", "limit * on(code) nothing", "nothing * on(service_name) requests_total", "requests_total / on(service_name) limit", "limit / on(service_name) requests_total", "requests_total + on(code) requests_total",
        "limit and temperature", "limit and on(service_name) temperature", "limit and on(service_name) (temperature > 20)", "limit or temperature", "limit or on(service_name) temperature",
        "limit unless on(service_name) (temperature > 20)", "requests_total and on(service_name) version", "requests_total unless on() nothing", "vector(1) or limit", "nothing or vector(0)",
        "(limit or temperature) and on(service_name) (negative < 0)", "limit and ignoring(sensor, unit) temperature", "requests_total{code='200'} or requests_total{code='500'}",
        "absent(limit)", "absent(nothing)", "absent(nothing{a='b', c=~'d'})", "absent(nothing{a='b', a='c'})", "absent(nothing{a=~'', a='b'})", "absent(nothing{a='b', a=~''})", "absent(nothing{a='b', a='b', a='b'})", "absent(sum(nothing))", "absent_over_time(limit{service_name=~'', service_name='200'}[1h])", "absent_over_time(nothing{x='y'}[5m])", "absent_over_time(gappy[2m])", "absent_over_time(limit[5m])",
        "label_replace(limit, 'short', '$1', 'service_name', '(..).*')", "label_replace(limit, 'short', '${1}x$$', 'service_name', '(..)(.*)')", "label_replace(limit, 'short', 'c', 'nothing', '')",
        "label_replace(limit, 'short', '$1', 'service_name', 'nomatch(.*)')", "label_replace(limit, 'service_name', '', 'service_name', '.*')", "label_replace(temperature, 'unit', '$2-$1', 'unit', '(disk)([0-9]+)')",
        "label_join(limit, 'both', '-', 'service_name', 'nothing', 'service_name')", "label_join(temperature, 'all', '/', 'sensor', 'unit')", "label_join(limit, 'none', ',')",
        "sort(limit)", "sort_desc(limit)", "sort(temperature)", "sort_desc(requests_total)",
        "timestamp(limit)", "timestamp(limit offset 10m)", "timestamp(limit + 0)", "time() - timestamp(temperature)", "timestamp(timestamp(limit))",
        "minute()", "hour()", "day_of_week()", "day_of_month()", "day_of_year()", "days_in_month()", "month()", "year()",
        "minute(vector(1709210096))", "hour(vector(1709210096))", "day_of_week(vector(1709210096))", "day_of_month(vector(1709210096))", "day_of_year(vector(1709210096))", "days_in_month(vector(1709210096))",
        "month(vector(1709210096))", "year(vector(1709210096))", "year(limit * 86400)", "day_of_week(-limit * 86400)", "month(vector(-1))",
        "clamp(special, 0, 1)", "clamp(0 / vector(0), 0, 1)", "clamp(limit, NaN, 1)", "day_of_year(vector(-0.4))", "minute(vector(-60.5))", "round(temperature)", "round(temperature, 0.5)", "round(temperature, 10)", "clamp(temperature, 18, 22)", "clamp_min(temperature, 20)", "clamp_max(temperature, 20)", "clamp(temperature, 22, 18)", "clamp(limit, 0, scalar(limit{service_name='ui'}))",
        "histogram_quantile(0.9, rate(latency_bucket[5m]))", "histogram_quantile(0.5, sum by (le) (rate(latency_bucket[5m])))", "histogram_quantile(0.99, sum by (le, service_name) (rate(latency_bucket[5m])))",
        "histogram_quantile(0, rate(latency_bucket[5m]))", "histogram_quantile(1, rate(latency_bucket[5m]))", "histogram_quantile(-1, rate(latency_bucket[5m]))", "histogram_quantile(2, rate(latency_bucket[5m]))",
        "histogram_quantile(0.9, latency_bucket)", "histogram_quantile(0.9, sum by (le, route) (increase(latency_bucket[10m])))", "histogram_quantile(0.9, latency_bucket{le!='+Inf'})", "histogram_quantile(0.5, limit)",
        "rate(latency_sum[5m]) / rate(latency_count[5m])", "sum by (service_name) (rate(latency_sum[5m])) / sum by (service_name) (rate(latency_count[5m]))",
        "max_over_time(rate(requests_total[1m])[10m:1m])", "avg_over_time(sum(rate(requests_total[2m]))[20m:30s])", "min_over_time((temperature - 20)[10m:1m])", "rate(sum(requests_total)[10m:1m])",
        "sum_over_time(vector(1)[10m:1m])", "count_over_time(limit[10m:1m])", "max_over_time(temperature[30m:5m] offset 10m)", "quantile_over_time(0.9, temperature[10m:30s])", "deriv(sum(temperature)[20m:1m])",
        "max_over_time(max_over_time(temperature[5m])[20m:5m])", "last_over_time(temperature[10m:])", "count_over_time(gappy[30m:1m])",
        "sum(rate(requests_total{code=~'5..'}[5m])) / sum(rate(requests_total[5m]))", "sum by (service_name) (rate(requests_total{code='500'}[5m])) / sum by (service_name) (rate(requests_total[5m])) > 0.03",
        "topk(2, sum by (service_name) (rate(requests_total[5m])))", "100 * (1 - avg by (service_name) (temperature) / 40)", "sum(limit) - sum(temperature)", "count(count by (service_name) (requests_total))",
        "sum(special)", "avg(special)", "min(special)", "max(special)", "count(special)", "stddev(special)", "topk(2, special)", "bottomk(2, special)", "topk(10, special)", "quantile(0.5, special)", "special == special", "special != special", "special > 0", "special * 0",
        "count_values('value', limit)", "count_values('value', special)", "count_values('code', requests_total{code='500'} > bool 100)", "count_values by (service_name) ('v', limit)", "count_values without (code) ('code', requests_total)", "count_values without (code) ('v', requests_total{code='500'})",
        "quantile(0.5, temperature)", "quantile(0, temperature)", "quantile(1, temperature)", "quantile(-1, temperature)", "quantile(2, temperature)", "quantile by (code) (0.9, requests_total)",
        "topk(3, requests_total)", "bottomk(2, temperature)", "topk by (service_name) (1, requests_total)", "bottomk without (sensor, unit) (1, temperature)", "topk(0, limit)", "topk(-1, limit)", "topk(1.9, limit)", "topk(scalar(vector(2)), temperature)",
        "limit @ end()", "rate(requests_total[5m] @ end())", "temperature @ start()", "sum(temperature @ end()) - sum(temperature)", "max_over_time(temperature[5m] @ start())", "avg_over_time(temperature[10m:1m] @ end())",
        "predict_linear(temperature[10m], 600)", "predict_linear(temperature[10m] offset 5m, 600)", "predict_linear(limit[10m], 3600)", "holt_winters(temperature[10m], 0.5, 0.3)", "holt_winters(temperature[10m], 1.5, 0.3)",
        "quantile_over_time(0.5, temperature[10m])", "quantile_over_time(2, temperature[10m])", "sgn(negative)", "deg(negative)", "rad(negative)", "negative atan2 temperature",
        "count(requests_total) by (code, service_name)", "sum without () (limit)", "sum by (nothing) (limit)", "group(requests_total)", "group by (code) (requests_total)", "stdvar by (code) (requests_total)",
    ]
    for function in ("rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets"):
        out += [f"{function}(requests_total[5m])", f"{function}(requests_total{{code='404'}}[1m])", f"{function}(temperature[3m])", f"sum by (service_name) ({function}(requests_total[10m]))", f"{function}(gappy[15m])", f"{function}(requests_total[20s])"]
    for function in ("avg", "min", "max", "sum", "count", "last", "stddev", "stdvar", "present"):
        out += [f"{function}_over_time(temperature[5m])", f"{function}_over_time(requests_total{{service_name='ui'}}[7m])", f"{function}_over_time(gappy[12m] offset 3m)", f"{function}_over_time(special[2m])"]
    for function in ("abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"):
        out += [f"{function}(negative)", f"{function}(temperature / 100)"]
    for operator in ("sum", "avg", "min", "max", "count", "stddev", "stdvar"):
        out += [f"{operator}(temperature)", f"{operator} by (code) (requests_total)", f"{operator} without (instance, code) (requests_total)", f"{operator}(rate(requests_total[5m])) by (service_name)", f"{operator}(nothing)"]
    return list(dict.fromkeys(out))


class Prometheus:
    """Debian's, on a free port, with blocks made by promtool."""

    def __init__(self, folder, series):
        text = os.path.join(folder, "data.om")
        with open(text, "w") as out:
            out.write(open_metrics(series))
        data = os.path.join(folder, "oracle")
        subprocess.run([hms.unpacked("prometheus", "promtool"), "tsdb", "create-blocks-from", "openmetrics", text, data], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        config = os.path.join(folder, "prometheus.yml")
        with open(config, "w") as out:
            out.write("global: {}\n")
        self.port = hms.free_port()
        self.process = subprocess.Popen(
            [hms.unpacked("prometheus", "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address=127.0.0.1:{self.port}", "--storage.tsdb.retention.time=30d", "--log.level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        hms.wait_for(self._ready, what="prometheus to be ready")

    def _ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).status == 200
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait()


def ask(base, path, **parameters):
    data = urllib.parse.urlencode(parameters).encode()
    try:
        with urllib.request.urlopen(f"{base}/api/v1/{path}", data, timeout=60) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return json.load(error)


def close(left, right):
    left, right = float(left), float(right)
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    if left == right:
        return True
    return math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=1e-9)


def difference(ours, theirs):
    """None, or one sentence."""
    if ours["status"] != theirs["status"]:
        return f"status {ours['status']} ({ours.get('error')}), theirs {theirs['status']} ({theirs.get('error')})"
    if ours["status"] == "error":
        return None if ours["errorType"] == theirs["errorType"] else f"errorType {ours['errorType']}, theirs {theirs['errorType']}"
    ours, theirs = ours["data"], theirs["data"]
    if ours["resultType"] != theirs["resultType"]:
        return f"type {ours['resultType']}, theirs {theirs['resultType']}"
    if ours["resultType"] == "string":
        return None if ours["result"] == theirs["result"] else "texts differ"
    if ours["resultType"] == "scalar":
        return None if close(ours["result"][1], theirs["result"][1]) else f"{ours['result']}, theirs {theirs['result']}"

    def table(data):
        return {json.dumps(row["metric"], sort_keys=True): row.get("values") or [row["value"]] for row in data["result"]}

    left, right = table(ours), table(theirs)
    if left.keys() != right.keys():
        return f"series {sorted(left.keys() - right.keys())[:2]} only ours, {sorted(right.keys() - left.keys())[:2]} only theirs"
    for key, points in left.items():
        wanted = right[key]
        if [p[0] for p in points] != [p[0] for p in wanted]:
            return f"{key}: {len(points)} points, theirs {len(wanted)}"
        for (t, value), (_, other) in zip(points, wanted):
            if not close(value, other):
                return f"{key} at {t}: {value}, theirs {other}"
    return None


class PromqlOracle(hms.TestCase):
    @unittest.skipUnless(hms.unpacked("prometheus", "prometheus") and hms.unpacked("prometheus", "promtool"), "Debian's prometheus is not here (./dev test unpacks it)")
    def test_answers_are_prometheus_answers(self):
        folder = self.folder()
        end = int(time.time()) - 120
        start, series = make_data(end)
        oracle = Prometheus(folder, series)
        self.addCleanup(oracle.stop)
        collector = self.start("hms-collector", "--data", os.path.join(folder, "data"), "--listen", "127.0.0.1:0", "--otlp-listen", "127.0.0.1:0")
        ours, theirs = f"http://{collector.address('listen')}", f"http://127.0.0.1:{oracle.port}"
        request = urllib.request.Request(f"{ours}/v1/metrics", otlp(series), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            self.assertEqual(json.load(reply), {})
        asked, faults = 0, []
        # Away from the data's beginning, where Prometheus 3 (and we) extrapolate a new counter more carefully than 2.42, and half a second off the grid:
        # Debian's Prometheus counts a sub-query's step that lies exactly on the left edge, ours and Prometheus 3 do not.
        for expression in expressions():
            questions = [("query", {"time": start + minutes * 60 + 0.5}) for minutes in (25, 31, 47, 90)]
            questions.append(("query_range", {"start": start + 1440.5, "end": start + 5340.5, "step": "60"}))
            questions.append(("query_range", {"start": start + 1434.5, "end": start + 3656.5, "step": "37s"}))
            for path, parameters in questions:
                if path == "query_range" and expression == '"text"':
                    continue
                asked += 1
                fault = difference(ask(ours, path, query=expression, **parameters), ask(theirs, path, query=expression, **parameters))
                if fault:
                    faults.append(f"{path} {expression} {parameters}: {fault}")
        hms.report(f"PromQL: {len(expressions())} expressions, {asked} questions, {asked - len(faults)} answered as Prometheus 2.42 does (to {TOLERANCE:g})")
        self.assertEqual(faults, [], f"{len(faults)} answers differ:\n" + "\n".join(faults[:40]))


if __name__ == "__main__":
    hms.main()
