"""Prometheus and Alertmanager: recorded answers of real ones (2.42, 0.25), and every way of not answering."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import msgspec
import pytest
from support.replay import RECORDINGS, Answer, Replay, whole

from inferaudit.collect.prometheus import FACT_NAMES, collect_prometheus
from inferaudit.collect.prometheus_queries import questions
from inferaudit.errors import UsageError
from inferaudit.model import Fact, FactErrorKind
from inferaudit.plan import HttpAuth, PrometheusPlan
from inferaudit.snapshot import decode_fact

FOLDER = RECORDINGS / "prometheus"
GETS = {
    "/-/ready": "", "/api/v1/targets?state=active": "targets", "/api/v1/rules": "rules",
    "/api/v1/status/buildinfo": "buildinfo", "/api/v1/status/runtimeinfo": "runtimeinfo",
    "/api/v1/status/config": "config", "/api/v1/alertmanagers": "alertmanagers",
    "/api/v1/label/__name__/values": "names", "/api/v2/status": "am_status", "/api/v2/receivers": "am_receivers",
    "/api/v2/silences": "am_silences",
}  # fmt: skip


class Prometheus(Replay):
    """The recorded server; queries are answered by `ask`, a function of the PromQL text."""

    def __init__(self, ask: Any = None, **other: Answer) -> None:
        answers: dict[str, Answer] = {
            f"GET {path}": whole((FOLDER / f"{name}.json").read_bytes() if name else b"ok")
            for path, name in GETS.items()
        }
        super().__init__({**answers, **{f"GET {path}": data for path, data in other.items()}})
        self.ask = ask or (lambda query: 1.0)
        self.answers = _Queries(self.answers, self)


class _Queries(dict[str, Answer]):
    def __init__(self, answers: Mapping[str, Answer], server: Prometheus) -> None:
        super().__init__(answers)
        self.server = server

    def get(self, key: str, default: Any = None) -> Any:
        path = key.partition(" ")[2]
        if not path.startswith("/api/v1/query?"):
            return super().get(key, default)
        query = parse_qs(urlsplit(path).query)["query"][0]
        value = self.server.ask(query)
        if isinstance(value, bytes):
            return value
        values = value if isinstance(value, list) else [] if value is None else [value]
        rows = [{"metric": {"job": f"job-{n}"}, "value": [1.0, str(v)]} for n, v in enumerate(values)]
        return whole(json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode())


def collect(server: Replay, **auth: Any) -> dict[str, Fact]:
    plan = PrometheusPlan(server.url, server.url, auth=HttpAuth(**auth), timeout_s=5.0)
    return collect_prometheus(plan, environ={"KEY": "k" * 20})


def test_what_real_servers_say() -> None:
    with Prometheus() as server:
        facts = collect(server)
    assert set(facts) == set(FACT_NAMES)
    no_load = facts.pop("prometheus.load_alerts").error  # asked after a load test alone
    assert no_load is not None
    assert no_load.remedy == "--load full"
    assert not any(fact.error for fact in facts.values())
    for name, fact in facts.items():
        assert decode_fact(name, msgspec.json.decode(msgspec.json.encode(fact.value))) == fact.value
    assert {(t.job, t.health) for t in facts["prometheus.targets"].value} == {("chat", "up"), ("gone", "down")}
    alert, record = facts["prometheus.rules"].value
    assert (alert.name, alert.kind, alert.health, alert.for_s) == ("LatencyP99", "alerting", "ok", 1.0)
    assert alert.annotations == {"runbook_url": "https://runbooks.example.com/p99"}
    assert (record.kind, record.state, record.for_s) == ("recording", None, None)
    assert "http_requests_total" in facts["prometheus.names"].value
    config = facts["prometheus.config"].value
    assert (config.version, config.scrape_interval_s, config.retention) == ("2.42.0+ds", 1.0, "15d")
    assert [(r.name, r.routed, r.integrations) for r in facts["alertmanager.receivers"].value] == [
        ("team", True, 0), ("pager", True, 1), ("orphan", False, 0),
    ]  # fmt: skip
    assert facts["alertmanager.status"].value.default_receiver == "team"


def test_the_questions_of_the_sla() -> None:
    with Prometheus() as server:
        series = {s.name: s for s in collect(server)["prometheus.series"].value}
    assert series["error_rate"].query == (
        '(sum(increase(http_requests_total{status=~"5.."}[900s])) or vector(0))'
        " / (sum(increase(http_requests_total[900s])) > 0)"
    )
    assert series["latency_p99"].value == 1.0
    assert series["ttft_p99"].value is None
    assert "no histogram of ttft" in series["ttft_p99"].reason


@pytest.mark.parametrize(
    ("names", "name", "query"),
    [
        (
            {"nv_inference_request_success", "nv_inference_request_failure"},
            "error_rate",
            "(sum(increase(nv_inference_request_failure[900s])) or vector(0)) / ((sum(increase("
            "nv_inference_request_success[900s])) + "
            "(sum(increase(nv_inference_request_failure[900s])) or vector(0))) > 0)",
        ),
        (
            {":tensorflow:serving:request_count", ":tensorflow:serving:request_latency_bucket"},
            "latency_p99",
            'histogram_quantile(0.99, sum by (le) (rate({__name__=":tensorflow:serving:request_latency_bucket"}[5m])))'
            " * 1e-06",
        ),
        (
            {":tensorflow:serving:request_count"},
            "error_rate",
            '(sum(increase({__name__=":tensorflow:serving:request_count",status!~"OK"}[900s])) or vector(0))'
            ' / (sum(increase({__name__=":tensorflow:serving:request_count"}[900s])) > 0)',
        ),
        (
            {"ray_serve_http_request_latency_ms_bucket", "ray_serve_num_http_requests"},
            "latency_p50",
            "histogram_quantile(0.5, sum by (le) (rate(ray_serve_http_request_latency_ms_bucket[5m]))) * 0.001",
        ),
        ({"nv_inference_request_duration_us"}, "latency_p99", ""),
        (set(), "availability", ""),
    ],
)
def test_queries_under_the_runtimes_own_names(names: set[str], name: str, query: str) -> None:
    (asked,) = [q for q in questions(names) if q.name == name]
    assert asked.query == query
    assert bool(asked.reason) == (not query)


def test_questions_about_one_namespace() -> None:
    asked = {q.name: q for q in questions({"http_requests_total", ":tensorflow:serving:request_count"}, "llm-prod")}
    assert (
        asked["throughput"].query
        == 'sum(rate({__name__=":tensorflow:serving:request_count",namespace="llm-prod"}[5m]))'
    )
    assert 'namespace="llm-prod",status' in asked["error_rate"].query
    with Prometheus() as server:
        collect_prometheus(PrometheusPlan(server.url), environ={}, namespace="llm-prod")
    queries = [unquote_plus(path) for path in server.gets() if path.startswith("/api/v1/query?")]
    assert queries
    assert all('namespace="llm-prod"' in query for query in queries)


def test_a_name_that_anybody_may_use_counts_only_within_a_namespace() -> None:
    names = {"http_requests_total", "http_request_duration_seconds_bucket"}
    assert not any(q.query for q in questions(names))
    assert {q.name for q in questions(names, "llm-prod") if q.query} >= {"availability", "error_rate", "latency_p99"}


def test_several_jobs_are_never_mixed() -> None:
    with Prometheus(lambda query: [2.0, 3.0] if query.startswith("count by (job)") else 1.0) as server:
        series = [s for s in collect(server)["prometheus.series"].value if s.query]
    assert {s.value for s in series} == {None}
    assert all("2 jobs export" in s.reason for s in series)


def test_no_requests_is_no_value() -> None:
    for said in (None, "NaN"):
        with Prometheus(lambda query, said=said: 1.0 if query.startswith("count") else said) as server:
            series = [s for s in collect(server)["prometheus.series"].value if s.query]
        assert {(s.value, s.reason) for s in series} == {(None, "there were no requests in the window")}


def test_a_query_that_is_refused_is_no_value() -> None:
    broken = whole(b'{"status":"error","error":"query timed out"}', "503 Service Unavailable")
    with Prometheus(lambda query: broken) as server:
        series = [s for s in collect(server)["prometheus.series"].value if s.query]
    assert all(s.value is None and "query timed out" in s.reason for s in series)


def test_how_far_back_the_data_go_is_said() -> None:
    with Prometheus(lambda query: 30.0 if query.startswith("count_over_time") else 1.0) as server:
        series = {s.name: s for s in collect(server)["prometheus.series"].value}
    assert series["availability"].covered_s == 30 * 3600
    assert series["error_rate"].covered_s == 30 * 15


def test_nothing_given_names_the_flags() -> None:
    facts = collect_prometheus(PrometheusPlan(), environ={})
    remedies = {name.partition(".")[0]: fact.error.remedy for name, fact in facts.items() if fact.error}
    assert remedies == {"prometheus": "--prometheus URL", "alertmanager": "--alertmanager URL"}
    assert {fact.error.kind for fact in facts.values() if fact.error} == {FactErrorKind.NO_TARGET}


def test_a_server_that_is_down_is_one_cause() -> None:
    facts = collect_prometheus(PrometheusPlan("http://127.0.0.1:9", "http://127.0.0.1:9"), environ={})
    assert len({fact.error.key for fact in facts.values() if fact.error}) == 1
    assert {fact.error.kind for fact in facts.values() if fact.error} == {FactErrorKind.FAILED}


def test_a_refused_read_is_denied() -> None:
    refused = whole(b"Unauthorized", "401 Unauthorized", "text/plain")
    with Prometheus(**{"/api/v1/rules": refused}) as server:
        facts = collect(server)
    error = facts["prometheus.rules"].error
    assert error is not None
    assert error.kind is FactErrorKind.DENIED
    assert facts["prometheus.targets"].error is None


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"status":"success","data":{}}', b'{"status":"error","error":"x"}']
)
def test_an_answer_in_no_known_form_is_an_error(body: bytes) -> None:
    with Prometheus(**{"/api/v1/targets?state=active": whole(body), "/api/v2/receivers": whole(body)}) as server:
        facts = collect(server)
    for name in ("prometheus.targets", "alertmanager.receivers"):
        if name == "alertmanager.receivers" and body == b"[]":
            assert facts[name].value == []
            continue
        error = facts[name].error
        assert error is not None
        assert error.kind is FactErrorKind.FAILED


def test_usage_errors() -> None:
    for plan in (PrometheusPlan("ftp://h"), PrometheusPlan("http://u:p@h"), PrometheusPlan("http://h:99999")):
        with pytest.raises(UsageError, match="--prometheus"):
            collect_prometheus(plan, environ={})
    with pytest.raises(UsageError, match="NO_SUCH"):
        collect_prometheus(PrometheusPlan("http://h", auth=HttpAuth(api_key_env="NO_SUCH")), environ={})


def test_the_key_is_sent_and_never_kept() -> None:
    leak = whole(json.dumps({"status": "error", "error": f"bad token {'k' * 20}"}).encode(), "400 Bad Request")
    with Prometheus(**{"/api/v1/rules": leak}) as server:
        facts = collect(server, api_key_env="KEY")
    assert any("k" * 20 in head for head in server.heads)
    assert "k" * 20 not in repr(facts)
