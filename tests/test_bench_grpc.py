"""Load over gRPC: against grpcio's own server, and against servers that break the rules, each in its error class."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.certificates import certificate
from support.rpc import Scripted, oip_methods, says, scripted, serving, tf_methods

from inferaudit.bench.runner import LoadOutcome, run_load
from inferaudit.benchmark import benchmark_section
from inferaudit.errors import CollectError, UsageError
from inferaudit.plan import HttpAuth, LoadPlan, StagePlan
from inferaudit.rpc.messages import message
from inferaudit.rpc.session import frame

ANSWER = frame(
    message("inference.ModelInferResponse", model_name="double", outputs=[{"name": "y"}]).SerializeToString()
)
OK = ("grpc-status", "0")


def load(
    url: str, tmp_path: Path | None = None, *, requests: int = 20, streams: int = 2, **options: Any
) -> LoadOutcome:
    """Load with one request again and again; with `tmp_path` the request is given, and the server is not asked."""
    template = options.pop("template", "")
    if tmp_path is not None:
        row = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
        (tmp_path / "body.json").write_text(json.dumps({"inputs": [row]}))
        template = str(tmp_path / "body.json")
    stages = (StagePlan("sustained", concurrency=streams, requests=requests),)
    plan = LoadPlan(
        url=url, api="oip-v2-grpc", model="double", profile="bench", stages=stages,
        template=template, stop_error_ratio=1.1, **{"timeout_s": 5.0, **options},
    )  # fmt: skip
    return run_load(plan)


def errors(outcome: LoadOutcome) -> dict[str, int]:
    names = outcome.records.errors
    found: dict[str, int] = {}
    for place in outcome.records.columns["error"]:
        found[names[place]] = found.get(names[place], 0) + 1
    return found


# --- a server in order


def test_every_call_is_answered_and_counted() -> None:
    seen: set[str] = set()
    infer = oip_methods()["/inference.GRPCInferenceService/ModelInfer"]

    def counted(data: bytes, context: grpc.ServicerContext) -> bytes:
        seen.add(dict(context.invocation_metadata())["x-request-id"])
        return infer(data, context)

    with serving(oip_methods(ModelInfer=counted)) as port:
        outcome = load(f"grpc://127.0.0.1:{port}", requests=200, streams=4)
        section = benchmark_section(outcome.result, outcome.records, {})
    assert errors(outcome) == {"": 200}
    assert len(seen) == 200
    assert section["latency_ms"]["count"] == 200
    assert section["tokens"]["output"] is None
    assert outcome.result.clock == "kernel"
    assert outcome.result.stages[0].client.connections_opened <= 4


def test_two_workers_share_the_calls(tmp_path: Path) -> None:
    with serving(oip_methods()) as port:
        outcome = load(f"grpc://127.0.0.1:{port}", tmp_path, requests=60, streams=4, workers=2)
    assert errors(outcome) == {"": 60}
    assert outcome.result.stages[0].client.workers == 2
    assert sorted(set(outcome.records.columns["number"])) == list(range(60))


def test_over_a_unix_socket(tmp_path: Path) -> None:
    place = f"unix:{tmp_path / 'grpc.sock'}"
    with serving(oip_methods(), place=place):
        outcome = load(place, tmp_path)
    assert errors(outcome) == {"": 20}


@contextmanager
def _tunnels(port: int) -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that leads every CONNECT to `port`: its own port, and what it was asked."""
    listening, asked = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError), source:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(65536)
                asked.append(head.partition(b"\r\n")[0])
                server = socket.create_connection(("127.0.0.1", port))
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with listening:
        yield listening.getsockname()[1], asked


def test_a_proxy_opens_a_tunnel_even_without_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(oip_methods()) as port, _tunnels(port) as (proxy, asked):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy}")
        outcome = load("grpc://models.example.test:50051", tmp_path)
    assert errors(outcome) == {"": 20}
    assert set(asked) == {b"CONNECT models.example.test:50051 HTTP/1.1"}


def test_over_tls_with_a_given_authority(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with serving(oip_methods(), tls=(cert, key)) as port:
        url = f"grpcs://127.0.0.1:{port}"
        assert errors(load(url, auth=HttpAuth(ca_file=str(cert)))) == {"": 20}
        assert errors(load(url, auth=HttpAuth(insecure=True))) == {"": 20}
        assert errors(load(url, tmp_path)) == {"tls": 20}
        with pytest.raises(CollectError, match="self-signed"):
            load(url)
        with pytest.raises(CollectError, match="it speaks TLS: write grpcs://"):
            load(f"grpc://127.0.0.1:{port}")
    with serving(oip_methods()) as port, pytest.raises(CollectError, match="it speaks no TLS: write grpc://"):
        load(f"grpcs://127.0.0.1:{port}")


def test_a_request_larger_than_the_servers_windows(tmp_path: Path) -> None:
    values = 400_000  # 1.6 MB: 25 times the window a connection starts with
    row = {"name": "x", "datatype": "FP32", "shape": [1, values], "data": [1.5] * values}
    (tmp_path / "large.json").write_text(json.dumps({"inputs": [row]}))
    with serving(oip_methods()) as port:
        outcome = load(f"grpc://127.0.0.1:{port}", requests=6, template=str(tmp_path / "large.json"))
    assert errors(outcome) == {"": 6}


def test_credentials_travel_with_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    infer = oip_methods()["/inference.GRPCInferenceService/ModelInfer"]

    def guarded(data: bytes, context: grpc.ServicerContext) -> bytes:
        if dict(context.invocation_metadata()).get("authorization") != "Bearer an-invented-key":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        return infer(data, context)

    monkeypatch.setenv("A_KEY", "an-invented-key")
    with serving(oip_methods(ModelInfer=guarded)) as port:
        assert errors(load(f"grpc://127.0.0.1:{port}")) == {"http_4xx": 20}
        assert errors(load(f"grpc://127.0.0.1:{port}", auth=HttpAuth(api_key_env="A_KEY"))) == {"": 20}


# --- statuses and faults


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "http_429"),
        (grpc.StatusCode.UNAVAILABLE, "http_503"),
        (grpc.StatusCode.INTERNAL, "http_5xx"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "http_5xx"),
        (grpc.StatusCode.UNIMPLEMENTED, "http_5xx"),
        (grpc.StatusCode.INVALID_ARGUMENT, "http_4xx"),
        (grpc.StatusCode.NOT_FOUND, "http_4xx"),
    ],
)
def test_a_status_lands_in_the_class_of_its_http_status(code: grpc.StatusCode, kind: str) -> None:
    def refuse(data: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(code, "no")
        return b""

    with serving(oip_methods(ModelInfer=refuse)) as port:
        assert errors(load(f"grpc://127.0.0.1:{port}", requests=10)) == {kind: 10}


def answered(one: Scripted, stream: int) -> None:
    one.head(stream)
    one.data(stream, ANSWER)
    one.trailers(stream, OK)


def _raw_headers(one: Scripted, stream: int, block: bytes) -> None:
    one.sock.sendall(len(block).to_bytes(3, "big") + b"\1\4" + stream.to_bytes(4, "big") + block)


def _reset_after(one: Scripted, stream: int) -> None:
    one.head(stream)
    one.data(stream, ANSWER[:9])
    one.h2.reset_stream(stream, 2)
    one.flush()


def _reset(code: int) -> Callable[[Scripted, int], None]:
    def script(one: Scripted, stream: int) -> None:
        one.h2.reset_stream(stream, code)
        one.flush()

    return script


def _body(content: bytes, *last: tuple[str, str]) -> Callable[[Scripted, int], None]:
    def script(one: Scripted, stream: int) -> None:
        one.head(stream)
        one.data(stream, content, end=not last)
        if last:
            one.trailers(stream, *last)

    return script


def _only_head(*fields: tuple[str, str], status: str = "200") -> Callable[[Scripted, int], None]:
    return lambda one, stream: one.head(stream, *fields, status=status, end=True)


def _close(one: Scripted, stream: int) -> None:
    one.head(stream)
    one.data(stream, ANSWER[:9])
    one.sock.shutdown(socket.SHUT_RDWR)


def _in_pieces(one: Scripted, stream: int) -> None:
    one.h2.ping(b"12345678")
    one.head(stream)
    for at in range(0, len(ANSWER), 3):
        one.data(stream, ANSWER[at : at + 3], pad=5)
    one.trailers(stream, OK, ("grpc-message", ""))
    one.h2.ping(b"abcdefgh")  # while the connection is idle, or with the next call on its way
    one.flush()


FAULTS: dict[str, tuple[Callable[[Scripted, int], None] | None, str]] = {
    "in order": (answered, ""),
    "in pieces, padded, with pings": (_in_pieces, ""),
    "overloaded": (_only_head(("grpc-status", "8")), "http_429"),
    "reset as refused": (_reset(7), "http_503"),
    "reset as too much": (_reset(11), "http_429"),
    "reset for another reason": (_reset(2), "reset_before_headers"),
    "reset in the body": (_reset_after, "reset_in_body"),
    "closed in the body": (_close, "truncated"),
    "silent": (None, "timeout_headers"),
    "silent after the head": (lambda one, stream: one.head(stream), "timeout_stall"),
    "no trailers": (_body(ANSWER), "truncated"),
    "trailers without a status": (_body(ANSWER, ("x", "y")), "truncated"),
    "a status after the message": (_body(ANSWER, ("grpc-status", "13"), ("grpc-message", "x%0D%0Ay")), "http_5xx"),
    "a message that breaks off": (_body(ANSWER[:-3], OK), "malformed_event"),
    "no message": (_only_head(OK), "malformed_event"),
    "two messages": (_body(ANSWER + ANSWER, OK), "malformed_event"),
    "no outputs": (_body(frame(b""), OK), "malformed_event"),
    "bytes that are no message": (_body(frame(b"\xff\xff\xff"), OK), "malformed_event"),
    "compressed": (_body(b"\1" + ANSWER[1:], OK), "bad_encoding"),
    "a page": (_only_head(("content-type", "text/html")), "bad_content_type"),
    "a proxy's 503": (_only_head(("content-type", "text/html"), status="503"), "http_503"),
    "a redirect": (_only_head(("location", "/x"), status="302"), "redirect"),
    "headers that are none": (lambda one, stream: _raw_headers(one, stream, b"\xff" * 6), "malformed_http"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_lands_in_its_class(name: str, tmp_path: Path) -> None:
    script, kind = FAULTS[name]
    limits = {"timeout_s": 0.4} if script is None or "silent" in name else {}
    with scripted(script) as port:
        outcome = load(f"grpc://127.0.0.1:{port}", tmp_path, requests=6, **limits)
    assert errors(outcome) == {kind: 6}
    if kind:
        assert benchmark_section(outcome.result, outcome.records, {})["latency_ms"]["p50"] is None


def test_what_is_no_http2_is_no_latency(tmp_path: Path) -> None:
    with scripted(None, raw=b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as port:
        assert errors(load(f"http://127.0.0.1:{port}", tmp_path, requests=4)) == {"malformed_http": 4}
        with pytest.raises(CollectError, match=r"it speaks HTTP/1\.1, not gRPC"):
            load(f"grpc://127.0.0.1:{port}")
    with scripted(None, settings=False) as port:
        assert errors(load(f"grpc://127.0.0.1:{port}", tmp_path, requests=2, timeout_s=0.4)) == {"connect_timeout": 2}
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert errors(load(f"grpc://127.0.0.1:{port}", tmp_path, requests=2)) == {"refused": 2}
    with pytest.raises(CollectError, match="Connection refused"):
        load(f"grpc://127.0.0.1:{port}")


def test_a_server_that_shuts_down_in_good_order_loses_no_call(tmp_path: Path) -> None:
    """GOAWAY with the call among those it still answers, then the end; the next call goes to a new connection."""

    def last(one: Scripted, stream: int) -> None:
        one.sock.sendall(b"\0\0\x08\7\0\0\0\0\0" + stream.to_bytes(4, "big") + b"\0\0\0\0")
        answered(one, stream)

    with scripted(last) as port:
        outcome = load(f"grpc://127.0.0.1:{port}", tmp_path, requests=12)
    assert errors(outcome) == {"": 12}
    assert outcome.result.stages[0].client.connections_opened >= 10


def test_a_call_that_a_closing_server_never_began_goes_to_another_connection(tmp_path: Path) -> None:
    calls = {"n": 0}
    lock = threading.Lock()

    def every_third_goes_away(one: Scripted, stream: int) -> None:
        with lock:
            calls["n"] += 1
            away = calls["n"] % 3 == 0 and stream > 1
        if not away:
            answered(one, stream)
            return
        one.sock.sendall(b"\0\0\x08\7\0\0\0\0\0" + (stream - 2).to_bytes(4, "big") + b"\0\0\0\0")

    with scripted(every_third_goes_away) as port:
        outcome = load(f"grpc://127.0.0.1:{port}", tmp_path, requests=12, streams=1)
    assert errors(outcome) == {"": 12}
    assert outcome.result.stages[0].client.connections_stale > 0


def test_tensorflow_serving_under_load() -> None:
    with serving(tf_methods()) as port:
        stages = (StagePlan("sustained", concurrency=2, requests=20),)
        plan = LoadPlan(f"grpc://127.0.0.1:{port}", "tf-serving-grpc", "half_plus_two", "bench", stages)
        assert errors(run_load(plan)) == {"": 20}
    with serving(tf_methods(state=20)) as port:
        assert errors(run_load(replace(plan, url=f"grpc://127.0.0.1:{port}", stop_error_ratio=1.1))) == {"http_503": 20}


# --- the wrong door, and what cannot be


def test_http_at_a_grpc_port_is_said_in_one_line() -> None:
    with serving(oip_methods()) as port:
        plan = {"model": "double", "profile": "bench", "stages": (StagePlan("s", concurrency=1, requests=30),)}
        with pytest.raises(CollectError, match="speaks HTTP/2 alone, as a gRPC port does"):
            run_load(LoadPlan(f"http://127.0.0.1:{port}", "oip-v2", **plan))
        outcome = run_load(LoadPlan(f"http://127.0.0.1:{port}", "openai-chat", **plan))
    assert any("as a gRPC port does" in warning for warning in outcome.result.warnings)


def test_what_cannot_be_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    plan = {"model": "double", "profile": "bench", "stages": (StagePlan("s", concurrency=1, requests=1),)}
    with pytest.raises(UsageError, match="contradict each other"):
        run_load(LoadPlan("grpc://127.0.0.1:1", "openai-chat", **plan))
    with pytest.raises(UsageError, match="no port of its own"):
        run_load(LoadPlan("grpc://127.0.0.1", "oip-v2-grpc", **plan))
    with pytest.raises(UsageError, match="does not stream"):
        run_load(LoadPlan("grpc://127.0.0.1:1", "oip-v2-grpc", stream=True, **plan))
    (tmp_path / "bad.json").write_text('{"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [900]}]}')
    with pytest.raises(UsageError, match="no INT8"):
        run_load(LoadPlan("grpc://127.0.0.1:1", "oip-v2-grpc", template=str(tmp_path / "bad.json"), **plan))


def test_a_server_that_names_no_inputs() -> None:
    methods = oip_methods(ModelMetadata=lambda data, context: says("ModelMetadataResponse", name="double"))
    with serving(methods) as port, pytest.raises(CollectError, match="does not say what inputs double takes"):
        load(f"grpc://127.0.0.1:{port}")
