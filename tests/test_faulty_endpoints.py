"""Badly behaved endpoints: each fails the right check and no other, and every check that can fail has one.

All are one right endpoint with one thing changed, asked by the real collectors and judged by the whole catalogue of
its groups. What depends on the address is judged as if it were another machine's with a public address: `elsewhere`
changes those two facts, for the tests have loopback alone.
"""

from __future__ import annotations

import json
import math
import ssl
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.certificates import certificate
from support.replay import SERVERS, Replay, recorded, whole
from support.right_endpoint import KEY, MODEL, WORDS, RightEndpoint, error, usage

from inferaudit.bench.collect import collect_load
from inferaudit.catalog import load_catalog
from inferaudit.collect.endpoint import collect_endpoint
from inferaudit.evaluate import Selection, evaluate
from inferaudit.model import Fact, Outcome, Snapshot, Target
from inferaudit.plan import EndpointPlan, HttpAuth, LoadPlan, StagePlan
from inferaudit.policy import Policy

CATALOG = load_catalog()
GROUPS = ("endpoint", "metrics")
HOLD_S = 0.9
POLICY = Policy.model_validate({
    "scope": ["endpoint", "load"],
    "slo": {"e2e_p99": "1s"},
    "parameters": {"endpoint-slow-body": {"max_s": 0.7}, "endpoint-long-answer": {"longest_answer_s": 0.7}},
})  # fmt: skip
CHAT = "POST /v1/chat/completions"

# Checks that no endpoint alone can fail, and where they are shown to.
ELSEWHERE = {
    "endpoint-degradation": ("it takes a cluster whose pod is deleted", "test_cluster_reach_node.py"),
    "endpoint-replica-models": ("it takes several pods", "test_cluster_reach_node.py"),
    "endpoint-replica-ready": ("it takes several pods", "test_cluster_reach_node.py"),
    "endpoint-replica-version": ("it takes several pods", "test_cluster_reach_node.py"),
    "metrics-alert-can-fire": ("it is a fault of Prometheus' rules", "test_prometheus_real.py"),
    "metrics-alertmanager-wired": ("it is a fault of Prometheus", "test_prometheus_real.py"),
    "metrics-alerts-under-load": ("it is a fault of Prometheus' rules", "test_prometheus_load.py"),
    "metrics-business": ("it is asked of Prometheus", "test_prometheus_real.py"),
    "metrics-online-quality": ("it is asked of Prometheus", "test_prometheus_real.py"),
    "metrics-receiver": ("it is a fault of Alertmanager", "test_prometheus_real.py"),
    "metrics-rule-health": ("it is a fault of Prometheus' rules", "test_prometheus_real.py"),
    "metrics-scrape-interval": ("it is a fault of Prometheus' configuration", "checks"),
    "metrics-target-up": ("it is a fault of Prometheus' configuration", "checks"),
    "metrics-gpu-exporter": ("it is asked of Prometheus", "checks"),
}


@dataclass
class Asked:
    """One endpoint and how it is asked; a fault changes either."""

    server: RightEndpoint
    folder: Path
    plan: dict[str, Any] = field(default_factory=dict)
    load: bool = False
    ca: Path | None = None


Change = Callable[[Asked], None]
FAULTS: dict[str, tuple[Change, frozenset[str]]] = {}


def fault(*checks: str) -> Callable[[Change], Change]:
    """A fault by its function's name, and the checks that must fail: several only where one implies the others."""

    def keep(change: Change) -> Change:
        FAULTS[change.__name__] = (change, frozenset(checks))
        return change

    return keep


def route(asked: Asked, key: str, answer: Any) -> None:
    asked.server.routes[key] = answer


def chat(asked: Asked, change: Callable[[str, Any], bytes | None]) -> None:
    """`change` sees the head and the request (None for one that is no JSON); None falls back to the right answer."""

    def changed(head: str, body: bytes) -> bytes | None:
        if not asked.server.keyed(head):
            return None
        try:
            return change(head, json.loads(body))
        except ValueError:
            return change(head, None)

    route(asked, CHAT, changed)


def plain(asked: Asked, **changes: Any) -> None:
    """A plain answer with other fields."""

    def changed(head: str, request: Any) -> bytes | None:
        if not isinstance(request, dict) or request.get("stream") or request.get("model") != MODEL:
            return None
        if len(str(request)) > 5_000:
            return None
        document = json.loads(asked.server._plain(8, "a").partition(b"\r\n\r\n")[2])
        return whole(json.dumps({**document, **changes}).encode())

    chat(asked, changed)


def page(asked: Asked, change: Callable[[str], str]) -> None:
    asked.server.page_of = change


def without(*names: str) -> Callable[[str], str]:
    return lambda text: "".join(line for line in text.splitlines(True) if not any(name in line for name in names))


# --- health, model, answers


@fault("endpoint-live", "endpoint-ready", "endpoint-readiness-proves-model")
def health_answers_500(asked: Asked) -> None:
    """Who is not alive is not ready either."""
    for path in ("/health", "/ping"):
        route(asked, f"GET {path}", error("500 Internal Server Error", "dead"))


@fault("endpoint-model-served")
def lists_another_model(asked: Asked) -> None:
    asked.server.served = "other"


@fault("endpoint-answering-model")
def answers_with_another_model(asked: Asked) -> None:
    plain(asked, model="fallback")


@fault("endpoint-plain-answer")
def answers_in_the_wrong_form(asked: Asked) -> None:
    def changed(_: str, request: Any) -> bytes | None:
        asks = isinstance(request, dict) and request.get("model") == MODEL and not request.get("stream")
        shape = {"text": "one two", "model": MODEL, "usage": usage(7, 2)}
        return whole(json.dumps(shape).encode()) if asks and "hello" in str(request) else None

    chat(asked, changed)


@fault("endpoint-usage")
def states_no_usage(asked: Asked) -> None:
    asked.server.usage = False


@fault("endpoint-request-id")
def loses_the_request_id(asked: Asked) -> None:
    asked.server.echo = False


@fault("endpoint-determinism")
def is_not_repeatable(asked: Asked) -> None:
    texts = iter(range(10_000))

    def changed(_: str, request: Any) -> bytes | None:
        if not isinstance(request, dict) or "ten in words" not in str(request):
            return None
        message = {"role": "assistant", "content": f"text {next(texts)}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return whole(json.dumps({"object": "chat.completion", "model": MODEL, "choices": [choice],
                                 "usage": usage(1, 2)}).encode())  # fmt: skip

    chat(asked, changed)


@fault("endpoint-golden")
def answers_wrongly(asked: Asked) -> None:
    (asked.folder / "golden.jsonl").write_text(
        json.dumps({"name": "g", "prompt": "Say the number.", "expect": {"contains": "forty-two"}})
    )


# --- streams


@fault("endpoint-stream")
def stream_without_its_end(asked: Asked) -> None:
    asked.server.done = False


@fault("endpoint-stream-buffering")
def stream_held_back(asked: Asked) -> None:
    asked.server.stream_wait_s = 0.4


@fault("endpoint-stream-compression")
def stream_compressed(asked: Asked) -> None:
    import gzip

    def changed(_: str, request: Any) -> bytes | None:
        if not isinstance(request, dict) or not request.get("stream"):
            return None
        text = asked.server._stream(8).partition(b"\r\n\r\n")[2]
        return whole(gzip.compress(text), "200 OK", "text/event-stream", "content-encoding: gzip")

    chat(asked, changed)


# --- bad requests


@fault("endpoint-malformed")
def malformed_is_a_500(asked: Asked) -> None:
    def changed(head: str, body: bytes) -> bytes | None:
        breaks_off = body[:1] == b"{" and body[-1:] != b"}" and asked.server.keyed(head)
        return error("500 Internal Server Error", "x") if breaks_off else None

    route(asked, CHAT, changed)


@fault("endpoint-empty-body")
def empty_is_a_200(asked: Asked) -> None:
    right = asked.server
    route(asked, CHAT, lambda head, body: right._plain(8, "a") if not body and right.keyed(head) else None)


@fault("endpoint-unknown-model")
def unknown_model_is_a_500(asked: Asked) -> None:
    chat(asked, lambda _, request: error("500 Internal Server Error", "x")
         if isinstance(request, dict) and "no-such-model" in str(request.get("model")) else None)  # fmt: skip


@fault("endpoint-oversized", "endpoint-context-limit")
def prompt_cut_silently(asked: Asked) -> None:
    """What is answered though it is too long was both not refused and cut."""
    chat(asked, lambda _, request: asked.server._plain(8, "a") if len(str(request)) > 5_000 else None)


@fault("endpoint-oversized")
def prompt_refused_by_no_status_of_a_limit(asked: Asked) -> None:
    chat(asked, lambda _, request: error("404 Not Found", "x") if len(str(request)) > 5_000 else None)


@fault("endpoint-error-leaks")
def traceback_in_an_error(asked: Asked) -> None:
    text = 'Traceback (most recent call last):\n  File "server.py", line 1'
    chat(asked, lambda _, request: error("400 Bad Request", text) if request is None else None)


@fault("endpoint-cancel-frees")
def goes_on_for_nobody(asked: Asked) -> None:
    def changed(_: str, request: Any) -> bytes | None:
        if isinstance(request, dict) and request.get("max_tokens") == 512:
            asked.server.counts["running"] += 1
        return None

    chat(asked, changed)


# --- time


@fault("endpoint-slow-body")
def bears_half_a_body_for_ever(asked: Asked) -> None:
    asked.plan["hold_s"] = HOLD_S
    asked.server.body_timeout_s = 30.0


@fault("endpoint-long-answer")
def cuts_long_answers_off(asked: Asked) -> None:
    asked.plan["hold_s"] = HOLD_S

    def changed(_: str, request: Any) -> bytes | None:
        if "ten thousand" not in str(request):
            return None
        time.sleep(0.3)
        return error("504 Gateway Timeout", "upstream request timeout")

    chat(asked, changed)


@fault("endpoint-cold-connection")
def shakes_hands_slowly(asked: Asked) -> None:
    accept = asked.server._server.get_request

    def slowly() -> Any:
        time.sleep(0.4)
        return accept()

    asked.server._server.get_request = slowly  # type: ignore[method-assign]


@fault("endpoint-keep-alive")
def closes_after_each_answer(asked: Asked) -> None:
    asked.server.headers["connection"] = "close"


# --- who may do what


@fault("endpoint-auth", "endpoint-auth-every-route")
def wants_no_key_for_inference(asked: Asked) -> None:
    """The documented route is one of every route."""
    asked.server.open.add("/v1/chat/completions")


@fault("endpoint-auth-every-route")
def guards_the_documented_route_alone(asked: Asked) -> None:
    route(asked, "POST /invocations", error("400 Bad Request", "no prompt"))


@fault("endpoint-admin-open")
def shows_its_configuration(asked: Asked) -> None:
    route(asked, "GET /server_info", whole(b'{"vllm_config": "x"}'))


@fault("endpoint-admin-writes")
def lets_anyone_run_a_method(asked: Asked) -> None:
    route(asked, "POST /collective_rpc", whole(b"{}"))


@fault("endpoint-cors")
def any_page_may_call(asked: Asked) -> None:
    asked.server.headers |= {
        "access-control-allow-origin": "https://inferaudit.invalid",
        "access-control-allow-credentials": "true",
    }


@fault("endpoint-docs-public")
def documents_itself_to_all(asked: Asked) -> None:
    route(asked, "GET /docs", whole(b"<html></html>", "200 OK", "text/html"))


@fault("endpoint-metrics-public")
def shows_its_metrics_to_all(asked: Asked) -> None:
    asked.server.open.add("/metrics")


@fault("endpoint-server-header")
def names_its_version(asked: Asked) -> None:
    asked.server.headers["server"] = "nginx/1.18.0"


# --- TLS


@fault("endpoint-tls")
def speaks_in_the_clear(asked: Asked) -> None:
    asked.server.shut()
    asked.server = RightEndpoint(asked.folder, tls=False)


@fault("endpoint-tls-chain")
def its_certificate_is_of_nobody_known(asked: Asked) -> None:
    other = asked.folder / "other"
    other.mkdir()
    asked.ca = certificate(other)[0]


@fault("endpoint-tls-host")
def its_certificate_is_for_another(asked: Asked) -> None:
    chain, key = certificate(asked.folder, days=90, name="DNS:chat.example.com")
    asked.server.context.load_cert_chain(chain, key)


@fault("endpoint-tls-expiry")
def its_certificate_ends_in_a_week(asked: Asked) -> None:
    chain, key = certificate(asked.folder, days=7)
    asked.server.context.load_cert_chain(chain, key)


@fault("endpoint-tls-version")
def accepts_what_is_deprecated(asked: Asked) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        asked.server.context.minimum_version = ssl.TLSVersion.TLSv1
    asked.server.context.set_ciphers("ALL:@SECLEVEL=0")


@fault("endpoint-hsts")
def sends_no_hsts(asked: Asked) -> None:
    del asked.server.headers["strict-transport-security"]


# --- metrics


@fault("metrics-request-duration")
def durations_are_a_summary(asked: Asked) -> None:
    name = "vllm:e2e_request_latency_seconds"
    page(asked, lambda text: without(f"{name}_bucket")(text).replace(f"{name} histogram", f"{name} summary"))


@fault("metrics-buckets")
def buckets_far_from_the_objective(asked: Asked) -> None:
    name = "vllm:e2e_request_latency_seconds_bucket"
    page(asked, lambda text: "".join(line for line in text.splitlines(True)
                                     if name not in line or 'le="0.01"' in line or "+Inf" in line))  # fmt: skip


@fault("metrics-ttft")
def no_time_to_first_token(asked: Asked) -> None:
    page(asked, without("vllm:time_to_first_token_seconds"))


@fault("metrics-token-counts")
def counts_no_tokens(asked: Asked) -> None:
    page(asked, without("vllm:generation_tokens_total"))


@fault("metrics-queue-depth")
def shows_no_queue(asked: Asked) -> None:
    page(asked, without("vllm:num_requests_waiting"))


@fault("metrics-kv-cache")
def shows_no_cache(asked: Asked) -> None:
    page(asked, without("vllm:kv_cache_usage_perc"))


@fault("metrics-request-count", "metrics-errors")
def counts_no_requests(asked: Asked) -> None:
    """vLLM counts its errors under the requests' own names."""
    page(asked, without("vllm:request_success_total", "http_requests_total"))


@fault("metrics-model-label")
def does_not_say_which_model(asked: Asked) -> None:
    page(asked, lambda text: text.replace('request_success_total{model_name="m",', "request_success_total{"))


@fault("metrics-cardinality")
def has_a_series_for_each_user(asked: Asked) -> None:
    more = "".join(f'vllm:lora_requests{{user="{n}"}} 1\n' for n in range(2_100))
    page(asked, lambda text: text + "# TYPE vllm:lora_requests gauge\n" + more)


@fault("metrics-counters-move")
def counters_stand_still(asked: Asked) -> None:
    asked.load = True
    frozen: list[str] = []

    def still(text: str) -> str:
        frozen.append(text)
        return frozen[0]

    page(asked, still)


@fault("metrics-latency-agrees")
def durations_in_another_unit(asked: Asked) -> None:
    asked.load, asked.server.stream_wait_s, asked.server.factor = True, 0.1, 1000.0


@fault("metrics-tokens-agree")
def counts_tokens_twice(asked: Asked) -> None:
    asked.load = True

    def twice(text: str) -> str:
        return "".join(
            f"{line.split(' ')[0]} {2 * int(line.split(' ')[1])}\n" if line.startswith("vllm:generation") else line
            for line in text.splitlines(True)
        )

    page(asked, twice)


# --- other runtimes, whose faults come with them: recorded answers


def triton(*, bad_shape: bytes) -> dict[str, Any]:
    """A Triton that refuses what is wrong; a tensor with less data than its shape says gets `bad_shape`."""

    def infer(body: bytes) -> bytes:
        try:
            tensors = json.loads(body)["inputs"]
        except (ValueError, LookupError, TypeError):
            return error("400 Bad Request", "no valid request")
        filled = all(math.prod(t["shape"]) == len(t["data"]) for t in tensors)
        return recorded("triton/infer") if filled else bad_shape

    return {**SERVERS["triton"], "POST /v2/models/double/infer": infer}


REFUSED = error("400 Bad Request", "the shape wants more data")
RECORDED: Mapping[str, tuple[dict[str, Any], str]] = {
    "one_of_two_routes_is_not_ready": (
        {**triton(bad_shape=REFUSED), "GET /v2/health/ready": whole(b"", "400 Bad Request")}, "endpoint-ready"
    ),
    "a_shape_is_a_500": (triton(bad_shape=recorded("triton/err_shape")), "endpoint-bad-shape"),
}  # fmt: skip
"""Faults that this vLLM cannot have: what a Triton answers, and what then fails that did not fail before."""
INHERENT = {
    "torchserve": {"endpoint-runtime-maintained"},
    "transformers-serve": {"endpoint-runtime-fit", "metrics-endpoint-page"},
}
"""Faults that come with a runtime: what each server of it fails, whatever else it does."""


def findings(facts: Mapping[str, Fact]) -> dict[str, list[str]]:
    """Check → the messages of its failures, among the endpoint's and the metrics' checks."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    snapshot = Snapshot(collected_at=now, target=Target(), facts=elsewhere(facts))
    failed: dict[str, list[str]] = {}
    for finding in evaluate(CATALOG, snapshot, POLICY, Selection(GROUPS)):
        if finding.outcome is Outcome.FAIL:
            failed.setdefault(finding.check, []).append(finding.message)
    return failed


def elsewhere(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """The facts as they would be, were the endpoint another machine's, with a public address."""
    target, connection = facts["endpoint.target"], facts["endpoint.connection"]
    changed = {"endpoint.target": Fact(msgspec.structs.replace(target.value, loopback=False))}
    if connection.error is None:
        changed["endpoint.connection"] = Fact(msgspec.structs.replace(connection.value, addresses=["8.8.8.8"]))
    return {**facts, **changed}


def look(asked: Asked) -> dict[str, Fact]:
    """All facts of the endpoint, and of a small load where the fault shows under one."""
    golden = asked.folder / "golden.jsonl"
    if not golden.exists():
        golden.write_text(json.dumps({"name": "g", "prompt": "Count.", "expect": {"contains": " ".join(WORDS[:2])}}))
    auth = HttpAuth(api_key_env="KEY", ca_file=str(asked.ca or asked.server.ca))
    settings = {"active": True, "golden": str(golden), **asked.plan}
    with asked.server as server:
        plan = EndpointPlan(url=server.url, api="openai-chat", model=MODEL, auth=auth, **settings)
        facts = collect_endpoint(plan, environ={"KEY": KEY})
        if asked.load:
            load = LoadPlan(
                url=server.url, api="openai-chat", model=MODEL, profile="t", auth=auth, output_tokens="8",
                stages=(StagePlan("sustained", concurrency=2, requests=40),), stream=True,
                metrics_url=f"{server.url}/metrics", runtimes=("vllm",),
            )  # fmt: skip
            facts |= collect_load(load)
    return facts


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setattr("inferaudit.collect.endpoint_active._FREED_WITHIN_S", 0.3)
    monkeypatch.setenv("KEY", KEY)  # the load reads it from there
    return Asked(RightEndpoint(tmp_path), tmp_path)


def test_a_right_endpoint_fails_nothing(asked: Asked) -> None:
    asked.load, asked.plan["hold_s"] = True, HOLD_S
    facts = look(asked)
    assert facts["load.result"].error is None
    assert findings(facts) == {}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_fails_its_check_and_no_other(name: str, asked: Asked) -> None:
    change, checks = FAULTS[name]
    change(asked)
    facts = look(asked)
    failed = findings(facts)
    assert set(failed) == checks, failed


@pytest.mark.parametrize("name", RECORDED)
def test_a_fault_of_a_recorded_server_fails_its_check_and_no_other(name: str) -> None:
    answers, check = RECORDED[name]
    failed = []
    for served in (triton(bad_shape=REFUSED), answers):
        with Replay(served) as server:
            facts = collect_endpoint(EndpointPlan(url=server.url, active=True), environ={})
        failed.append(set(findings(facts)))
    assert failed[1] - failed[0] == {check}
    assert failed[0] - failed[1] == set()


@pytest.mark.parametrize("runtime", INHERENT)
def test_what_a_runtime_cannot_do_is_found(runtime: str) -> None:
    with Replay(SERVERS[runtime]) as server:
        failed = findings(collect_endpoint(EndpointPlan(url=server.url, model="tiny"), environ={}))
    assert set(failed) >= INHERENT[runtime]


def test_every_check_that_can_fail_has_a_faulty_endpoint() -> None:
    shown = set().union(*(checks for _, checks in FAULTS.values()), *INHERENT.values())
    shown |= {check for _, check in RECORDED.values()}
    can_fail = {
        check.id for check in CATALOG.checks.values() if check.group in GROUPS and "never-fails" not in check.tags
    }
    assert can_fail - shown == set(ELSEWHERE)
    for check, (_, where) in ELSEWHERE.items():
        here = Path(__file__).parent / where
        assert check in here.read_text() if here.is_file() else list((here / check).glob("fail-*.yaml")), check
