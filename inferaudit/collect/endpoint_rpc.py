"""An endpoint of gRPC, asked by the routes that say the same over HTTP.

The Open Inference Protocol and TensorFlow Serving define each question twice, as a route and as a method. This client
takes the route, makes the call, and answers with the JSON and the HTTP status that mean the same, so that whatever
reads the one reads the other; what is shown names the methods.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import msgspec

from inferaudit.collect.http_client import Chunk, Http, Reply, Scrubber
from inferaudit.facts.endpoint import HealthAnswer
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.rpc import tensorflow
from inferaudit.rpc.client import Answered, Client, other_protocol
from inferaudit.rpc.messages import message, parse
from inferaudit.rpc.status import OK, UNIMPLEMENTED, http_status, name_of
from inferaudit.rpc.tensors import infer_answer, infer_request
from inferaudit.runtime_registry import Runtime

_OIP = "/inference.GRPCInferenceService/"
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = 1
_MODEL = r"/models/(?P<model>[^/]+?)"
# Route, method, and the messages' names where they are those of the Open Inference Protocol.
_ROUTES: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("GET", re.compile(r"/v2"), f"{_OIP}ServerMetadata"),
    ("GET", re.compile(r"/v2/health/live"), f"{_OIP}ServerLive"),
    ("GET", re.compile(r"/v2/health/ready"), f"{_OIP}ServerReady"),
    ("POST", re.compile(r"/v2/repository/index"), f"{_OIP}RepositoryIndex"),
    ("GET", re.compile(rf"/v2{_MODEL}/ready"), f"{_OIP}ModelReady"),
    ("GET", re.compile(rf"/v2{_MODEL}"), f"{_OIP}ModelMetadata"),
    ("POST", re.compile(rf"/v2{_MODEL}/infer"), f"{_OIP}ModelInfer"),
    ("GET", re.compile(rf"/v1{_MODEL}/metadata"), tensorflow.METADATA),
    ("POST", re.compile(rf"/v1{_MODEL}:predict"), tensorflow.PREDICT),
    ("GET", re.compile(rf"/v1{_MODEL}"), tensorflow.STATUS),
)
_EVIDENCE = re.compile(r"GET (/[^\s:]*)")
Json = dict[str, Any]
Facts = dict[str, Fact]


class RpcHttp(Http):
    """:class:`Http` over gRPC. A route that has no method is 404 and nothing is sent; a whole URL goes over HTTP."""

    def __init__(
        self, base: str, headers: Mapping[str, str], context: ssl.SSLContext, timeout_s: float, *, host: str, port: int
    ) -> None:
        super().__init__(base, headers, context, timeout_s)
        self.local: tuple[Any, ...] | None = None
        tls = base.startswith("https://")
        if tls:
            context.set_alpn_protocols(["h2"])

        def connect(limit: float) -> socket.socket:
            sock = socket.create_connection((host, port), timeout=limit)
            self.local = sock.getsockname()
            try:
                return context.wrap_socket(sock, server_hostname=host) if tls else sock
            except OSError:
                sock.close()
                raise

        scheme, _, authority = base.partition("://")
        self.rpc = Client(connect, scheme, authority.partition("/")[0], timeout_s)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.rpc.close()

    def call(self, method: str, content: bytes, *, credentials: bool = True, limit: float | None = None) -> Answered:
        """One call with the audit's headers."""
        self.sent += 1
        extra = {"x-request-id": "inferaudit-0001", **(self.headers if credentials else {})}
        return self.rpc.call(method, content, extra, limit)

    def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        credentials: bool,
        limit: float,
        on_chunk: Callable[[Chunk], bool] | None,
    ) -> Reply:
        if "://" in path:
            return super()._send(method, path, body, headers, credentials, limit, on_chunk)
        found = _method(method, path)
        if found is None:
            return Reply(status=404, http_version="HTTP/2", detail="no method of gRPC says this")
        name, model = found
        start = time.perf_counter_ns()
        try:
            content = self._request(name, model, body or b"")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return Reply(error="not_sent", detail=f"this cannot be said over gRPC: {error}")
        answered = self.call(name, content, credentials=credentials, limit=limit)
        reply = replace(_reply(answered), local=self.local)
        if answered.code == OK:
            try:
                status, document = _said(name, answered.message)
            except ValueError as error:
                reply = replace(reply, error="malformed_event", detail=str(error))
            else:
                reply = replace(reply, status=status, body=json.dumps(document).encode())
        return replace(reply, ms=answered.ms if answered.ms is not None else (time.perf_counter_ns() - start) / 1e6)

    def _request(self, method: str, model: str, body: bytes) -> bytes:
        """The message that says what the route, the model and the JSON body say; ValueError where none does."""
        short = method.rpartition("/")[2]
        if method == tensorflow.STATUS:
            return tensorflow.status_request(model)
        if method == tensorflow.METADATA:
            return tensorflow.metadata_request(model)
        if method == tensorflow.PREDICT:
            known = self.call(tensorflow.METADATA, tensorflow.metadata_request(model))
            if not body or known.code != OK:  # then the datatypes are not known either: the server will say why
                spec = message("tensorflow.serving.PredictRequest", model_spec={"name": model})
                return bytes(spec.SerializeToString())
            return tensorflow.predict_request(json.loads(body), model, tensorflow.metadata_json(known.message))
        if short == "ModelInfer":
            if not body:
                return bytes(message("inference.ModelInferRequest", model_name=model).SerializeToString())
            return bytes(infer_request(json.loads(body), model).SerializeToString())
        fields = {"name": model} if short in ("ModelReady", "ModelMetadata") else {}
        return bytes(message(f"inference.{short}Request", **fields).SerializeToString())


def no_rpc(http: RpcHttp, host: str, port: int) -> str:
    """Why a server cannot be asked in gRPC, as one clause; empty when it can. Asked by one call."""
    answered = http.call(f"{_OIP}ServerLive", b"", limit=10.0)
    if answered.code is not None:
        return ""
    other = other_protocol(answered, host, port, tls=http.base.startswith("https://"))
    return other or f"no answer in gRPC: {answered.error}: {answered.text}"


def method_of(path: str) -> str | None:
    """The method that a route is, as it is shown; None for a route that is none."""
    found = _method("POST", path) or _method("GET", path)
    return None if found is None else found[0].removeprefix("/")


def is_tensorflow(http: RpcHttp) -> bool:
    """Is it TensorFlow Serving's service rather than the Open Inference Protocol's? Asked by two calls at most."""
    if http.call(f"{_OIP}ServerLive", b"").code != UNIMPLEMENTED:
        return False
    return http.call(tensorflow.STATUS, tensorflow.status_request("")).code not in (None, UNIMPLEMENTED)


def standard_health(http: RpcHttp, profile: Runtime, scrub: Scrubber) -> list[HealthAnswer]:
    """The answer of gRPC's own health service; empty where the server does not have it."""
    answered = http.call(_HEALTH, message("grpc.health.v1.HealthCheckRequest").SerializeToString(), limit=10.0)
    if answered.code == UNIMPLEMENTED:
        return []
    serving, said = False, answered.text
    if answered.code == OK:
        try:
            word = parse("grpc.health.v1.HealthCheckResponse", answered.message).status
            serving, said = word == _SERVING, {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING"}.get(word, str(word))
        except ValueError as error:
            said = str(error)
    status = None if answered.code is None else 503 if answered.code == OK and not serving else None
    return [
        HealthAnswer(
            route=_HEALTH.removeprefix("/"),
            role="ready",
            proves=profile.grpc_health.proves if profile.grpc_health is not None else "process",
            ready=serving,
            status=status if status is not None or answered.code is None else http_status(answered.code),
            ms=answered.ms,
            body=scrub(said),
            error=answered.error,
            note=profile.grpc_health.note if profile.grpc_health is not None else "",
        )
    ]


def by_method(facts: Facts, http: RpcHttp, profile: Runtime, health: list[HealthAnswer], metrics_url: str) -> Facts:
    """The facts with methods instead of routes; what was not asked, or not of the server itself, is taken out."""
    shown = dict(facts)
    health = [_named(a) for a in facts["endpoint.health"].value if method_of(a.route)] + health
    shown["endpoint.health"] = Fact(health)
    runtime = facts["endpoint.runtime"].value
    evidence = [_EVIDENCE.sub(lambda said: method_of(said[1]) or said[0], text) for text in runtime.evidence]
    shown["endpoint.runtime"] = Fact(msgspec.structs.replace(runtime, evidence=evidence))
    listed = facts["endpoint.models"].error
    if listed is not None and listed.kind is FactErrorKind.OUT_OF_VIEW:
        error = FactError(listed.kind, "the server lists no models over gRPC", "model listing", remedy="--model NAME")
        shown["endpoint.models"] = Fact(error=error)
    rpc = http.rpc
    reused = True if rpc.connections == 1 < rpc.sent else False if rpc.connections == rpc.sent > 1 else None
    connection = facts["endpoint.connection"].value
    shown["endpoint.connection"] = Fact(msgspec.structs.replace(connection, reused=reused, http_version="HTTP/2"))
    plain = facts["endpoint.plain"]
    if plain.error is None:
        shown["endpoint.plain"] = Fact(_named(plain.value))
    auth = facts["endpoint.auth"].value
    routes = [_named(r) for r in auth.routes if method_of(r.route)]
    shown["endpoint.auth"] = Fact(msgspec.structs.replace(auth, routes=routes))
    active = facts["endpoint.active"]
    if active.error is None:
        shown["endpoint.active"] = _active(active.value)
    if not metrics_url:
        port = profile.ports.get("metrics")
        reason = "a gRPC port has no metrics page" + (
            f"; {profile.title} serves metrics on port {port}" if port else ""
        )
        error = FactError(FactErrorKind.NO_TARGET, reason, "metrics page", remedy="--metrics-url URL")
        for name in ("endpoint.metrics", "endpoint.metrics_page", "endpoint.concepts"):
            shown[name] = Fact(error=error)
    return shown


def _active(probes: list[Any]) -> Fact:
    """Bytes that are no message are answered by gRPC's library and not by the server: they were not sent."""
    sent = [_named(probe) for probe in probes if probe.error != "not_sent" and method_of(probe.route)]
    if sent:
        return Fact(sent)
    reason = "no model was given and the server lists none"
    return Fact(error=FactError(FactErrorKind.NO_TARGET, reason, "model", remedy="--model NAME"))


def _named(answer: Any) -> Any:
    return msgspec.structs.replace(answer, route=method_of(answer.route) or answer.route)


def _method(verb: str, path: str) -> tuple[str, str] | None:
    for wanted, pattern, method in _ROUTES:
        if verb == wanted and (found := pattern.fullmatch(path)):
            return method, unquote(found.groupdict().get("model", ""))
    return None


def _reply(answered: Answered) -> Reply:
    """A call in words of HTTP: its status as the HTTP status that means the same, its text as an error in JSON."""
    headers = {
        key.decode("latin-1"): value.decode("latin-1") for key, value in answered.head.items() if key[:1] != b":"
    }
    if answered.code is None:
        return Reply(answered.http, headers, error=answered.error, detail=answered.text, http_version="HTTP/2")
    body = b""
    if answered.code != OK:
        body = json.dumps({"error": f"{name_of(answered.code)}: {answered.text}"}).encode()
    return Reply(http_status(answered.code), headers, body, http_version="HTTP/2")


def _said(method: str, content: bytes) -> tuple[int, Json]:
    """(HTTP status, JSON) of an answer; ValueError where the bytes are not the method's answer."""
    if method == tensorflow.STATUS:
        return 200, tensorflow.status_json(content)
    if method == tensorflow.METADATA:
        return 200, tensorflow.metadata_json(content)
    if method == tensorflow.PREDICT:
        return 200, tensorflow.predict_json(content)
    short = method.rpartition("/")[2]
    answer = parse(f"inference.{short}Response", content)
    if short in ("ServerReady", "ModelReady"):
        return 200 if answer.ready else 503, {"ready": answer.ready}
    if short == "ServerLive":
        return 200 if answer.live else 503, {"live": answer.live}
    if short == "ServerMetadata":
        return 200, {"name": answer.name, "version": answer.version, "extensions": list(answer.extensions)}
    if short == "RepositoryIndex":
        rows = [{"name": m.name, "version": m.version, "state": m.state.removeprefix("State.")} for m in answer.models]
        return 200, {"models": rows}
    if short == "ModelInfer":
        return 200, infer_answer(answer)
    tensors = {
        side: [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape)} for t in of]
        for side, of in (("inputs", answer.inputs), ("outputs", answer.outputs))
    }
    return 200, {"name": answer.name, "versions": list(answer.versions), "platform": answer.platform, **tensors}
