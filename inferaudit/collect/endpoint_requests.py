"""The two real requests of an audit: one plain, one streamed, each sent once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from inferaudit.collect.endpoint_stream import status_class, stream_once
from inferaudit.collect.endpoint_wire import REQUEST_ID, Said, Wire, body_for, error_text, read_answer, tensor_body
from inferaudit.collect.golden_file import Golden
from inferaudit.collect.http_client import Http, Scrubber
from inferaudit.facts.endpoint import PlainAnswer, StreamAnswer
from inferaudit.model import FactError, FactErrorKind
from inferaudit.runtime_registry import Runtime

_REQUEST_ID_HEADERS = ("x-request-id", "x-correlation-id", "request-id", "x-bentoml-request-id")


@dataclass(frozen=True, slots=True)
class Asked:
    """To whom a request goes and in which form. `custom_route` is the whole path of the API ``custom``.

    `context` is the model's longest input in tokens, where the server states it.
    """

    http: Http
    wire: Wire
    prefix: str
    model: str
    custom_route: str
    scrub: Scrubber
    profile: Runtime
    golden: Golden | None = None
    context: int | None = None

    def route(self, *, stream: bool = False) -> str:
        """The request path."""
        return self.custom_route or self.wire.route(self.prefix, self.model, stream=stream)

    def sample(self) -> tuple[dict[str, Any], str] | None:
        """A body the model should take, and whether that is known or guessed; None when it cannot even be guessed."""
        api = self.wire.name
        if api in ("oip-v2", "tf-serving"):
            body = tensor_body(api, self._metadata())
            if body is not None:
                return body, "known"
        if api in ("oip-v2", "tf-serving", "torchserve", "custom"):
            given = self.golden.items[0].body if self.golden is not None else None
            if given is not None:
                return given, "known"
            return None if api in ("oip-v2", "custom") else (body_for(api, self.model, stream=False), "guessed")
        return body_for(api, self.model, stream=False), "known"

    def _metadata(self) -> Any:
        model = quote(self.model, safe="")
        suffix = f"/v2/models/{model}" if self.wire.name == "oip-v2" else f"/v1/models/{model}/metadata"
        reply = self.http.get(suffix)
        return reply.json if reply.status == 200 else None


def plain_request(asked: Asked) -> PlainAnswer | FactError:
    """One real request, not streamed."""
    if (missing := _model_missing(asked)) is not None:
        return missing
    sample = asked.sample()
    route, scrub = asked.route(), asked.scrub
    if sample is None:
        reason = f"nothing tells what {asked.wire.name} takes at {route or '/'}: no request could be made up"
        return FactError(FactErrorKind.NO_TARGET, reason, "sample request", remedy="--golden FILE")
    body, known = sample
    headers = {"x-request-id": REQUEST_ID}
    reply = asked.http.post(route, json.dumps(body).encode(), headers)
    if (missing := _model_wanted(body, reply.status)) is not None:
        return missing
    text = reply.text
    good = reply.status is not None and 200 <= reply.status < 300 and reply.error is None
    said = read_answer(asked.wire.name, text) if good else Said()
    error = reply.error or status_class(reply.status) or ("error_in_body" if said.error else None)
    detail = reply.detail if reply.error else said.error or ("" if good else error_text(text))
    carrier = next((name for name in _REQUEST_ID_HEADERS if name in reply.headers), None)
    echoed = REQUEST_ID in text or any(REQUEST_ID in reply.headers.get(n, "") for n in _REQUEST_ID_HEADERS)
    content_type = reply.headers.get("content-type")
    return PlainAnswer(
        route=route,
        sample=known,
        status=reply.status,
        latency_ms=reply.ms,
        error=error,
        detail=scrub(detail),
        wire=said.wrong if good else None,
        usage=said.usage,
        usage_expected=asked.wire.usage,
        model=scrub(said.model) if said.model else None,
        finish_reason=scrub(said.finish, 40) if said.finish else None,
        content_type=scrub(content_type, 80) if content_type else None,
        request_id_echoed=echoed if good else None,
        request_id_header=carrier,
        body=scrub(text),
    )


def stream_request(asked: Asked) -> StreamAnswer | FactError | None:
    """One real streamed request; None where the API has no streams."""
    if asked.wire.framing is None:
        return None
    if (missing := _model_missing(asked)) is not None:
        return missing
    native = asked.wire.name.startswith("openai-") or asked.profile.generic
    stated = {"done_marker": "done_marker", "done_field": "done_field", "eof": "eof"}[asked.profile.stream.end]
    # A runtime whose OpenAI streams just close says so in its file; else the API's own rule holds.
    end = "eof" if native and stated == "eof" and asked.profile.stream.framing == "sse" else asked.wire.end
    if asked.profile.name == "tgi" and native:
        end = "done_marker"
    body = body_for(asked.wire.name, asked.model, stream=True)
    answer, _ = stream_once(
        asked.http,
        asked.wire,
        asked.route(stream=True),
        json.dumps(body).encode(),
        expected_end=end,
        scrub=asked.scrub,
    )
    return _model_wanted(body, answer.status) or answer


def _model_missing(asked: Asked) -> FactError | None:
    needs = "{model}" in asked.wire.path or asked.wire.name in ("openai-embeddings", "openai-rerank", "ollama")
    if asked.model or not needs:
        return None
    return _no_model()


def _model_wanted(body: Any, status: int | None) -> FactError | None:
    """Some servers answer a request that names no model. One that refuses it tells nothing about the service."""
    unnamed = isinstance(body, dict) and body.get("model") == ""
    if unnamed and status is not None and 400 <= status < 500 and status not in (401, 403, 429):
        return _no_model(f"; a request without one was answered {status}")
    return None


def _no_model(more: str = "") -> FactError:
    reason = f"no model was given and the server lists none{more}"
    return FactError(FactErrorKind.NO_TARGET, reason, "model", remedy="--model NAME")
