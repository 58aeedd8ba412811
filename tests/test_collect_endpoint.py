"""The endpoint collector against recorded servers, scripted faults, real TLS and a real llama.cpp."""

from __future__ import annotations

import json
import math
import shutil
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.faulty import FAULTS, FaultyServer
from support.llamacpp import start_llamacpp
from support.replay import SERVERS, Replay, both, recorded, whole

from inferaudit.catalog import load_catalog
from inferaudit.collect.endpoint import FACT_NAMES, collect_endpoint, parse_place
from inferaudit.collect.endpoint_stream import Events, stream_once
from inferaudit.collect.endpoint_wire import WIRES, read_answer, tensor_body
from inferaudit.collect.http_client import Http, Scrubber
from inferaudit.errors import UsageError
from inferaudit.evaluate import evaluate
from inferaudit.facts import fact_spec
from inferaudit.model import Fact, FactErrorKind, Outcome, Severity, Snapshot, Target
from inferaudit.plan import EndpointPlan, HttpAuth
from inferaudit.policy import Policy
from inferaudit.snapshot import decode_fact
from inferaudit.tls import tls_context

MODELS = {"torchserve": "tiny"}  # the others list theirs
NOT_ASKED = {"ray-serve", "bentoml", "unknown", "kserve"}  # nothing tells what their models take


def collect(server: Replay, **plan: Any) -> dict[str, Fact]:
    return collect_endpoint(EndpointPlan(url=server.url, **plan), environ={})


@pytest.fixture(scope="module", params=sorted(SERVERS))
def looked(request: pytest.FixtureRequest) -> tuple[str, Replay, dict[str, Fact]]:
    name = request.param
    with Replay(SERVERS[name]) as server:
        return name, server, collect(server, model=MODELS.get(name, ""))


def test_every_fact_is_there_and_survives_a_snapshot(looked: tuple[str, Replay, dict[str, Fact]]) -> None:
    _, _, facts = looked
    assert set(facts) == set(FACT_NAMES)
    for name, fact in facts.items():
        assert (fact.error is None) or fact.value is None
        if fact.error is None:
            stored = msgspec.json.decode(msgspec.json.encode(fact.value))
            assert decode_fact(name, stored) == fact.value
            assert fact_spec(name).live


def test_an_audit_sends_gets_one_plain_and_one_streamed_request(looked: tuple[str, Replay, dict[str, Fact]]) -> None:
    name, server, facts = looked
    assert {key.split(" ")[0] for key in server.seen} <= {"GET", "POST"}
    streams = facts["endpoint.stream"].value is not None
    real = [path for path in server.posts() if path != "/v2/repository/index"]  # a list, by POST
    assert len(real) == (0 if name in NOT_ASKED else 1 + streams)
    assert facts["endpoint.runtime"].value.requests <= 8
    assert len(server.gets()) <= 22


def test_what_a_real_server_is(looked: tuple[str, Replay, dict[str, Fact]]) -> None:
    name, server, facts = looked
    assert facts["endpoint.runtime"].value.name == name
    target = facts["endpoint.target"].value
    assert target.subject == f"endpoint/{server.url.removeprefix('http://')}"
    assert target.loopback
    assert facts["endpoint.tls"] == Fact(None)
    health = facts["endpoint.health"].value
    assert any(answer.ready for answer in health)
    if name in NOT_ASKED:
        error = facts["endpoint.plain"].error
        assert error is not None
        assert (error.kind, error.remedy) == (FactErrorKind.NO_TARGET, "--golden FILE")
        return
    plain = facts["endpoint.plain"].value
    if name != "llamacpp":  # only its stream was recorded
        assert (plain.status, plain.error, plain.wire) == (200, None, None)
    stream = facts["endpoint.stream"].value
    if stream is not None:
        assert stream.well_formed, stream.wrong
        assert stream.usage is not None
        assert stream.ttft_ms is not None
        assert stream.token_events > 0
        assert facts["endpoint.auth"].value.inference_open is True


def test_token_events_of_real_streams() -> None:
    counts = {}
    for name in ("vllm", "llamacpp", "ollama", "transformers-serve"):
        with Replay(SERVERS[name]) as server:
            stream = collect(server)["endpoint.stream"].value
            counts[name] = (stream.token_events, stream.role_only_events, stream.end, stream.usage.completion_tokens)
    assert counts["vllm"] == (8, 1, "done_marker", 8)
    assert counts["llamacpp"] == (6, 1, "done_marker", 6)
    assert counts["ollama"][2:] == ("done_field", 8)
    assert counts["transformers-serve"] == (3, 1, "eof", 8)


def test_metrics_by_meaning() -> None:
    with Replay(SERVERS["vllm"]) as server:
        facts = collect(server)
    concepts = {c.concept: c for c in facts["endpoint.concepts"].value}
    assert concepts["ttft"].name == "vllm:time_to_first_token_seconds"
    assert concepts["ttft"].type == "histogram"
    assert concepts["kv_cache_usage"].name == "vllm:kv_cache_usage_perc"
    assert concepts["request_duration"].bounds[0] == 0.3
    page = facts["endpoint.metrics_page"].value
    assert page.families == len(facts["endpoint.metrics"].value) > 50


def test_where_metrics_are_is_said_when_they_are_elsewhere() -> None:
    with (
        Replay(SERVERS["triton"]) as server,
        Replay({"GET /metrics": whole(b"a 1\n", "200 OK", "text/plain")}) as other,
    ):
        error = collect(server, model="double")["endpoint.metrics"].error
        given = collect(server, model="double", metrics_url=f"{other.url}/metrics")["endpoint.metrics"]
    assert error is not None
    assert error.kind is FactErrorKind.NO_TARGET
    assert "8002" in error.reason
    assert error.remedy == "--metrics-url URL"
    assert [f.name for f in given.value] == ["a"]


def test_a_metrics_url_that_is_none_failed() -> None:
    with Replay(SERVERS["vllm"]) as server:
        error = collect(server, metrics_url=f"{server.url}/version")["endpoint.metrics"].error
    assert error is not None
    assert error.kind is FactErrorKind.FAILED


def test_a_page_that_was_cut_failed() -> None:
    cut = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9\r\nconnection: close\r\n\r\na 1\n"
    with Replay(SERVERS["vllm"] | {"GET /metrics": cut}) as server:
        error = collect(server)["endpoint.metrics"].error
    assert error is not None
    assert error.kind is FactErrorKind.FAILED
    assert "truncated (" in error.reason


@pytest.mark.parametrize("kind", ["refused", "no_such_host", "silent", "closed"])
def test_a_server_that_is_down_is_one_cause(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferaudit.collect.endpoint._GET_TIMEOUT_S", 0.3)
    names = {"silent": "stall_headers", "closed": "not_tls"}
    with FaultyServer() as faulty:
        url = faulty.url(names.get(kind, kind))
        plan = EndpointPlan(url=url, timeout_s=2.0)
        facts = collect_endpoint(plan, environ={})
    errors = {name: fact.error for name, fact in facts.items() if name != "endpoint.target"}
    (error,) = set(errors.values())
    assert error is not None
    assert error.kind is FactErrorKind.FAILED
    assert error.source.startswith(url.partition(":")[0])
    assert "Traceback" not in error.reason


def test_nothing_given_names_the_flag() -> None:
    facts = collect_endpoint(EndpointPlan(url=""), environ={})
    assert {(f.error.kind, f.error.remedy) for f in facts.values() if f.error} == {
        (FactErrorKind.NO_TARGET, "--url URL")
    }


@pytest.mark.parametrize(
    ("url", "api", "base"),
    [
        ("http://h:8000", "", "http://h:8000"),
        ("http://h:8000/", "", "http://h:8000"),
        ("http://h:8000/v1", "", "http://h:8000"),
        ("http://h:8000/v1/", "openai-chat", "http://h:8000"),
        ("http://h:8000/openai/v1/chat/completions", "openai-chat", "http://h:8000/openai"),
        ("http://h:8000/v1/embeddings/", "", "http://h:8000"),
        ("http://h/v2", "oip-v2", "http://h:80"),
        ("https://h/models/chat/v1", "", "https://h:443/models/chat"),
        ("h:8000", "", "http://h:8000"),
        ("http://[::1]:8000/v1", "", "http://[::1]:8000"),
        ("http://h:8000/v1", "custom", "http://h:8000/v1"),
        ("http://h/predict?x=1", "custom", "http://h:80/predict"),
    ],
)
def test_the_base_of_a_url(url: str, api: str, base: str) -> None:
    assert parse_place(url, api).base == base


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://h:99999", "http://user:pass@h", "file:///etc/passwd"])
def test_a_bad_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError, match="--url"):
        parse_place(url)


def test_usage_errors_come_before_any_request() -> None:
    with Replay({}) as server:
        for plan, words in (
            (EndpointPlan(url=server.url, api="soap"), "--api"),
            (EndpointPlan(url=server.url, auth=HttpAuth(api_key_env="NO_SUCH")), "NO_SUCH"),
            (EndpointPlan(url=server.url, auth=HttpAuth(header_env=(("X-Key", "NO_SUCH"),))), "NO_SUCH"),
            (EndpointPlan(url=server.url, auth=HttpAuth(ca_file="/no/such.pem")), "--ca"),
            (EndpointPlan(url=server.url, golden="/no/such.yaml"), "--golden"),
        ):
            with pytest.raises(UsageError, match=words):
                collect_endpoint(plan, environ={})
        assert server.seen == []


def test_a_key_is_sent_to_the_endpoint_alone_and_never_kept() -> None:
    key = "sk-invented-0123456789abcdef"
    echo = whole(b'a{key="' + key.encode() + b'"} 1\n', "200 OK", "text/plain")
    answers = {
        **SERVERS["vllm"],
        "GET /health": whole(f'{{"you sent": "Bearer {key}"}}'.encode()),
        "POST /v1/chat/completions": whole(json.dumps({"error": f"bad key {key}"}).encode(), "400 Bad Request"),
    }
    with Replay(answers) as server, Replay({"GET /m": echo}) as other:
        plan = EndpointPlan(url=server.url, metrics_url=f"{other.url}/m", auth=HttpAuth(api_key_env="KEY"))
        facts = collect_endpoint(plan, environ={"KEY": key})
    assert any(f"Bearer {key}" in head for head in server.heads)
    assert not any(key in head for head in other.heads)
    text = repr(facts)
    assert key not in text
    assert "<redacted kind=credential" in text


def test_a_401_is_our_lack_of_a_key_and_not_a_fault_of_the_service() -> None:
    answers = {
        **SERVERS["vllm"],
        "GET /v1/models": recorded("vllm-0.32/key_missing_v1_models"),
        "POST /v1/chat/completions": recorded("vllm-0.32/key_missing_chat"),
    }
    with Replay(answers) as server:
        facts = collect(server, model="tiny")
    for name in ("endpoint.models", "endpoint.plain", "endpoint.stream"):
        error = facts[name].error
        assert error is not None
        assert error.kind is FactErrorKind.DENIED
        assert "--api-key-env" in error.remedy
    auth = facts["endpoint.auth"].value
    assert {r.kind: r.open for r in auth.routes}["models"] is False


def test_routes_are_asked_again_without_the_key() -> None:
    with Replay(SERVERS["vllm"]) as server:
        plan = EndpointPlan(url=server.url, auth=HttpAuth(api_key_env="KEY"))
        auth = collect_endpoint(plan, environ={"KEY": "k" * 20})["endpoint.auth"].value
    assert auth.credentials
    assert auth.inference_open is None
    assert {r.route: r.open for r in auth.routes} == {
        "/v1/models": True, "/metrics": True, "/docs": None, "/openapi.json": None, "/server_info": None,
    }  # fmt: skip


def test_every_inference_route_is_tried_without_the_key_and_runs_nothing() -> None:
    bodies = []

    def invocations(body: bytes) -> bytes:
        bodies.append(body)
        return recorded("vllm-0.32/error_malformed_json")

    with Replay({**SERVERS["vllm"], "POST /invocations": invocations}) as server:
        plan = EndpointPlan(url=server.url, active=True, auth=HttpAuth(api_key_env="KEY"))
        facts = collect_endpoint(plan, environ={"KEY": "k" * 20})
    tried = {p.route: p.status for p in facts["endpoint.active"].value if p.kind == "unauthorised_route"}
    assert tried["/invocations"] == 400
    assert bodies == [b"{}"]
    assert {"/v1/chat/completions", "/tokenize"} <= set(tried)


def test_a_foreign_origin_is_asked_for_with_a_get() -> None:
    answer = recorded("vllm-0.32/models").replace(b"\r\n\r\n", b"\r\nAccess-Control-Allow-Origin: *\r\n\r\n", 1)
    with Replay({**SERVERS["vllm"], "GET /v1/models": answer}) as server:
        assert collect(server)["endpoint.auth"].value.cors_origin == "*"
    with Replay(SERVERS["vllm"]) as server:
        auth = collect(server)["endpoint.auth"].value
        assert (auth.cors_origin, auth.cors_status) == (None, 200)


def test_bad_requests_are_sent_once_each_and_only_when_asked_for() -> None:
    def chat(body: bytes) -> bytes:
        if not body:
            return recorded("vllm-0.32/error_empty_body")
        try:
            asked = json.loads(body)
        except ValueError:
            return recorded("vllm-0.32/error_malformed_json")
        if asked["model"] != "tiny":
            return recorded("vllm-0.32/error_unknown_model")
        if len(body) > 5_000:
            return recorded("vllm-0.32/error_too_long")
        return both(recorded("vllm-0.32/chat"), recorded("vllm-0.32/chat_stream_usage"))(body)

    with Replay({**SERVERS["vllm"], "POST /v1/chat/completions": chat}) as server:
        facts = collect(server, active=True)
    sent = facts["endpoint.active"].value
    assert [p.route for p in sent if p.kind == "admin"] == [
        "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/collective_rpc",
    ]  # fmt: skip
    probes = {p.kind: p for p in sent if p.kind != "admin"}
    assert {kind: p.status for kind, p in probes.items()} == {
        "malformed": 400, "empty": 400, "unknown_model": 404, "oversized": 400, "cancelled": 200, "repeated": 200,
    }  # fmt: skip
    assert all(p.json for kind, p in probes.items() if kind != "cancelled")
    assert probes["repeated"].same is True
    assert probes["oversized"].words >= 2_000
    assert not any(p.leak for p in probes.values())
    assert probes["cancelled"].freed is True
    assert len(server.posts()) == 2 + len(sent) + 1  # one of them is sent twice


def test_a_tensor_that_does_not_fill_its_shape_is_tried_once() -> None:
    def infer(body: bytes) -> bytes:
        tensors = json.loads(body)["inputs"] if body.endswith(b"}") else []
        filled = all(math.prod(t["shape"]) == len(t["data"]) for t in tensors)
        return recorded("triton/infer") if filled else recorded("triton/err_shape")

    with Replay({**SERVERS["triton"], "POST /v2/models/double/infer": infer}) as server:
        facts = collect(server, active=True)
    assert facts["endpoint.target"].value.model == "double"
    probes = {p.kind: p for p in facts["endpoint.active"].value}
    assert set(probes) == {"malformed", "empty", "bad_shape", "unknown_model", "admin"}
    assert probes["bad_shape"].status == 500


@pytest.mark.parametrize(("listing", "served"), [(b"[]", []), (b"[1, null, {}]", None), (b'{"error":"no"}', None)])
def test_a_repository_without_models_and_one_that_tells_nothing(listing: bytes, served: list[str] | None) -> None:
    with Replay({**SERVERS["triton"], "POST /v2/repository/index": whole(listing)}) as server:
        fact = collect(server)["endpoint.models"]
    assert fact.value == served
    assert (fact.error is None) is (served is not None)


def test_a_list_of_what_was_downloaded_does_not_tell_what_is_served() -> None:
    with Replay(SERVERS["transformers-serve"]) as server:
        facts = collect(server)
    assert "has downloaded, not those it serves" in facts["endpoint.models"].error.reason
    assert facts["endpoint.plain"].value.status == 200  # and this is what proves the model


def test_a_request_refused_because_nobody_knows_the_model_is_no_fault_of_the_service() -> None:
    refused = whole(b"{\"detail\": \"Server is pinned to './tinyllama'; requested ''.\"}", "404 Not Found")
    answers = {**SERVERS["transformers-serve"], "POST /v1/chat/completions": refused}
    with Replay(answers) as server:
        unnamed, named = collect(server), collect(server, model="tiny")
    for name in ("endpoint.plain", "endpoint.stream"):
        error = unnamed[name].error
        assert error is not None
        assert (error.kind, error.remedy) == (FactErrorKind.NO_TARGET, "--model NAME")
        assert "a request without one was answered 404" in error.reason
        assert named[name].value.status == 404


def test_an_unauthorised_request_is_tried_where_there_is_a_key_to_leave_out() -> None:
    with Replay(SERVERS["vllm"]) as server:
        plan = EndpointPlan(url=server.url, active=True, auth=HttpAuth(api_key_env="KEY"))
        probes = collect_endpoint(plan, environ={"KEY": "k" * 20})["endpoint.active"].value
    (probe,) = [p for p in probes if p.kind == "unauthorised"]
    assert probe.status == 200


def test_a_traceback_in_an_error_is_a_leak() -> None:
    trace = whole(b"Traceback (most recent call last):\n  File x", "500 Internal Server Error", "text/plain")
    with Replay({**SERVERS["vllm"], "POST /v1/chat/completions": trace}) as server:
        probes = collect(server, active=True)["endpoint.active"].value
    assert {p.leak for p in probes if p.kind == "malformed"} == {"a traceback"}
    assert {p.json for p in probes if p.kind == "malformed"} == {False}


def test_golden_requests(tmp_path: Path) -> None:
    golden = tmp_path / "golden.yaml"
    golden.write_text(
        """
- {name: capital, prompt: "What?", expect: {matches: "."}}
- {name: wrong, prompt: "What?", expect: {contains: no such words}}
- {name: number, body: {model: tiny}, expect: {near: {path: usage.completion_tokens, value: 8}}}
"""
    )
    with Replay(SERVERS["vllm"]) as server:
        results = collect(server, golden=str(golden))["endpoint.golden"].value
    assert [(r.name, r.passed) for r in results] == [("capital", True), ("wrong", False), ("number", True)]


@pytest.mark.parametrize(
    "text",
    [
        "- {prompt: x}",
        "- {prompt: x, expect: {}}",
        "- {expect: {contains: x}}",
        "[]",
        "{",
        "- {prompt: x, expect: {matches: '('}}",
    ],
)
def test_a_bad_golden_file_is_a_usage_error(tmp_path: Path, text: str) -> None:
    golden = tmp_path / "golden.yaml"
    golden.write_text(text)
    with pytest.raises(UsageError, match="--golden"):
        collect_endpoint(EndpointPlan(url="http://127.0.0.1:9", golden=str(golden)), environ={})


def test_a_custom_service_is_asked_with_a_golden_body(tmp_path: Path) -> None:
    golden = tmp_path / "golden.json"
    golden.write_text('[{"body": {"instances": [[1, 2, 3]]}, "expect": {"contains": "predictions"}}]')
    with Replay(SERVERS["unknown"]) as server:
        plan = EndpointPlan(url=f"{server.url}/predict", api="custom", golden=str(golden))
        facts = collect_endpoint(plan, environ={})
    assert (facts["endpoint.plain"].value.status, facts["endpoint.plain"].value.sample) == (200, "known")
    assert server.posts() == ["/predict", "/predict"]
    assert facts["endpoint.golden"].value[0].passed


@pytest.mark.parametrize(
    "name", sorted(n for n, f in FAULTS.items() if f.stream and not f.port and f.expected != "dns")
)
def test_each_fault_of_a_stream_has_its_class(name: str) -> None:
    fault = FAULTS[name]
    body = json.dumps({"model": "m", "stream": True}).encode()
    wire = WIRES[fault.api]
    with FaultyServer() as faulty, Http(faulty.url(name), {}, ssl.create_default_context(), 1.0) as http:
        route = wire.route("", "m", stream=True)
        answer, _ = stream_once(http, wire, route, body, expected_end=wire.end, scrub=Scrubber(()))
    if fault.expected is None:
        assert answer.error is None, (answer.error, answer.detail)
    else:
        bad = answer.error is not None or answer.well_formed is False
        assert bad, f"{fault.expected} was taken for a good stream"


@pytest.mark.parametrize(
    ("body", "error", "detail"),
    [
        (b'{"error":{"message":"no deployment left"}}', "error_in_body", "no deployment left"),
        (b'{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}', "bad_content_type", ""),
        (b"", "empty_stream", ""),
    ],
)
def test_a_plain_answer_to_a_request_for_a_stream_is_what_it_is(body: bytes, error: str, detail: str) -> None:
    wire = WIRES["openai-chat"]
    routes = {f"POST {wire.path}": whole(body)}
    with Replay(routes) as server, Http(server.url, {}, ssl.create_default_context(), 5.0) as http:
        answer, _ = stream_once(http, wire, wire.path, b"{}", expected_end=wire.end, scrub=Scrubber(()))
    assert (answer.error, answer.detail) == (error, detail)


def test_events_are_cut_the_same_however_the_bytes_arrive() -> None:
    text = b'\xef\xbb\xbf: hi\r\ndata: {"a":1}\r\n\r\ndata: x\ndata: y\n\nevent: e\rid: 1\rx-t: 7\rdata:z\r\r'
    for step in (1, 2, 3, 7, len(text)):
        events = Events("sse")
        got = [e for i in range(0, len(text), step) for e in events.feed(text[i : i + step])] + list(events.rest())
        assert got == ['{"a":1}', "x\ny", "z"]
        assert events.wrong is None


def test_answers_that_are_no_answers() -> None:
    assert read_answer("openai-chat", "{}").wrong == "no choices"
    assert read_answer("openai-chat", "<html>").wrong == "no JSON"
    assert read_answer("openai-chat", '{"choices":[{"message":{}}]}').wrong == "a choice without finish_reason"
    assert read_answer("openai-chat", '{"error":{"message":"no"}}').error == "no"
    assert read_answer("tei", "[[0.1]]").wrong is None
    assert read_answer("tei", "[]").wrong
    assert read_answer("tf-serving", "{}").wrong == "neither predictions nor outputs"
    assert read_answer("openai-embeddings", '{"data":[{"embedding":[1]}]}').wrong is None
    assert read_answer("openai-rerank", '{"results":[{"index":0,"relevance_score":0.9}]}').wrong is None
    assert read_answer("openai-rerank", '{"data":[]}').wrong == "no results"
    assert read_answer("custom", "plain words").wrong is None


def test_tensor_requests_are_made_from_metadata() -> None:
    oip = {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "s", "datatype": "BYTES", "shape": [1]},
        ]
    }
    assert tensor_body("oip-v2", oip) == {
        "id": "inferaudit-0001",
        "inputs": [
            {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [0.0, 0.0, 0.0]},
            {"name": "s", "shape": [1], "datatype": "BYTES", "data": ["hello"]},
        ],
    }  # fmt: skip
    dims = {"dim": [{"size": "-1"}, {"size": "2"}]}
    inputs = {"x": {"dtype": "DT_FLOAT", "tensor_shape": dims}}
    tf = {"metadata": {"signature_def": {"signature_def": {"serving_default": {"inputs": inputs}}}}}
    assert tensor_body("tf-serving", tf) == {"inputs": {"x": [[0.0, 0.0]]}}
    for bad in (
        None,
        {},
        {"inputs": []},
        {"inputs": [{"shape": [10**9], "datatype": "FP32"}]},
        {"inputs": [{"shape": "x"}]},
    ):
        assert tensor_body("oip-v2", bad) is None  # fmt: skip


# --- TLS: real certificates, a real handshake


class _Tls(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("content-length", "0")
        self.send_header("strict-transport-security", "max-age=31536000; includeSubDomains")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()


CA_CONFIG = """
[ca]
default_ca = d
[d]
database = index.txt
new_certs_dir = .
serial = serial
default_md = sha256
policy = p
copy_extensions = copy
[p]
commonName = supplied
"""
NOW_AND_THEN = ("20260101000000Z", "20991231000000Z")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem and <name>.pem/.key: good, other (another host), expired, and self (signed by itself)."""
    folder = tmp_path_factory.mktemp("tls")
    openssl = shutil.which("openssl")
    assert openssl, "openssl makes the certificates of these tests"

    def run(*args: str) -> None:
        subprocess.run([openssl, *args], cwd=folder, check=True, capture_output=True, timeout=60)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run(*new, "-x509", "-days", "30", "-subj", "/CN=test ca", "-keyout", "ca.key", "-out", "ca.pem")
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(CA_CONFIG)
    for name, names, (start, end) in (
        ("good", "IP:127.0.0.1,DNS:localhost", NOW_AND_THEN),
        ("other", "DNS:other.example", NOW_AND_THEN),
        ("expired", "IP:127.0.0.1", ("20250101000000Z", "20250201000000Z")),
    ):
        ask = ("-addext", f"subjectAltName={names}", "-subj", f"/CN={name}")
        run(*new, *ask, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        sign = ("ca", "-batch", "-config", "ca.cnf", "-create_serial", "-cert", "ca.pem", "-keyfile", "ca.key")
        run(*sign, "-in", f"{name}.csr", "-startdate", start, "-enddate", end, "-out", f"{name}.pem")
    own = ("-x509", "-days", "30", "-subj", "/CN=self", "-addext", "subjectAltName=IP:127.0.0.1")
    run(*new, *own, "-keyout", "self.key", "-out", "self.pem")
    return folder


@pytest.fixture
def tls_url(certificates: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    name, _, asking = request.param.partition(" ")
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    if asking:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates / "ca.pem")

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> tuple[Any, Any]:
            sock, address = super().get_request()
            sock.settimeout(10)
            return context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), address

        def handle_error(self, *_: object) -> None:
            """A refused handshake is part of the tests."""

    server = Server(("127.0.0.1", 0), _Tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.mark.parametrize("tls_url", ["good"], indirect=True)
def test_good_tls(tls_url: str, certificates: Path) -> None:
    plan = EndpointPlan(url=tls_url, auth=HttpAuth(ca_file=str(certificates / "ca.pem")), timeout_s=5.0)
    facts = collect_endpoint(plan, environ={})
    tls = facts["endpoint.tls"].value
    assert (tls.chain_ok, tls.host_ok, tls.version, tls.hsts_s) == (True, True, "TLSv1.3", 31536000)
    assert tls.not_after is not None
    assert tls.names == ["127.0.0.1", "localhost"]
    assert tls.issuer == "commonName=test ca"
    assert tls.legacy in ([], None)
    assert facts["endpoint.connection"].value.tls_ms > 0


@pytest.mark.parametrize(
    ("tls_url", "chain", "host", "subject"),
    [
        ("other", True, False, "commonName=other"),
        ("expired", False, None, "commonName=expired"),
        ("self", False, None, "commonName=self"),
    ],
    indirect=["tls_url"],
)
def test_bad_tls_is_read_all_the_same(
    tls_url: str, chain: bool, host: bool | None, subject: str, certificates: Path
) -> None:
    plan = EndpointPlan(url=tls_url, auth=HttpAuth(ca_file=str(certificates / "ca.pem")), timeout_s=5.0)
    facts = collect_endpoint(plan, environ={})
    tls = facts["endpoint.tls"].value
    assert (tls.chain_ok, tls.host_ok, tls.subject) == (chain, host, subject)
    assert tls.not_after is not None
    assert tls.error
    error = facts["endpoint.plain"].error
    assert error is not None
    assert error.kind is FactErrorKind.FAILED
    assert "--ca" in error.remedy


@pytest.mark.parametrize("tls_url", ["good asking"], indirect=True)
def test_a_client_certificate_is_shown_where_tls_asks(tls_url: str, certificates: Path) -> None:
    ca, cert, key = (str(certificates / name) for name in ("ca.pem", "other.pem", "other.key"))
    shown = collect_endpoint(EndpointPlan(tls_url, auth=HttpAuth(ca_file=ca, cert_file=cert, key_file=key)), environ={})
    tls = shown["endpoint.tls"].value
    assert (tls.chain_ok, tls.host_ok, tls.hsts_s) == (True, True, 31536000)  # the last came with an answer
    missing = collect_endpoint(EndpointPlan(tls_url, auth=HttpAuth(ca_file=ca)), environ={})["endpoint.plain"].error
    assert missing is not None
    assert "asks for a client certificate that it accepts: give --client-cert" in missing.reason
    assert "mend the certificate" not in missing.remedy


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("", "good.key", "--client-key needs --client-cert"),
        ("none.pem", "", "--client-cert none.pem: No such file"),
        ("good.pem", "none.key", "--client-key none.key: No such file"),
        ("good.pem", "", "--client-cert good.pem: a certificate and its key in PEM"),
        ("good.pem", "ca.cnf", "--client-cert good.pem: a certificate and a key in PEM each"),
        ("good.pem", "self.key", "--client-key self.key: not the key of --client-cert good.pem"),
        ("good.pem", "locked.key", "--client-key locked.key: the key is encrypted"),
    ],
)
def test_client_certificates_that_do_not_do(
    cert: str, key: str, said: str, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(certificates)
    lock = ["openssl", "ec", "-in", "good.key", "-aes128", "-passout", "pass:word", "-out", "locked.key"]
    subprocess.run(lock, check=True, capture_output=True, timeout=60)
    with pytest.raises(UsageError) as caught:
        tls_context(HttpAuth(cert_file=cert, key_file=key))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("tls_url", ["self"], indirect=True)
def test_http_on_a_port_of_tls_is_one_cause(tls_url: str) -> None:
    facts = collect_endpoint(EndpointPlan(url=tls_url.replace("https://", "http://")), environ={})
    reasons = {fact.error.reason for name, fact in facts.items() if name != "endpoint.target" and fact.error}
    assert len(reasons) == 1
    assert "speaks TLS: write https://" in reasons.pop()


@pytest.mark.parametrize("says", [b"SSH-2.0-OpenSSH_9.6\r\n", b"-ERR unknown command 'GET'\r\n", b"", None])
def test_a_port_that_speaks_no_http_is_one_cause(says: bytes | None) -> None:
    """None: it says what it is told."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard = self.request.recv(65536) if says != b"" else b""
            self.request.sendall(heard if says is None else says)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        facts = collect_endpoint(EndpointPlan(url=url, timeout_s=5.0), environ={})
        server.shutdown()
    assert set(facts) == set(FACT_NAMES)
    reasons = {fact.error.reason for name, fact in facts.items() if name != "endpoint.target" and fact.error}
    assert len(reasons) == 1, reasons
    reason = reasons.pop()
    assert f"{url} answers no request in HTTP: " in reason
    assert not says or says.decode().strip() in reason
    snapshot = Snapshot(collected_at="2026-01-01T00:00:00Z", target=Target(url=url), facts=facts)
    findings = evaluate(load_catalog(), snapshot, Policy.model_validate({"scope": ["endpoint"]}))
    alone = [f for f in findings if f.cause is None and f.outcome is not Outcome.NOT_APPLICABLE]
    assert [f.check for f in alone if f.severity is Severity.CRITICAL] == ["audit-collection"]
    assert {f.check.partition("-")[0] for f in alone} <= {"audit", "process"}


def test_a_port_that_sends_everybody_to_tls_is_one_cause() -> None:
    class Moved(Replay):
        def answer(self, key: str, head: str, body: bytes) -> bytes:
            return whole(b"", "308 Permanent Redirect", "text/plain", f"location: https://api.example{key.split()[1]}")

    with Moved({}) as server:
        facts = collect(server)
    reasons = {fact.error.reason for name, fact in facts.items() if name != "endpoint.target" and fact.error}
    assert reasons == {f"{server.url} redirects every request: the service is at https://api.example"}


def test_a_unix_socket_is_for_load_alone() -> None:
    facts = collect_endpoint(EndpointPlan(url="unix:/run/model.sock"), environ={})
    assert {fact.error.reason for fact in facts.values() if fact.error} == {
        "a Unix socket is for load alone; the audit asks over TCP"
    }


@pytest.mark.parametrize("tls_url", ["self"], indirect=True)
def test_insecure_goes_on_and_says_what_it_overlooked(tls_url: str) -> None:
    facts = collect_endpoint(EndpointPlan(url=tls_url, auth=HttpAuth(insecure=True), timeout_s=5.0), environ={})
    tls = facts["endpoint.tls"].value
    assert (tls.chain_ok, tls.self_signed) == (False, True)
    assert facts["endpoint.health"].error is None


# --- a real server


def test_a_real_llamacpp_from_plain_to_cancelled(tmp_path: Path) -> None:
    key = "an-invented-key-of-llama"
    with start_llamacpp(tmp_path, api_key=key) as url:
        locked = collect_endpoint(EndpointPlan(url=url), environ={})
        plan = EndpointPlan(url=f"{url}/v1", active=True, auth=HttpAuth(api_key_env="KEY"))
        facts = collect_endpoint(plan, environ={"KEY": key})
    assert locked["endpoint.runtime"].value.name == "llamacpp"
    for name in ("endpoint.plain", "endpoint.metrics"):
        error = locked[name].error
        assert error is not None
        assert error.kind is FactErrorKind.DENIED
    assert locked["endpoint.health"].value[0].ready
    assert facts["endpoint.plain"].value.wire is None
    assert facts["endpoint.stream"].value.well_formed, facts["endpoint.stream"].value.wrong
    assert facts["endpoint.stream"].value.usage.completion_tokens > 0
    concepts = {c.concept: c.name for c in facts["endpoint.concepts"].value}
    assert concepts["running"] == "llamacpp:requests_processing"
    probes = {p.kind: p for p in facts["endpoint.active"].value}
    assert probes["unauthorised"].status == 401
    assert probes["malformed"].status is not None
    assert probes["oversized"].status == 400
    assert probes["cancelled"].freed is True
    assert key not in repr(facts)
