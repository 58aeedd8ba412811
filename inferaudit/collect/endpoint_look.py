"""What GETs show: health, models, runtime, connection, who may call what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from inferaudit.collect.endpoint_tls import Connected
from inferaudit.collect.http_client import Http, Reply, Scrubber
from inferaudit.facts.endpoint import (
    AuthAnswer,
    ConnectionAnswer,
    HealthAnswer,
    PlainAnswer,
    RouteAccess,
    RuntimeFact,
    ServedModel,
    TlsAnswer,
)
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.runtime_recognition import Recognition, json_values
from inferaudit.runtime_registry import AdminRoute, HealthRoute, Runtime

Get = Callable[[str], Reply]
Post = Callable[[str, bytes], Reply]
_INDEX = "/v2/repository/index"
_MAX_MODELS = 200
# Administration and inspection routes that serve as the runtime's own remote control; each is asked with one GET.
_ADMIN_ROUTES = ("/docs", "/openapi.json")
_ADMIN_TIMEOUT_S = 3.0  # a port that a firewall drops must not hold up the audit
_FOREIGN = "https://inferaudit.invalid"


def health(profile: Runtime, model: str, get: Get, scrub: Scrubber) -> list[HealthAnswer]:
    """The answers of the runtime's health routes; a route that needs a model's name is left out without one."""
    return [
        _health_answer(route, _path(route.route, model), get, scrub)
        for route in profile.health
        if route.probe and (model or "{model}" not in route.route)
    ]


def _health_answer(route: HealthRoute, path: str, get: Get, scrub: Scrubber) -> HealthAnswer:
    reply = get(path)
    ready = reply.error is None and reply.status in route.ready and (not route.body or route.body in reply.text)
    return HealthAnswer(
        route=path,
        role=route.role,
        proves=route.proves,
        ready=ready,
        status=reply.status,
        ms=reply.ms,
        body=scrub(reply.text),
        error=reply.error,
        note=route.note,
    )


def models(profile: Runtime, get: Get, post: Post, scrub: Scrubber) -> Fact:
    """The models the server lists, or why that cannot be told.

    The model repository extension of the Open Inference Protocol lists by a POST, which changes nothing.
    """
    if profile.lists != "served":
        reason = f"{profile.title} lists the models it has {profile.lists}, not those it serves"
        return Fact(error=FactError(FactErrorKind.OUT_OF_VIEW, reason, "model listing", remedy="--model NAME"))
    tried = []
    for route in ("/v1/models", "/openai/v1/models", "/api/tags", "/v2/models", _INDEX, "/info"):
        if route != "/v1/models" and not _lists_at(profile, route):
            continue
        reply = post(route, b'{"ready":true}') if route == _INDEX else get(route)
        asked = f"{'POST' if route == _INDEX else 'GET'} {route}"
        if reply.status in (401, 403):
            reason = f"{asked} answered {reply.status}"
            remedy = "--api-key-env VARIABLE or --header-env NAME=VARIABLE"
            return Fact(error=FactError(FactErrorKind.DENIED, reason, asked, remedy=remedy))
        found = _listed(reply, scrub) if reply.status == 200 and reply.error is None else None
        if found is not None:
            return Fact(found)
        tried.append(f"{asked} answered {reply.status or reply.error}")
    reason = f"the server lists no models: {'; '.join(tried)}"
    return Fact(error=FactError(FactErrorKind.OUT_OF_VIEW, reason, "model listing", remedy="--model NAME"))


def _lists_at(profile: Runtime, route: str) -> bool:
    if route == "/openai/v1/models":
        return profile.api_prefix == "/openai"
    if route == "/api/tags":
        return profile.name == "ollama"
    if route == "/v2/models":
        return profile.name == "kserve"
    if route == _INDEX:
        return profile.name in ("triton", "mlserver", "oip-generic")
    return profile.name in ("tgi", "tei")


def _listed(reply: Reply, scrub: Scrubber) -> list[ServedModel] | None:
    """The models in a listing of any known form; None where it is none."""
    rows = json_values(reply.text, "data.*") or json_values(reply.text, "models.*")
    rows = rows or [row for row in json_values(reply.text, "*") if isinstance(row, dict) and row.get("name")]
    if not rows and (own := json_values(reply.text, "model_id")):
        limit = next(iter(json_values(reply.text, "max_input_length")), None)
        return [ServedModel(id=scrub(str(own[0])), max_model_len=limit if isinstance(limit, int) else None)]
    if not rows:
        empty = json_values(reply.text, "data") + json_values(reply.text, "models")
        if reply.text.strip() == "[]":
            return []
        return [] if empty and all(e in (None, []) for e in empty) else None
    served = []
    for row in rows[:_MAX_MODELS]:
        if isinstance(row, str):
            served.append(ServedModel(id=scrub(row)))
        elif isinstance(row, dict) and (name := row.get("id") or row.get("name") or row.get("modelName")):
            served.append(_model(row, str(name), scrub))
    return served


def _model(row: Mapping[str, Any], name: str, scrub: Scrubber) -> ServedModel:
    meta = row["meta"] if isinstance(row.get("meta"), dict) else {}
    length = row.get("max_model_len") or meta.get("n_ctx") or meta.get("n_ctx_train")
    details = row["details"] if isinstance(row.get("details"), dict) else {}
    said = {**{k: row[k] for k in ("created", "size", "quantization", "dtype") if k in row}, **meta, **details}
    facts = {
        str(key)[:40]: scrub(value) if isinstance(value, str) else value
        for key, value in list(said.items())[:30]
        if isinstance(value, str | int | float) and value != ""
    }
    texts = {key: scrub(str(row[key])) for key in ("owned_by", "root", "parent") if row.get(key)}
    return ServedModel(
        id=scrub(name),
        max_model_len=length if isinstance(length, int) and not isinstance(length, bool) else None,
        state=scrub(str(row["state"])) if row.get("state") else None,
        facts=facts,
        **texts,
    )


def runtime_fact(recognition: Recognition, profile: Runtime, requests: int, scrub: Scrubber) -> RuntimeFact:
    """The recognised runtime with what its file knows."""
    known = recognition.name != "unknown"
    return RuntimeFact(
        name=recognition.name,
        title=profile.title if known else "unknown",
        version=scrub(recognition.version, 64) if recognition.version else None,
        confidence=recognition.confidence,
        evidence=[scrub(e) for e in recognition.evidence],
        profile=recognition.profile if not known else recognition.name,
        engine=recognition.engine,
        kind=profile.kind,
        batching=profile.batching,
        status=profile.life_cycle.status if known else "not_applicable",
        status_note=profile.life_cycle.note if known else "",
        status_source=profile.life_cycle.source if known else "",
        suits=profile.fit.suits,
        unfit=profile.fit.unfit,
        production=profile.fit.production,
        metrics_default=profile.metrics_default,
        apis=list(profile.apis),
        requests=requests,
    )


def hsts(tls: TlsAnswer | None, replies: Mapping[str, Reply]) -> TlsAnswer | None:
    """The TLS answer with the Strict-Transport-Security that any reply carried."""
    if tls is None:
        return None
    name = "strict-transport-security"
    for value in [reply.headers[name] for reply in replies.values() if name in reply.headers]:
        for part in value.split(";"):
            directive, _, age = part.strip().partition("=")
            digits = age.strip('" ')
            if directive.lower() == "max-age" and digits.isascii() and digits.isdigit() and len(digits) < 16:
                return msgspec.structs.replace(tls, hsts_s=int(digits))
    return tls


def connection_facts(
    connected: Connected, http: Http, replies: Mapping[str, Reply], scrub: Scrubber
) -> ConnectionAnswer:
    """What the connection cost, and whether two GETs in a row shared one."""
    route = next((path for path, reply in replies.items() if reply.status is not None), "/")
    first, second = http.get(route), http.get(route)
    reused = None
    if first.error is None and second.error is None and first.local and second.local:
        reused = first.local == second.local
    seen = [first, second, *replies.values()]

    def header(name: str) -> str | None:
        value = next((r.headers[name] for r in seen if r.headers.get(name)), None)
        return scrub(value) if value else None

    return ConnectionAnswer(
        dns_ms=connected.dns_ms,
        connect_ms=connected.connect_ms,
        tls_ms=connected.tls_ms,
        addresses=list(connected.addresses),
        reused=reused,
        http_version=first.http_version or second.http_version,
        server=header("server"),
        powered_by=header("x-powered-by"),
        via=header("via"),
    )


def access(http: Http, profile: Runtime, plain: Any, replies: Mapping[str, Reply], scrub: Scrubber) -> AuthAnswer:
    """Which routes answer without credentials. With credentials at hand each GET is asked again without them."""
    keyed = bool(http.headers)
    kinds = {"/v1/models": "models", profile.metrics_path: "metrics", **dict.fromkeys(_ADMIN_ROUTES, "documentation")}
    routes, scheme = [], None
    for route, kind in kinds.items():
        known = replies.get(route)
        reply = known if known is not None and not keyed else http.get(route, credentials=False, timeout_s=10.0)
        scheme = scheme or reply.headers.get("www-authenticate")
        routes.append(RouteAccess(route=route, kind=kind, status=reply.status, open=_is_open(reply.status)))
    for admin in profile.admin:
        if admin.method == "get":
            reply = http.get(_elsewhere(http.base, admin), credentials=False, timeout_s=_ADMIN_TIMEOUT_S)
            where = admin.route if admin.port is None else f":{admin.port}{admin.route}"
            routes.append(
                RouteAccess(
                    route=where, kind="admin", status=reply.status, open=_is_open(reply.status), says=admin.says
                )
            )
    foreign = http.get("/v1/models", {"origin": _FOREIGN}, timeout_s=10.0)
    allowed = foreign.headers.get("access-control-allow-origin")
    inference = None
    if not keyed and isinstance(plain, PlainAnswer):
        inference = _is_open(plain.status)
        routes.append(RouteAccess(route=plain.route, kind="inference", status=plain.status, open=inference))
    return AuthAnswer(
        credentials=keyed,
        inference_open=inference,
        routes=routes,
        scheme=scrub(scheme, 60) if scheme else None,
        cors_origin=scrub(allowed, 100) if allowed else None,
        cors_status=foreign.status,
        cors_credentials=foreign.headers.get("access-control-allow-credentials", "").lower() == "true",
    )


def _elsewhere(base: str, admin: AdminRoute) -> str:
    """The URL of an admin route: on the API's port, or on its own port of the same host."""
    if admin.port is None:
        return admin.route
    parts = urlsplit(base)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{admin.port}{admin.route}"


def _is_open(status: int | None) -> bool | None:
    if status is not None and 200 <= status < 300:
        return True
    return False if status in (401, 403, 407) else None


def _path(route: str, model: str) -> str:
    return route.replace("{model}", quote(model, safe=""))
