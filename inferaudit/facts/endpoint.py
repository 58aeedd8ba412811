"""Facts about the running service, seen from outside over HTTP. Times in milliseconds; text is redacted and bounded."""

from __future__ import annotations

from typing import Any

import msgspec

from inferaudit.exposition import MetricFamily
from inferaudit.facts.spec import FactSpec
from inferaudit.model import Scope


class _Value(msgspec.Struct, frozen=True, kw_only=True):
    """A fact's value or a part of one."""


class EndpointTarget(_Value, frozen=True):
    """Which endpoint was asked. `subject` is what findings about it are said of; `loopback` = on this very machine."""

    subject: str
    url: str
    host: str
    port: int
    scheme: str
    loopback: bool
    api: str
    api_source: str
    model: str
    model_source: str


class HealthAnswer(_Value, frozen=True):
    """What a health route answered. `ready` = the code and body count as ready; `status` None = no answer, see `error`.

    `proves` is what a ready answer shows: ``process``, ``proxy``, ``model`` or ``nothing``.
    """

    route: str
    role: str
    proves: str
    ready: bool
    status: int | None = None
    ms: float | None = None
    body: str = ""
    error: str | None = None
    note: str = ""


class ServedModel(_Value, frozen=True):
    """A model that the server lists. `state` is the server's own word; `facts` what else it says of it."""

    id: str
    max_model_len: int | None = None
    owned_by: str | None = None
    root: str | None = None
    parent: str | None = None
    state: str | None = None
    facts: dict[str, Any] = {}


class RuntimeFact(_Value, frozen=True):
    """The recognised runtime, and what is known about it. `name` is ``unknown`` rather than a guess.

    `status` is its life cycle: ``maintained``, ``maintenance``, ``archived`` or ``not_applicable``.
    """

    name: str
    title: str
    version: str | None
    confidence: float
    evidence: list[str]
    profile: str
    engine: str | None = None
    kind: str = "custom"
    batching: str = "unknown"
    status: str = "not_applicable"
    status_note: str = ""
    status_source: str = ""
    suits: str = ""
    unfit: str = ""
    production: bool = True
    metrics_default: str = "unknown"
    apis: list[str] = []
    requests: int = 0


class Usage(_Value, frozen=True):
    """Token counts that the server stated."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None


class PlainAnswer(_Value, frozen=True):
    """One real request, not streamed. `sample` says whether we knew what the model takes (``known`` or ``guessed``).

    `wire` None = the body has the API's form, else what is wrong with it. `error` is a class of the benchmark's.
    `model` is the model named in the answer. `request_id_echoed`: our X-Request-Id came back in header or body.
    """

    route: str
    sample: str
    status: int | None
    latency_ms: float | None
    error: str | None = None
    detail: str = ""
    wire: str | None = None
    usage: Usage | None = None
    usage_expected: bool = False
    model: str | None = None
    finish_reason: str | None = None
    content_type: str | None = None
    request_id_echoed: bool | None = None
    request_id_header: str | None = None
    body: str = ""


class StreamAnswer(_Value, frozen=True):
    """One streamed request. `first_byte_ms` and `ttft_ms` count from the send stamp; `chunks` are reads off the wire.

    `token_events` are events with a content field that are not role-only; `spread_ms` = last token event − first.
    `end` is what ended it: ``done_marker``, ``done_field``, ``eof`` or ``none``; `well_formed` None is unknown, and
    `wrong` says what broke the form. `compression` is the Content-Encoding, if any.
    """

    route: str
    status: int | None
    content_type: str | None = None
    compression: str | None = None
    events: int = 0
    token_events: int = 0
    role_only_events: int = 0
    chunks: int = 0
    first_byte_ms: float | None = None
    ttft_ms: float | None = None
    total_ms: float | None = None
    spread_ms: float | None = None
    usage: Usage | None = None
    usage_expected: bool = False
    end: str = "none"
    end_expected: str = "eof"
    well_formed: bool | None = None
    wrong: str | None = None
    error: str | None = None
    detail: str = ""
    buffering_header: str | None = None


class TlsAnswer(_Value, frozen=True):
    """The TLS session and certificate. `chain_ok` and `host_ok` as verified against `trust`; `not_after` is ISO UTC.

    `hsts_s` is the max-age of Strict-Transport-Security, None where the header is absent. `legacy` lists old protocol
    versions that the server also accepts; None where our own TLS library cannot offer them.
    """

    version: str | None
    cipher: str | None
    chain_ok: bool | None
    host_ok: bool | None
    trust: str
    names: list[str] = []
    subject: str = ""
    issuer: str = ""
    not_before: str | None = None
    not_after: str | None = None
    self_signed: bool | None = None
    hsts_s: int | None = None
    legacy: list[str] | None = None
    error: str | None = None


class ConnectionAnswer(_Value, frozen=True):
    """What one new connection costs and whether it is kept. `reused` None = could not be told."""

    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    addresses: list[str]
    reused: bool | None = None
    http_version: str | None = None
    server: str | None = None
    powered_by: str | None = None
    via: str | None = None


class RouteAccess(_Value, frozen=True):
    """A route asked without credentials. `open` None = the answer tells neither way (404, 405, 5xx).

    `kind` is models, metrics, documentation, inference or admin; `says` what an admin route does.
    """

    route: str
    kind: str
    status: int | None
    open: bool | None
    says: str = ""


class AuthAnswer(_Value, frozen=True):
    """Who may call what. `credentials` = the audit had some; `inference_open` = a real request succeeded with none.

    `cors_origin` is the Access-Control-Allow-Origin that a page of a foreign origin was answered with (None = none),
    `cors_status` the status of that answer (None = there was none), `cors_credentials` whether browsers may send
    cookies and keys along.
    """

    credentials: bool
    inference_open: bool | None
    routes: list[RouteAccess]
    scheme: str | None = None
    cors_origin: str | None = None
    cors_status: int | None = None
    cors_credentials: bool = False


class ActiveProbe(_Value, frozen=True):
    """One deliberately bad request, sent once. `status` None = no answer, see `error`.

    `kind`: malformed, empty, bad_shape, unknown_model, oversized, unauthorised, cancelled, repeated, and one for each
    route without credentials: unauthorised_route, admin. `freed` for cancelled: the server's own count of running
    requests went back (None = it could not be told). `same` for repeated: both answers are alike. `json` = the error
    body is JSON; `leak` names what the answer gives away (a traceback, a path). `words` of the prompt of oversized,
    each of them a token or more.
    """

    kind: str
    route: str
    sent: str
    status: int | None = None
    ms: float | None = None
    error: str | None = None
    body: str = ""
    json: bool | None = None
    leak: str | None = None
    freed: bool | None = None
    same: bool | None = None
    words: int | None = None
    detail: str = ""


class HeldRequest(_Value, frozen=True):
    """One request held open on purpose for at most `limit_s`, and how it ended after `after_s` (both seconds).

    `kind`: ``slow_body`` (half a body, then nothing) or ``long_answer`` (a long text asked for at once). `ended`:
    ``answer`` (with `status`), ``closed`` by the other side, ``held`` until the time was over, or ``error``.
    """

    kind: str
    route: str
    sent: str
    limit_s: float
    ended: str = "error"
    after_s: float = 0.0
    status: int | None = None
    detail: str = ""


class GoldenResult(_Value, frozen=True):
    """One golden request and whether its answer was as expected; `passed` None = it was not answered."""

    name: str
    passed: bool | None
    expected: str
    observed: str = ""
    status: int | None = None
    ms: float | None = None
    error: str | None = None


class Concept(_Value, frozen=True):
    """A metric by meaning. `name` is the family found on the page, None where none of `candidates` is there.

    `labels` are the label names seen; `wanted_labels` those the runtime documents; `bounds` a histogram's finite
    buckets in `unit`; `series` how many samples it has.
    """

    concept: str
    candidates: list[str]
    name: str | None = None
    type: str | None = None
    unit: str = ""
    labels: list[str] = []
    wanted_labels: list[str] = []
    bounds: list[float] = []
    series: int = 0
    note: str = ""


class MetricsPage(_Value, frozen=True):
    """How the metrics page answered. `families` and `series` are counts; `largest` is the most numerous family."""

    url: str
    status: int
    content_type: str
    bytes: int
    ms: float
    families: int
    series: int
    largest: str = ""
    largest_series: int = 0
    authenticated: bool = False


def _fact(name: str, kind: Any, title: str, flag: str = "--url") -> FactSpec:
    return FactSpec(f"endpoint.{name}", Scope.ENDPOINT, kind, title, live=True, flag=flag)


FACTS = (
    _fact("target", EndpointTarget, "which endpoint was asked, with which API and model"),
    _fact("health", list[HealthAnswer], "what the health routes answered"),
    _fact("models", list[ServedModel], "the models that the server lists"),
    _fact("runtime", RuntimeFact, "the serving runtime, recognised from its answers"),
    _fact("plain", PlainAnswer, "one real request, not streamed"),
    _fact("stream", StreamAnswer | None, "one real streamed request; null where the API has no streams"),
    _fact("tls", TlsAnswer | None, "TLS session and certificate; null for plain http"),
    _fact("connection", ConnectionAnswer, "what a new connection costs and whether it is kept"),
    _fact("metrics", list[MetricFamily], "the metrics page, parsed", "--metrics-url"),
    _fact("metrics_page", MetricsPage, "how the metrics page answered", "--metrics-url"),
    _fact("concepts", list[Concept], "which metrics exist by meaning, under the runtime's own names", "--metrics-url"),
    _fact("auth", AuthAnswer, "which routes answer without credentials"),
    _fact("active", list[ActiveProbe], "how bad requests are answered", "--active"),
    _fact("held", list[HeldRequest], "how long requests that are slow on purpose are borne", "--hold"),
    _fact("golden", list[GoldenResult], "golden requests and whether the answers were as expected", "--golden"),
)
