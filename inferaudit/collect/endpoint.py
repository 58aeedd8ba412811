"""The running service, seen from outside: at most GETs, one plain and one streamed request unless more was asked for.

One clear failure (refused, no TLS, nothing answered) becomes the error of every fact, with the URL as its source.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from inferaudit.base_path import base_path
from inferaudit.collect.endpoint_active import probe_actively
from inferaudit.collect.endpoint_binary import BinaryHttp
from inferaudit.collect.endpoint_golden import run_golden
from inferaudit.collect.endpoint_hold import hold_requests
from inferaudit.collect.endpoint_look import (
    access,
    connection_facts,
    health,
    hsts,
    models,
    runtime_fact,
)
from inferaudit.collect.endpoint_metrics import metrics_facts
from inferaudit.collect.endpoint_requests import Asked, plain_request, stream_request
from inferaudit.collect.endpoint_rpc import RpcHttp, by_method, is_tensorflow, no_rpc, standard_health
from inferaudit.collect.endpoint_tls import Connected, connect
from inferaudit.collect.endpoint_wire import WIRES
from inferaudit.collect.golden_file import Golden, read_golden
from inferaudit.collect.http_client import Http, Reply, Scrubber, credentials
from inferaudit.errors import CollectError, UsageError
from inferaudit.facts.endpoint import FACTS as SPECS
from inferaudit.facts.endpoint import EndpointTarget, ServedModel
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import EndpointPlan
from inferaudit.rpc.client import first_words, http_hint
from inferaudit.rpc.urls import http_url, is_rpc
from inferaudit.runtime_recognition import MAX_PROBES, HttpAnswer, next_probe, recognise
from inferaudit.runtime_registry import Runtime, runtime
from inferaudit.tls import tls_context

FACT_NAMES = tuple(spec.name for spec in SPECS)
_GET_TIMEOUT_S = 10.0
_EVERY_ROUTE = 100
_TELLING = 1 << 20  # characters of an answer that may tell the runtime: patterns take seconds for tens of megabytes
_SILENT_GETS = 2  # so many answers in a row that never come: the server hangs, and the rest would hang too
Facts = dict[str, Fact]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the endpoint is. `path` is the base path, or the whole path for the API ``custom``."""

    scheme: str
    host: str
    port: int
    path: str
    query: str = ""

    @property
    def authority(self) -> str:
        """``host:port``; brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """``scheme://host:port``."""
        return f"{self.scheme}://{self.authority}"

    @property
    def base(self) -> str:
        """The base URL."""
        return self.origin + self.path


def parse_place(url: str, api: str = "") -> Place:
    """Where `url` points; :class:`UsageError` says what is wrong with it. It may be that of a request."""
    url = http_url(url, api)
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--url {url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(
            f"--url takes http://HOST[:PORT], https://HOST[:PORT], grpc://HOST:PORT or grpcs://HOST[:PORT], not {url!r}"
        )
    if parts.username or parts.password:
        raise UsageError("--url may hold no credentials; use --api-key-env or --header-env")
    path = base_path(parts.path) if api != "custom" else parts.path.rstrip("/")
    port = port or (443 if parts.scheme == "https" else 80)
    return Place(parts.scheme, host, port, path, f"?{parts.query}" if parts.query and api == "custom" else "")


def collect_endpoint(
    plan: EndpointPlan,
    progress: Callable[[str], None] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    so_far: Facts | None = None,
) -> Facts:
    """All facts ``endpoint.*``. Raises :class:`UsageError` for a bad URL, a missing variable or golden file, only.

    Over HTTP they are put into `so_far` one by one as they become known, for who may not wait for the last.
    """
    if not plan.url:
        return _everything(FactError(FactErrorKind.NO_TARGET, "no endpoint was given", remedy="--url URL"))
    if plan.url.startswith("unix:"):
        reason = "a Unix socket is for load alone; the audit asks over TCP"
        return _everything(FactError(FactErrorKind.NO_TARGET, reason, plan.url, remedy="--url http://HOST:PORT"))
    say = progress or (lambda _: None)
    place = parse_place(plan.url, plan.api)
    if plan.api and plan.api not in WIRES:
        raise UsageError(f"--api takes one of {', '.join(WIRES)}, not {plan.api!r}")
    headers = credentials(plan.auth, os.environ if environ is None else environ)
    scrub = Scrubber(tuple(v.removeprefix("Bearer ") for v in headers.values()))
    context = tls_context(plan.auth)
    golden = read_golden(plan.golden) if plan.golden else None
    say(f"connecting to {place.authority}")
    connected = connect(place.host, place.port, place.scheme == "https", plan.auth, min(plan.timeout_s, 10.0))
    if connected.error is not None:
        reason = f"{place.origin}: {_WORDS.get(connected.error, connected.error)}: {scrub(connected.detail)}"
        return _down(plan, place, connected, reason)
    root = Place(place.scheme, place.host, place.port, "" if plan.api == "custom" else place.path)
    if is_rpc(plan.url, plan.api):
        rpc = RpcHttp(root.base, headers, context, plan.timeout_s, host=place.host, port=place.port)
        with rpc as http:
            return _Audit(plan, place, http, scrub, connected, golden, say).facts()
    kind = BinaryHttp if plan.api == "oip-v2-binary" else Http
    with kind(root.base, headers, context, plan.timeout_s) as http:
        return _Audit(plan, place, http, scrub, connected, golden, say).facts(so_far)


_WORDS = {
    "dns": "the name does not resolve",
    "refused": "no connection",
    "connect_timeout": "no connection in time",
    "tls": "the TLS handshake failed",
}


class _Audit:
    """One look at one endpoint, step by step."""

    def __init__(
        self,
        plan: EndpointPlan,
        place: Place,
        http: Http,
        scrub: Scrubber,
        connected: Connected,
        golden: Golden | None,
        say: Callable[[str], None],
    ) -> None:
        self.plan, self.place, self.http, self.scrub = plan, place, http, scrub
        self.connected, self.golden, self.say = connected, golden, say
        self.replies: dict[str, Reply] = {}
        self.silent = 0
        self.mute = False

    def facts(self, so_far: Facts | None = None) -> Facts:
        plan, place, http, scrub = self.plan, self.place, self.http, self.scrub
        self.say("recognising the runtime")
        rpc = http if isinstance(http, RpcHttp) else None
        if rpc is not None and (trouble := no_rpc(rpc, place.host, place.port)):
            return _down(plan, place, self.connected, f"{place.origin}: {scrub(trouble)}")
        answers: list[HttpAnswer] = []
        budget = MAX_PROBES if rpc is None else _EVERY_ROUTE  # a route that is no method costs nothing
        while (path := next_probe(answers, budget)) is not None:
            reply = self.get(path.replace("{model}", quote(plan.model or "model", safe="")))
            text = reply.text[:_TELLING] if reply.status else ""
            answers.append(HttpAnswer(path, reply.status or 0, reply.headers, text))
            if self.silent >= _SILENT_GETS:
                reason = f"{place.origin} accepts connections and answers nothing within {self.get_timeout:g} s"
                return _down(plan, place, self.connected, reason)
        nobody = rpc is None and all(not reply.status or self._moved(reply) for reply in self.replies.values())
        self.mute = nobody and not any(reply.status for reply in self.replies.values())
        if self.mute and (hint := http_hint(place.host, place.port, tls=place.scheme == "https")):
            return _down(plan, place, self.connected, hint)
        recognition = recognise(answers)
        profile = runtime(recognition.profile)
        served = models(profile, self.get, http.post, scrub)
        api, api_source = self._api(profile)
        model, model_source = self._model(served)
        target = EndpointTarget(
            subject=f"endpoint/{plan.name or place.authority}",
            url=place.base if rpc is None else place.base.replace("http", "grpc", 1),
            host=place.host,
            port=place.port,
            scheme=place.scheme,
            loopback=is_loopback(self.connected.addresses),
            api=api,
            api_source=api_source,
            model=model,
            model_source=model_source,
        )
        facts: Facts = {} if so_far is None else so_far
        facts |= {
            "endpoint.target": Fact(target),
            "endpoint.runtime": Fact(
                runtime_fact(recognition, profile, len(answers) if rpc is None else rpc.sent, scrub)
            ),
            "endpoint.models": served,
        }
        self.say("asking the health routes")
        facts["endpoint.health"] = Fact(health(profile, model, self.get, scrub))
        self.say(f"sending one plain and one streamed request ({api})")
        asked = Asked(
            http,
            WIRES[api],
            self._prefix(profile),
            model,
            self._custom_route(),
            scrub,
            profile,
            self.golden,
            next((m.max_model_len for m in served.value or [] if m.id == model), None),
        )
        plain = plain_request(asked)
        if nobody and 300 <= (getattr(plain, "status", None) or 300) < 400:
            facts |= _down(plan, place, self.connected, f"{place.origin} {self._instead()}")
            return facts
        facts["endpoint.plain"] = self._or_denied(plain)
        facts["endpoint.stream"] = self._or_denied(stream_request(asked))
        # After the requests: many servers show a series only once it has counted something.
        facts |= metrics_facts(plan, http, profile, recognition.engine, scrub)
        facts["endpoint.tls"] = Fact(hsts(self.connected.tls, self.replies))
        facts["endpoint.connection"] = Fact(connection_facts(self.connected, http, self.replies, scrub))
        facts["endpoint.auth"] = Fact(access(http, profile, plain, self.replies, scrub))
        facts["endpoint.active"] = self._active(asked)
        facts["endpoint.golden"] = self._golden(asked)
        facts["endpoint.held"] = self._held(asked)
        if rpc is not None:
            return by_method(facts, rpc, profile, standard_health(rpc, profile, scrub), plan.metrics_url)
        return facts

    @property
    def get_timeout(self) -> float:
        """How long a GET may take, in seconds."""
        return min(self.plan.timeout_s, _GET_TIMEOUT_S)

    def get(self, path: str) -> Reply:
        """``GET``, once for each path; counts the answers in a row that never came."""
        if self.mute:  # it was asked often enough
            return next(iter(self.replies.values()))
        if path not in self.replies:
            reply = self.http.get(path, timeout_s=self.get_timeout)
            hung = reply.error in ("timeout_headers", "connect_timeout")
            self.silent = self.silent + 1 if hung else 0
            self.replies[path] = reply
        return self.replies[path]

    def _instead(self) -> str:
        """What a server does that speaks no HTTP, or sends everybody elsewhere."""
        for reply in self.replies.values():
            if moved := self._moved(reply):
                return f"redirects every request: the service is at {self.scrub(moved)}"
        said = first_words(self.place.host, self.place.port, tls=self.place.scheme == "https")
        if said and not said.startswith(b"HTTP/"):
            return f"answers no request in HTTP: it says {self.scrub(said.decode('ascii', 'replace').strip())!r}"
        reply = next(iter(self.replies.values()))
        return f"answers no request in HTTP: {reply.error}: {self.scrub(reply.detail)}"

    def _moved(self, reply: Reply) -> str:
        """The origin that a redirect leads to, where it is another; empty for any other answer."""
        try:
            to = urlsplit(reply.headers.get("location", "") if 300 <= (reply.status or 0) < 400 else "")
            port = to.port or {"http": 80, "https": 443}.get(to.scheme)
        except ValueError:
            return ""
        other = (to.scheme, to.hostname, port) != (self.place.scheme, self.place.host.lower(), self.place.port)
        return f"{to.scheme}://{to.netloc}" if to.scheme in ("http", "https") and to.hostname and other else ""

    def _api(self, profile: Runtime) -> tuple[str, str]:
        if self.plan.api:
            return self.plan.api, "given"
        if isinstance(self.http, RpcHttp):
            found = "tf-serving-grpc" if is_tensorflow(self.http) else "oip-v2-grpc"
            return found, "the service that answers"
        return profile.apis[0], f"the first API of {profile.title}"

    def _model(self, served: Fact) -> tuple[str, str]:
        if self.plan.model:
            return self.plan.model, "given"
        listed: list[ServedModel] = served.value or []
        if listed:
            return listed[0].id, "the only one served" if len(listed) == 1 else f"the first of {len(listed)} served"
        return "", "none was given and the server lists none"

    def _prefix(self, profile: Runtime) -> str:
        """Where the runtime keeps its OpenAI routes: under its prefix, unless /v1/models is an OpenAI list itself."""
        listed = self.replies.get("/v1/models", Reply())
        return "" if listed.status == 200 and '"object"' in listed.text else profile.api_prefix

    def _custom_route(self) -> str:
        return self.place.path + self.place.query if self.plan.api == "custom" else ""

    def _or_denied(self, fact: Any) -> Fact:
        """A 401 or 403 is the audit's own lack of a key, not an answer of the service."""
        status = getattr(fact, "status", None)
        if isinstance(fact, FactError):
            return Fact(error=fact)
        if status in (401, 403):
            reason = f"{self.place.origin} answered {status} to a real request"
            remedy = "--api-key-env VARIABLE or --header-env NAME=VARIABLE"
            return Fact(error=FactError(FactErrorKind.DENIED, reason, self.place.origin, remedy=remedy))
        return Fact(fact)

    def _active(self, asked: Asked) -> Fact:
        if not self.plan.active:
            error = FactError(FactErrorKind.NOT_ASKED, "bad requests were not sent", "--active", remedy="--active")
            return Fact(error=error)
        self.say("sending bad requests, each once")
        try:
            return Fact(probe_actively(asked, bool(self.http.headers), self.plan.metrics_url))
        except CollectError as error:
            return Fact(error=FactError(FactErrorKind.FAILED, str(error), self.place.origin))

    def _held(self, asked: Asked) -> Fact:
        seconds = self.plan.hold_s
        if not seconds:
            error = FactError(FactErrorKind.NOT_ASKED, "no request was held open", "--hold", remedy="--hold 90s")
            return Fact(error=error)
        if isinstance(self.http, RpcHttp):
            reason = "over gRPC no request is held open"
            return Fact(error=FactError(FactErrorKind.NO_TARGET, reason, "--hold", remedy="--url of its HTTP port"))
        self.say(f"holding two requests open for at most {seconds:g} s")
        return Fact(hold_requests(asked, tls_context(self.plan.auth), seconds))

    def _golden(self, asked: Asked) -> Fact:
        if self.golden is None:
            flag = "--golden FILE"
            return Fact(error=FactError(FactErrorKind.NOT_ASKED, "no golden requests were given", flag, remedy=flag))
        self.say(f"sending {len(self.golden.items)} golden requests")
        return Fact(run_golden(asked, self.golden))


def is_loopback(addresses: tuple[str, ...]) -> bool:
    """True when every address is this machine's own."""
    return bool(addresses) and all(ipaddress.ip_address(a.partition("%")[0]).is_loopback for a in addresses)


def _everything(error: FactError) -> Facts:
    return {name: Fact(error=error) for name in FACT_NAMES}


def _down(plan: EndpointPlan, place: Place, connected: Connected, reason: str) -> Facts:
    """All facts with one cause; what is known all the same (the target, a certificate that does not verify) is kept."""
    remedy = "start the service or correct --url"
    if connected.tls is not None and connected.tls.error:
        remedy = "mend the certificate, or give its authority with --ca FILE"
    facts = _everything(FactError(FactErrorKind.FAILED, reason, place.origin, remedy=remedy))
    facts["endpoint.target"] = Fact(
        EndpointTarget(
            subject=f"endpoint/{plan.name or place.authority}",
            url=place.base,
            host=place.host,
            port=place.port,
            scheme=place.scheme,
            loopback=is_loopback(connected.addresses),
            api=plan.api,
            api_source="given" if plan.api else "not known",
            model=plan.model,
            model_source="given" if plan.model else "not known",
        )
    )
    if connected.tls is not None:
        facts["endpoint.tls"] = Fact(connected.tls)
    return facts
