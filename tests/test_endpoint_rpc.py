"""An endpoint of gRPC under audit: the facts of HTTP, asked by method, from servers in order and out of it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.certificates import certificate
from support.rpc import OIP, Method, oip_methods, says, scripted, serving, tf_methods

from inferaudit.collect.endpoint import collect_endpoint
from inferaudit.errors import UsageError
from inferaudit.model import Fact, FactErrorKind
from inferaudit.plan import EndpointPlan, HttpAuth

SERVICE = OIP


def look(url: str, environ: dict[str, str] | None = None, **options: Any) -> dict[str, Fact]:
    return collect_endpoint(EndpointPlan(url=url, **{"timeout_s": 5.0, **options}), environ=environ or {})


def reasons(facts: dict[str, Fact]) -> set[str]:
    return {fact.error.reason for fact in facts.values() if fact.error is not None}


def test_a_server_in_order_gives_the_facts_of_http() -> None:
    with serving(oip_methods(), healthy=True) as port:
        facts = look(f"grpc://127.0.0.1:{port}", model="double", active=True)
    target = facts["endpoint.target"].value
    assert (target.api, target.url, target.scheme) == ("oip-v2-grpc", f"grpc://127.0.0.1:{port}", "http")
    health = {answer.route: answer for answer in facts["endpoint.health"].value}
    assert set(health) == {
        f"{SERVICE}/ServerLive", f"{SERVICE}/ServerReady", f"{SERVICE}/ModelReady", "grpc.health.v1.Health/Check"
    }  # fmt: skip
    assert all(answer.ready and answer.status == 200 for answer in health.values())
    assert health[f"{SERVICE}/ModelReady"].proves == "model"
    assert health["grpc.health.v1.Health/Check"].body == "SERVING"
    plain = facts["endpoint.plain"].value
    assert (plain.route, plain.status, plain.error, plain.wire) == (f"{SERVICE}/ModelInfer", 200, None, None)
    assert (plain.sample, plain.model, plain.request_id_echoed) == ("known", "double", True)
    assert facts["endpoint.stream"].value is None
    assert facts["endpoint.tls"].value is None
    assert facts["endpoint.connection"].value.reused is True
    assert facts["endpoint.connection"].value.http_version == "HTTP/2"
    assert facts["endpoint.auth"].value.inference_open is True
    assert [route.route for route in facts["endpoint.auth"].value.routes] == [f"{SERVICE}/ModelInfer"]
    active = {probe.kind: probe.status for probe in facts["endpoint.active"].value}
    assert active == {"empty": 400, "bad_shape": 400, "unknown_model": 404}
    assert facts["endpoint.metrics"].error is not None
    assert facts["endpoint.metrics"].error.reason.startswith("a gRPC port has no metrics page")
    runtime = facts["endpoint.runtime"].value
    assert runtime.name == "unknown"  # it names itself as nothing we know
    assert not any("GET" in text for text in runtime.evidence)


def test_golden_requests_are_asked_by_call(tmp_path: Path) -> None:
    row = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.25]}
    good = {"name": "kept", "body": {"inputs": [row]}, "expect": {"contains": "0.25"}}
    bad = {"name": "not so", "body": {"inputs": [row]}, "expect": {"contains": "0.75"}}
    (tmp_path / "golden.jsonl").write_text("\n".join(map(json.dumps, (good, bad))))
    with serving(oip_methods()) as port:
        facts = look(f"grpc://127.0.0.1:{port}", model="double", golden=str(tmp_path / "golden.jsonl"))
    assert [(r.name, r.passed) for r in facts["endpoint.golden"].value] == [("kept", True), ("not so", False)]


def test_over_tls_and_through_the_wrong_door(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with serving(oip_methods(), tls=(cert, key)) as port:
        facts = look(f"grpcs://127.0.0.1:{port}", model="double", auth=HttpAuth(ca_file=str(cert)))
        assert facts["endpoint.plain"].value.status == 200
        assert facts["endpoint.target"].value.scheme == "https"
        assert facts["endpoint.tls"].value.chain_ok is True
        unverified = look(f"grpcs://127.0.0.1:{port}", model="double")
        assert unverified["endpoint.tls"].value.chain_ok is False
        assert unverified["endpoint.plain"].error is not None
        wrong = reasons(look(f"grpc://127.0.0.1:{port}", model="double"))
        assert len(wrong) == 1
        assert "it speaks TLS: write grpcs:// or https://" in wrong.pop()
        in_http = reasons(look(f"https://127.0.0.1:{port}", auth=HttpAuth(insecure=True)))
        assert "speaks HTTP/2 alone" in in_http.pop()
    with serving(oip_methods()) as port:
        assert "TLS" in next(iter(reasons(look(f"grpcs://127.0.0.1:{port}"))))
        wrong = reasons(look(f"http://127.0.0.1:{port}"))
        advice = "give --api oip-v2-grpc, or the server's HTTP port"
        assert wrong == {f"127.0.0.1:{port} speaks HTTP/2 alone, as a gRPC port does: {advice}"}


def test_no_server_one_that_hangs_and_one_of_http_are_one_cause() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    refused = look(f"grpc://127.0.0.1:{port}")
    assert len(reasons(refused)) == 1
    assert "no connection" in reasons(refused).pop()
    with scripted(None, settings=False) as port:
        assert "timeout_headers" in next(iter(reasons(look(f"grpc://127.0.0.1:{port}", timeout_s=0.5))))
    with scripted(None, raw=b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as port:
        facts = look(f"http://127.0.0.1:{port}", api="oip-v2-grpc")
        assert "it speaks HTTP/1.1, not gRPC" in reasons(facts).pop()


def _aborts(code: grpc.StatusCode) -> Method:
    def method(data: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(code, "no")
        return b""

    return method


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, 501, "http_5xx"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, "http_429"),
        (grpc.StatusCode.UNAVAILABLE, 503, "http_503"),
        (grpc.StatusCode.INVALID_ARGUMENT, 400, "http_4xx"),
    ],
)
def test_a_refused_inference_is_an_answer_of_its_status(code: grpc.StatusCode, status: int, kind: str) -> None:
    with serving(oip_methods(ModelInfer=_aborts(code))) as port:
        plain = look(f"grpc://127.0.0.1:{port}", model="double")["endpoint.plain"].value
    assert (plain.status, plain.error, plain.detail) == (status, kind, f"{code.name}: no")


def test_without_a_key_the_read_is_denied_and_with_it_answered() -> None:
    infer = oip_methods()[f"/{OIP}/ModelInfer"]

    def guarded(data: bytes, context: grpc.ServicerContext) -> bytes:
        if dict(context.invocation_metadata()).get("authorization") != "Bearer an-invented-key":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        return infer(data, context)

    with serving(oip_methods(ModelInfer=guarded)) as port:
        url = f"grpc://127.0.0.1:{port}"
        locked = look(url, model="double")
        opened = look(
            url, {"A_KEY": "an-invented-key"}, model="double", active=True, auth=HttpAuth(api_key_env="A_KEY")
        )
    assert locked["endpoint.plain"].error is not None
    assert locked["endpoint.plain"].error.kind is FactErrorKind.DENIED
    assert opened["endpoint.plain"].value.status == 200
    assert {p.kind: p.status for p in opened["endpoint.active"].value}["unauthorised"] == 401


def test_not_ready_and_not_serving_are_said_as_such() -> None:
    methods = oip_methods(ServerReady=lambda data, context: says("ServerReadyResponse", ready=False))
    with serving(methods, healthy=False) as port:
        facts = look(f"grpc://127.0.0.1:{port}", model="double")
    health = {answer.route: (answer.ready, answer.status) for answer in facts["endpoint.health"].value}
    assert health[f"{SERVICE}/ServerReady"] == (False, 503)
    assert health["grpc.health.v1.Health/Check"] == (False, 503)
    assert health[f"{SERVICE}/ServerLive"] == (True, 200)


def test_an_answer_that_is_none_is_no_answer() -> None:
    odd: dict[str, Method] = {
        "bytes that are no message": lambda data, context: b"\xff\xff\xff",
        "less data than its shape says": lambda data, context: says(
            "ModelInferResponse",
            outputs=[{"name": "y", "datatype": "FP32", "shape": [2]}],
            raw_output_contents=[b"1234"],
        ),
        "an unknown datatype": lambda data, context: says(
            "ModelInferResponse",
            outputs=[{"name": "y", "datatype": "FP7", "shape": [1]}],
            raw_output_contents=[b"1234"],
        ),
    }
    for method in odd.values():
        with serving(oip_methods(ModelInfer=method)) as port:
            plain = look(f"grpc://127.0.0.1:{port}", model="double")["endpoint.plain"].value
        assert plain.error == "malformed_event"
        assert plain.detail


def test_a_model_that_nobody_named_is_no_request() -> None:
    with serving(oip_methods()) as port:
        facts = look(f"grpc://127.0.0.1:{port}", active=True)
    assert facts["endpoint.plain"].error is not None
    assert facts["endpoint.plain"].error.remedy == "--model NAME"
    assert facts["endpoint.active"].error is not None
    assert facts["endpoint.models"].error is not None
    assert facts["endpoint.models"].error.reason == "the server lists no models over gRPC"


# --- TensorFlow Serving, by its documented answers


def test_tensorflow_serving_is_asked_by_its_own_service() -> None:
    with serving(tf_methods()) as port:
        facts = look(f"grpc://127.0.0.1:{port}", model="half_plus_two", active=True)
    assert facts["endpoint.target"].value.api == "tf-serving-grpc"
    assert facts["endpoint.runtime"].value.name == "tf-serving"
    health = facts["endpoint.health"].value
    assert [(a.route, a.ready, a.proves) for a in health] == [
        ("tensorflow.serving.ModelService/GetModelStatus", True, "model")
    ]
    plain = facts["endpoint.plain"].value
    assert (plain.route, plain.status, plain.wire) == ("tensorflow.serving.PredictionService/Predict", 200, None)
    assert json.loads(plain.body) == {"outputs": {"y": [2.0]}}
    assert {p.kind: p.status for p in facts["endpoint.active"].value}["unknown_model"] == 404


def test_tensorflow_serving_while_its_model_loads() -> None:
    with serving(tf_methods(state=20)) as port:
        facts = look(f"grpc://127.0.0.1:{port}", api="tf-serving-grpc", model="half_plus_two")
    assert [a.ready for a in facts["endpoint.health"].value] == [False]
    assert facts["endpoint.plain"].value.error == "http_503"


def test_what_cannot_be_is_a_usage_error() -> None:
    for url, api in (("grpc://127.0.0.1:1", "openai-chat"), ("grpc://127.0.0.1", ""), ("grpcx://127.0.0.1:1", "")):
        with pytest.raises(UsageError):
            look(url, api=api)
