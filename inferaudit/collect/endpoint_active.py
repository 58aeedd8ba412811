"""Bad requests, each sent once and only with ``--active``: what a client's mistake costs the service."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import quote

import msgspec

from inferaudit.collect.endpoint_golden import answer_text
from inferaudit.collect.endpoint_requests import Asked
from inferaudit.collect.endpoint_wire import body_for
from inferaudit.collect.http_client import Chunk, Reply
from inferaudit.errors import CollectError
from inferaudit.exposition import parse_exposition, total
from inferaudit.facts.endpoint import ActiveProbe

# Beyond the context where it is known; else 250 kB, which few contexts hold. No more: users are served meanwhile.
_OVERSIZED_WORDS = (2_000, 50_000, 300_000)
_FREED_WITHIN_S = 5.0
_REPEATED = "Count from one to ten in words."
_LEAKS = {
    "a traceback": re.compile(r"Traceback \(most recent call last\)|\bat [\w.$]+\([\w.]+\.java:\d+\)|goroutine \d+ \["),
    "a file path": re.compile(r"(?<![\w:/])/(?:usr|home|opt|root|app|workspace|var|tmp)/[\w./-]{3,}"),
}
_JSON = "application/json"


def probe_actively(asked: Asked, keyed: bool, metrics_url: str) -> list[ActiveProbe]:
    """Malformed, empty, bad shape, unknown model, oversized, unauthorised, cancelled, repeated: each once.

    Then an empty object to every other inference route and to every admin route, without credentials.
    """
    probes = [
        _bad(asked, "malformed", b'{"model": "' + asked.model.encode()[:100] + b'", ', "JSON that breaks off"),
        _bad(asked, "empty", b"", "no body"),
    ]
    if (shape := _bad_shape(asked)) is not None:
        probes.append(shape)
    if (unknown := _unknown_model(asked)) is not None:
        probes.append(unknown)
    if asked.wire.framing is not None or asked.wire.name in ("tei", "openai-embeddings", "openai-rerank"):
        least, usual, most = _OVERSIZED_WORDS
        words = usual if asked.context is None else min(most, max(least, 2 * asked.context))
        prompt = "word " * words
        body = json.dumps(body_for(asked.wire.name, asked.model, stream=False, prompt=prompt, tokens=1)).encode()
        oversized = _bad(asked, "oversized", body, f"a prompt of {words} words ({len(body) >> 10} KiB)")
        probes.append(msgspec.structs.replace(oversized, words=words))
    if keyed and (sample := asked.sample()) is not None:
        reply = asked.http.post(asked.route(), json.dumps(sample[0]).encode(), credentials=False)
        probes.append(_probe(asked, "unauthorised", asked.route(), "a good request without credentials", reply))
    if asked.wire.framing is not None:
        probes.append(_cancelled(asked, metrics_url))
        probes.append(_repeated(asked))
    if keyed:
        probes += [_bare(asked, "unauthorised_route", route) for route in asked.profile.inference_routes]
    probes += [
        _bare(asked, "admin", admin.route, admin.says) for admin in asked.profile.admin if admin.method == "post"
    ]
    return probes


def _bare(asked: Asked, kind: str, route: str, says: str = "") -> ActiveProbe:
    """An empty object without credentials: it runs nothing, and the status tells whether the route would take more."""
    path = route.replace("{model}", quote(asked.model, safe=""))
    reply = asked.http.post(path, b"{}", credentials=False)
    probe = _probe(asked, kind, path, "an empty object without credentials", reply)
    return msgspec.structs.replace(probe, detail=says or probe.detail)


def _repeated(asked: Asked) -> ActiveProbe:
    """The same request twice at temperature 0: whether the answers are alike."""
    route = asked.route()
    body = body_for(asked.wire.name, asked.model, stream=False, prompt=_REPEATED, tokens=16)
    body |= {"temperature": 0} if asked.wire.name.startswith("openai-") or asked.wire.name == "llama.cpp" else {}
    if asked.wire.name == "ollama":
        body["options"] = {**body.get("options", {}), "temperature": 0}
    content = json.dumps(body).encode()
    replies = [asked.http.post(route, content) for _ in range(2)]
    texts = [answer_text(reply.json, "") if reply.status == 200 and reply.error is None else None for reply in replies]
    probe = _probe(asked, "repeated", route, "the same request twice at temperature 0", replies[1])
    same = None if None in texts or "" in texts else texts[0] == texts[1]
    return msgspec.structs.replace(probe, same=same)


def _bad(asked: Asked, kind: str, body: bytes, sent: str) -> ActiveProbe:
    return _probe(asked, kind, asked.route(), sent, asked.http.post(asked.route(), body))


def _bad_shape(asked: Asked) -> ActiveProbe | None:
    """A tensor whose shape promises one row more than its data hold; None for APIs without tensors."""
    sample = asked.sample() if asked.wire.name == "oip-v2" else None
    tensors = sample[0].get("inputs") if sample else None
    first = tensors[0] if isinstance(tensors, list) and tensors and isinstance(tensors[0], dict) else {}
    shape = first.get("shape")
    if not isinstance(shape, list) or not shape or not all(isinstance(size, int) for size in shape):
        return None
    body = {"inputs": [{**first, "shape": [shape[0] + 1, *shape[1:]]}, *tensors[1:]]} if tensors else {}
    return _bad(asked, "bad_shape", json.dumps(body).encode(), "a tensor with less data than its shape says")


def _unknown_model(asked: Asked) -> ActiveProbe | None:
    """A good request for a model that is not served; None for APIs that name none."""
    name = "inferaudit-no-such-model"
    if "{model}" in asked.wire.path:
        route = asked.wire.route(asked.prefix, name, stream=False)
        sample = asked.sample()
        body = sample[0] if sample else {}
    elif asked.wire.name.startswith("openai-") or asked.wire.name == "ollama":
        route, body = asked.route(), body_for(asked.wire.name, name, stream=False)
    else:
        return None
    reply = asked.http.post(route, json.dumps(body).encode())
    return _probe(asked, "unknown_model", route, f"the model {name!r}", reply)


def _probe(asked: Asked, kind: str, route: str, sent: str, reply: Reply) -> ActiveProbe:
    text = reply.text
    is_json = isinstance(reply.json, dict | list) if text.strip() else None
    leak = next((name for name, pattern in _LEAKS.items() if pattern.search(text[:20_000])), None)
    return ActiveProbe(
        kind=kind,
        route=route,
        sent=sent,
        status=reply.status,
        ms=reply.ms,
        error=reply.error,
        body=asked.scrub(text),
        json=is_json,
        leak=leak,
        detail=asked.scrub(reply.detail),
    )


def _cancelled(asked: Asked, metrics_url: str) -> ActiveProbe:
    """A long stream, given up after its first bytes; then the server's own count of running requests is watched."""
    route = asked.route(stream=True)
    before = _running(asked, metrics_url)
    body = body_for(asked.wire.name, asked.model, stream=True, tokens=512)

    def first(chunk: Chunk) -> bool:
        return not chunk.data

    reply = asked.http.stream(route, json.dumps(body).encode(), first)
    deadline = time.monotonic() + _FREED_WITHIN_S
    after = _running(asked, metrics_url)
    while before is not None and after is not None and after > before and time.monotonic() < deadline:
        time.sleep(0.1)
        after = _running(asked, metrics_url)
    freed = None if before is None or after is None else after <= before
    detail = f"requests running: {before:g} before, {after:g} after" if before is not None and after is not None else ""
    return ActiveProbe(
        kind="cancelled",
        route=route,
        sent="a stream of 512 tokens, closed after its first bytes",
        status=reply.status,
        ms=reply.ms,
        error=reply.error,
        freed=freed,
        detail=detail or "the server's count of running requests could not be read",
    )


def _running(asked: Asked, metrics_url: str) -> float | None:
    """The server's own count of running requests; None where it does not tell."""
    names = [name.name for name in asked.profile.metrics.get("running", [])]
    if not names:
        return None
    reply = asked.http.get(metrics_url or asked.profile.metrics_path, timeout_s=5.0)
    if reply.status != 200 or reply.error is not None:
        return None
    try:
        families = parse_exposition(reply.text, reply.headers.get("content-type", ""))
    except CollectError:
        return None
    return next((value for name in names if (value := total(families, name)) is not None), None)


__all__ = ["probe_actively"]
