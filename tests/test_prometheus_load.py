"""Alerts held against a load test: a real Prometheus evaluates them over the minutes in which the service was slow."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.prometheus import Monitoring, monitoring

from inferaudit.alert_simulation import held_s, lookback_s, narrowed
from inferaudit.bench.runner import run_load
from inferaudit.collect.prometheus import collect_prometheus
from inferaudit.collect.prometheus_load import collect_load_alerts
from inferaudit.facts.metrics import AlertUnderLoad
from inferaudit.model import Fact, FactErrorKind
from inferaudit.plan import LoadPlan, PrometheusPlan, StagePlan

pytestmark = [pytest.mark.xdist_group("prometheus"), pytest.mark.timeout(300)]

BOUNDS = (0.05, 0.1, 0.5, 2.0)
METRIC = "vllm:e2e_request_latency_seconds"
ANSWER = json.dumps({
    "object": "chat.completion", "model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}],
}).encode()  # fmt: skip

CHUNK = {"object": "chat.completion.chunk", "model": "m"}
STREAM = (
    "".join(
        f"data: {json.dumps(CHUNK | {'choices': [{'index': 0, 'delta': delta, 'finish_reason': end}]})}\n\n"
        for delta, end in (({"content": "a"}, None), ({}, "stop"))
    ).encode()
    + b"data: [DONE]\n\n"
)


class Slow:
    """A chat server that takes `seconds` to answer and counts it under vLLM's names."""

    def __init__(self) -> None:
        self.seconds = 0.2
        self.counts: Counter[float] = Counter()
        self.lock = threading.Lock()
        slow = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._say(slow.page().encode(), "text/plain; version=0.0.4")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(slow.seconds)
                slow.count(slow.seconds)
                streamed = json.loads(body).get("stream")
                self._say(STREAM if streamed else ANSWER, "text/event-stream" if streamed else "application/json")

            def _say(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing on the test's output."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"

    def count(self, seconds: float, times: int = 1) -> None:
        with self.lock:
            self.counts[seconds] += times

    def page(self) -> str:
        with self.lock:
            seen = dict(self.counts)
        total = sum(seen.values())
        rows = [
            f'{METRIC}_bucket{{model_name="m",le="{le}"}} {sum(n for s, n in seen.items() if s <= le)}' for le in BOUNDS
        ]
        return "\n".join([
            f"# TYPE {METRIC} histogram", *rows, f'{METRIC}_bucket{{model_name="m",le="+Inf"}} {total}',
            f'{METRIC}_sum{{model_name="m"}} {sum(s * n for s, n in seen.items())}',
            f'{METRIC}_count{{model_name="m"}} {total}', "# TYPE vllm:num_requests_waiting gauge",
            'vllm:num_requests_waiting{model_name="m"} 0', "",
        ])  # fmt: skip


def quantile(q: float, window: str, limit: float) -> str:
    return f"histogram_quantile({q}, sum by (le) (rate({METRIC}_bucket[{window}]))) > {limit}"


def rule(name: str, expr: str, for_: str = "5m") -> dict[str, str]:
    return {"alert": name, "expr": expr, "for": for_}


def rules(*those: dict[str, str]) -> str:
    return yaml.safe_dump({"groups": [{"name": "slo", "interval": "1s", "rules": list(those)}]})


@pytest.fixture(scope="module")
def slow() -> Iterator[Slow]:
    server = Slow()
    threading.Thread(target=server.server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture(scope="module")
def prometheus(slow: Slow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    with monitoring(tmp_path_factory.mktemp("monitoring"), {slow.address: {"job": "chat"}}) as running:
        running.processes.until("names are indexed", lambda: bool(running.query("vllm:num_requests_waiting")))
        yield running


@pytest.fixture(scope="module")
def loaded(slow: Slow, prometheus: Monitoring) -> Fact:
    """A load of eight seconds, slow all the time, after a burst of fast requests that fills the five minutes before."""
    slow.count(0.01, 50_000)
    prometheus.processes.until(
        "the fast ones are scraped", lambda: bool(prometheus.query(f"increase({METRIC}_count[1m]) > 1000"))
    )
    stages = (StagePlan("sustained", concurrency=8, duration_s=8.0),)
    plan = LoadPlan(url=f"http://{slow.address}", api="openai-chat", model="m", profile="t", stages=stages,
                    stream=False)  # fmt: skip
    return Fact(run_load(plan).result)


def simulated(prometheus: Monitoring, loaded: Fact, *those: dict[str, str]) -> dict[str, AlertUnderLoad]:
    prometheus.load(rules(*those))
    plan = PrometheusPlan(url=prometheus.prometheus)
    facts = collect_prometheus(plan, environ={}) | {"load.result": loaded}
    assert facts["prometheus.load_alerts"].error is not None  # until there is a load
    fact = collect_load_alerts(plan, facts, threading.Event(), environ={})
    assert fact.error is None, fact.error
    return {row.name: row for row in fact.value}


def test_what_each_alert_would_have_said(prometheus: Monitoring, loaded: Fact) -> None:
    rows = simulated(
        prometheus, loaded,
        rule("Fires", quantile(0.99, "5s", 0.1), "3s"),
        rule("Pending", quantile(0.99, "5s", 0.1)),
        rule("Diluted", quantile(0.5, "5m", 0.1)),
        rule("TooHigh", quantile(0.5, "5m", 1.9)),
        rule("TooHighAndShort", quantile(0.99, "5s", 1.9)),
        rule("Counts", f"increase({METRIC}_sum[1h]) / 1 > 1e6 and {quantile(0.5, '5m', 1.9)}"),
        rule("Queue", "sum(vllm:num_requests_waiting) > 50"),
        rule("Elsewhere", "etcd_latency_seconds > 1"),
    )  # fmt: skip
    assert set(rows) == {"Fires", "Pending", "Diluted", "TooHigh", "TooHighAndShort", "Counts", "Queue"}
    assert (rows["Counts"].held_s, rows["Counts"].if_lasting) == (None, None)
    assert "looks back 3600 s" in rows["Counts"].reason
    fires, pending = rows["Fires"], rows["Pending"]
    assert fires.held_s is not None
    assert fires.held_s >= fires.for_s == 3
    assert pending.held_s is not None
    assert pending.held_s < pending.for_s == 300
    assert (rows["Diluted"].held_s, rows["Diluted"].if_lasting, rows["Diluted"].lookback_s) == (None, True, 300)
    assert (rows["TooHigh"].held_s, rows["TooHigh"].if_lasting) == (None, False)
    assert (rows["TooHighAndShort"].held_s, rows["TooHighAndShort"].if_lasting) == (None, False)
    assert (rows["Queue"].watches, rows["Queue"].if_lasting) == (["queue"], False)


def test_a_stage_shorter_than_the_scrapes_tells_nothing(prometheus: Monitoring, loaded: Fact) -> None:
    prometheus.load(rules(rule("TooHigh", quantile(0.5, "5m", 1.9))))
    plan = PrometheusPlan(url=prometheus.prometheus)
    facts = collect_prometheus(plan, environ={}) | {"load.result": loaded}
    config = facts["prometheus.config"].value
    facts["prometheus.config"] = Fact(type(config)(**{f: getattr(config, f) for f in config.__struct_fields__}
                                                   | {"scrape_interval_s": 15.0}))  # fmt: skip
    (row,) = collect_load_alerts(plan, facts, threading.Event(), environ={}).value
    assert (row.held_s, row.if_lasting) == (None, None)
    assert "scrapes every 15 s" in row.reason


def test_without_rules_or_load_there_is_a_reason(prometheus: Monitoring, loaded: Fact) -> None:
    plan = PrometheusPlan(url=prometheus.prometheus)
    facts = collect_prometheus(plan, environ={})
    stopped = threading.Event()
    stopped.set()
    fact = collect_load_alerts(plan, facts | {"load.result": loaded}, stopped, environ={})
    assert fact.error is not None
    assert fact.error.kind is FactErrorKind.INTERRUPTED
    missing = facts["prometheus.load_alerts"].error
    assert missing is not None
    assert missing.remedy == "--load full"
    gone = collect_load_alerts(plan, facts | {"load.result": Fact(error=missing)}, threading.Event(), environ={})
    assert gone.error == missing


def audit(folder: Path, slow: Slow, prometheus: Monitoring, objective: str) -> dict[str, Any]:
    out = folder / "report.json"
    command = [
        sys.executable, "-m", "inferaudit.cli.app", "run", "--url", f"http://{slow.address}", "--api", "openai-chat",
        "--model", "m", "--prometheus", prometheus.prometheus, "--load", "smoke", "--slo", objective,
        "--scope", "load,metrics", "-o", f"json={out}", "--no-progress",
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert out.exists(), run.stderr
    (found,) = [f for f in json.loads(out.read_text())["findings"] if f["check"] == "metrics-alerts-under-load"]
    return dict(found)


def test_an_audit_tells_a_deaf_alert_from_one_that_hears(slow: Slow, prometheus: Monitoring, tmp_path: Path) -> None:
    slow.seconds = 0.4  # twenty requests one by one: eight seconds
    try:
        prometheus.load(rules(rule("Hears", quantile(0.99, "5s", 0.3)), rule("Deaf", quantile(0.99, "5s", 1.9))))
        heard = audit(tmp_path, slow, prometheus, "e2e_p50=100ms")
        prometheus.load(rules(rule("Deaf", quantile(0.99, "5s", 1.9))))
        deaf = audit(tmp_path, slow, prometheus, "e2e_p50=100ms")
    finally:
        slow.seconds = 0.2
    assert heard["outcome"] == "pass", heard
    assert "Hears was true for" in heard["message"]
    assert "silent: Deaf" in heard["message"]
    assert deaf["outcome"] == "fail", deaf
    assert "stayed silent: Deaf" in deaf["message"]


# --- the expressions themselves


@pytest.mark.parametrize(
    ("expr", "seconds", "short"),
    [
        ("rate(a[5m]) > 1", 60, "rate(a[60s]) > 1"),
        ("rate(a[30s]) > 1", 60, "rate(a[30s]) > 1"),
        ("max_over_time(a[1h30m:1m]) > 1", 60, "max_over_time(a[60s:1m]) > 1"),
        ('rate(a{path="[5m]"}[5m]) > 1', 60, 'rate(a{path="[5m]"}[60s]) > 1'),
        ("increase(a[5m]) / increase(b[5m]) > 1", 60, "increase(a[60s]) / increase(b[60s]) > 1"),
        ("increase(a[5m]) > 100", 60, None),
        ("increase(a[5m]) / 300 > 100", 60, None),
        ("increase(a[5m]) / increase(b[5m]) > 0.1 and increase(b[5m]) > 100", 60, None),
        ("count_over_time(a[5m]) / 3 > 100", 60, None),
        ("rate(a[5m]) > rate(a[5m] offset 1h)", 60, None),
        ("job:errors:ratio5m > 0.01", 60, None),
        ("job:errors:now > 0.01", 60, "job:errors:now > 0.01"),
    ],
)
def test_an_expression_is_narrowed_or_not_at_all(expr: str, seconds: float, short: str | None) -> None:
    recorded = {"job:errors:ratio5m": "rate(e[5m]) / rate(a[5m])", "job:errors:now": "e / a"}
    assert narrowed(expr, seconds, recorded) == short


def test_how_far_an_expression_looks_back() -> None:
    recorded = {"a:b": "rate(x[1h])", "c:d": "avg_over_time(a:b[2h])", "loop:a": "loop:a + 1"}
    assert lookback_s("rate(x[5m]) > 1", {}) == 300
    assert lookback_s("x > 1", {}) == 0
    assert lookback_s('x{a="[9d]"} > 1', {}) == 0
    assert lookback_s("a:b > 1", recorded) == 3600
    assert lookback_s("c:d > 1", recorded) == 7200
    assert lookback_s("loop:a > 1", recorded) == 0


def test_the_longest_stretch_is_of_one_series_and_without_a_gap() -> None:
    assert held_s([], 1, 0, 100) is None
    assert held_s([[10.0]], 1, 0, 100) == 0
    assert held_s([[10.0]], 1, 20, 100) is None
    assert held_s([[1, 2, 3, 9, 10, 11, 12]], 1, 0, 100) == 3
    assert held_s([[1, 2], [3, 4, 5]], 1, 0, 100) == 2
    assert held_s([[1, 2, 3, 4]], 1, 2, 3) == 1
