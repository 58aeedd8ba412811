"""Prometheus and Alertmanager over their HTTP APIs: targets, rules, configuration, receivers, and the SLA's questions.

Read only: nothing but GETs. API reference: https://prometheus.io/docs/prometheus/latest/querying/api/ and
https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from inferaudit.collect.http_client import Http, Scrubber, credentials
from inferaudit.collect.prometheus_queries import Question, answer, questions
from inferaudit.errors import CollectError, UsageError
from inferaudit.facts.metrics import FACTS as SPECS
from inferaudit.facts.metrics import (
    AlertmanagerStatus,
    PrometheusConfig,
    Receiver,
    Rule,
    ScrapeTarget,
    SeriesResult,
)
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import PrometheusPlan
from inferaudit.tls import tls_context

FACT_NAMES = tuple(spec.name for spec in SPECS)
_MAX_ROWS = 5_000
_MAX_NAMES = 50_000
_TEXT = 4_000
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}


NO_LOAD = Fact(
    error=FactError(
        FactErrorKind.NO_TARGET,
        "no load was sent, so no alert had anything to say",
        source="alerts under load",
        remedy="--load full",
    )
)


class _RefusedError(CollectError):
    """The other side wants credentials."""


def collect_prometheus(
    plan: PrometheusPlan,
    progress: Callable[[str], None] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    namespace: str = "",
) -> dict[str, Fact]:
    """All facts ``prometheus.*`` and ``alertmanager.*``. Raises :class:`UsageError` for a bad URL or variable, only.

    `namespace` narrows the SLA's questions to series that carry it as their label ``namespace``.
    """
    say = progress or (lambda _: None)
    headers = credentials(plan.auth, os.environ if environ is None else environ)
    scrub = Scrubber(tuple(v.removeprefix("Bearer ") for v in headers.values()))
    context = tls_context(plan.auth)
    facts: dict[str, Fact] = {}
    sources: tuple[tuple[str, str, Callable[[Api], Iterator[tuple[str, Fact]]]], ...] = (
        ("--prometheus", plan.url, _prometheus),
        ("--alertmanager", plan.alertmanager_url, _alertmanager),
    )
    for flag, url, read in sources:
        mine = [spec.name for spec in SPECS if spec.flag == flag]
        if not url:
            error = FactError(FactErrorKind.NO_TARGET, f"no {flag[2:]} was given", flag, remedy=f"{flag} URL")
            facts |= {name: Fact(error=error) for name in mine}
            continue
        _check_url(url, flag)
        say(f"asking {flag[2:]} at {urlsplit(url).netloc}")
        with Http(url, headers, context, plan.timeout_s) as http:
            api = Api(http, scrub, url, namespace)
            facts |= {name: api.unread() for name in mine} if not api.reachable() else dict(read(api))
    return facts


class Api:
    """GETs whose failure becomes the fact's error; one failure to connect is one cause for all."""

    def __init__(self, http: Http, scrub: Scrubber, url: str, namespace: str) -> None:
        parts = urlsplit(url)
        self.http, self.scrub, self.namespace = http, scrub, namespace
        self.source = f"{parts.scheme}://{parts.netloc}"
        self.down: FactError | None = None

    def reachable(self) -> bool:
        """Ask the root of the API once; a connection that does not come about is the error of every fact."""
        reply = self.http.get("/-/ready")
        if reply.status is None:
            reason = f"{self.source} does not answer: {reply.error}: {self.scrub(reply.detail)}"
            self.down = FactError(FactErrorKind.FAILED, reason, self.source)
        return self.down is None

    def unread(self) -> Fact:
        """The fact of a server that is down."""
        return Fact(error=self.down)

    def get(self, path: str) -> Any:
        """The JSON under `path` (for Prometheus its ``data``); :class:`CollectError` says why there is none."""
        reply = self.http.get(path)
        document = reply.json
        if reply.status in (401, 403):
            raise _RefusedError(f"GET {path.partition('?')[0]} answered {reply.status}")
        if reply.error is not None or reply.status is None or reply.status >= 400 or document is None:
            said = document.get("error", "") if isinstance(document, dict) else ""
            what = reply.error or (f"status {reply.status}" if reply.status != 200 else "an answer that is no JSON")
            raise CollectError(f"GET {path.partition('?')[0]}: {what} {self.scrub(str(said))}".strip())
        return document["data"] if isinstance(document, dict) and document.get("status") == "success" else document

    def fact(self, read: Callable[[], Any]) -> Fact:
        """What `read` answers, or its failure."""
        try:
            return Fact(read())
        except _RefusedError as error:
            remedy = "--api-key-env VARIABLE or --header-env NAME=VARIABLE"
            return Fact(error=FactError(FactErrorKind.DENIED, str(error), self.source, remedy=remedy))
        except (CollectError, KeyError, TypeError, AttributeError, ValueError) as error:
            reason = str(error) if isinstance(error, CollectError) else f"an answer in no known form: {error!r}"
            return Fact(error=FactError(FactErrorKind.FAILED, self.scrub(reason), self.source))


def _prometheus(api: Api) -> Iterator[tuple[str, Fact]]:
    yield "prometheus.targets", api.fact(lambda: _targets(api))
    yield "prometheus.rules", api.fact(lambda: _rules(api))
    yield "prometheus.config", api.fact(lambda: _config(api))
    names = api.fact(lambda: _names(api))
    yield "prometheus.names", names
    yield "prometheus.load_alerts", NO_LOAD
    yield "prometheus.series", names if names.error else api.fact(lambda: _series(api, set(names.value)))


def _targets(api: Api) -> list[ScrapeTarget]:
    rows = api.get("/api/v1/targets?state=active")["activeTargets"]
    return [
        ScrapeTarget(
            job=api.scrub(str(row["labels"].get("job", ""))),
            instance=api.scrub(str(row["labels"].get("instance", ""))),
            url=api.scrub(str(row["scrapeUrl"])),
            health=str(row["health"])[:20],
            labels=_labels(row["labels"], api.scrub),
            pool=api.scrub(str(row.get("scrapePool", ""))),
            last_error=api.scrub(str(row.get("lastError", ""))),
            last_scrape=str(row["lastScrape"])[:40] if row.get("lastScrape") else None,
            scrape_duration_s=_number(row.get("lastScrapeDuration")),
            interval_s=_seconds(row.get("scrapeInterval")),
        )
        for row in _bounded(_rows(rows), "targets")
    ]


def _rules(api: Api) -> list[Rule]:
    rules = []
    for group in _rows(api.get("/api/v1/rules")["groups"]):
        for row in group["rules"]:
            alerting = row["type"] == "alerting"
            rules.append(
                Rule(
                    group=api.scrub(str(group["name"])),
                    name=api.scrub(str(row["name"])),
                    kind=str(row["type"])[:20],
                    expr=api.scrub(str(row["query"]), _TEXT),
                    health=str(row.get("health", "unknown"))[:20],
                    for_s=_number(row.get("duration")) if alerting else None,
                    state=str(row["state"])[:20] if alerting and row.get("state") else None,
                    labels=_labels(row.get("labels") or {}, api.scrub),
                    annotations=_labels(row.get("annotations") or {}, api.scrub),
                    last_error=api.scrub(str(row.get("lastError", ""))),
                    firing=sum(1 for alert in row.get("alerts") or [] if alert.get("state") == "firing"),
                )
            )
    return _bounded(rules, "rules")


def _config(api: Api) -> PrometheusConfig:
    import yaml

    build = api.get("/api/v1/status/buildinfo")
    document: Any = {}
    running: Any = {}
    managers: Any = {}
    for path in ("/api/v1/status/config", "/api/v1/status/runtimeinfo", "/api/v1/alertmanagers"):
        try:
            said = api.get(path)
        except _RefusedError:
            raise
        except CollectError:
            continue  # Thanos and Mimir leave some of these out; what they say is None then
        if path.endswith("config"):
            try:
                document = yaml.safe_load(said["yaml"]) or {}
            except yaml.YAMLError:
                document = {}
        elif path.endswith("runtimeinfo"):
            running = said
        else:
            managers = said
    settings = document.get("global") or {}
    return PrometheusConfig(
        version=_text(build.get("version")),
        scrape_interval_s=_seconds(settings.get("scrape_interval")),
        evaluation_interval_s=_seconds(settings.get("evaluation_interval")),
        retention=_text(running.get("storageRetention")),
        alertmanagers=[api.scrub(str(m["url"])) for m in managers.get("activeAlertmanagers") or []],
        rule_files=len(document["rule_files"]) if document.get("rule_files") else None,
    )


def _names(api: Api) -> list[str]:
    names = _rows(api.get("/api/v1/label/__name__/values"))
    if len(names) > _MAX_NAMES:
        raise CollectError(f"Prometheus has more than {_MAX_NAMES} metric names")
    return sorted(str(name)[:200] for name in names)


def _series(api: Api, names: set[str]) -> list[SeriesResult]:
    def ask(question: Question) -> SeriesResult:
        return answer(question, lambda path: api.get(path), api.scrub)

    return [ask(question) for question in questions(names, api.namespace)]


def _alertmanager(api: Api) -> Iterator[tuple[str, Fact]]:
    yield "alertmanager.receivers", api.fact(lambda: _receivers(api))
    yield "alertmanager.status", api.fact(lambda: _status(api))


def _receivers(api: Api) -> list[Receiver]:
    listed = [str(row["name"]) for row in _rows(api.get("/api/v2/receivers"))]
    config = _alertmanager_config(api)
    routed = set(_routed(config.get("route") or {}, str((config.get("route") or {}).get("receiver", ""))))
    known = {str(r["name"]): r for r in config.get("receivers") or [] if isinstance(r, dict) and "name" in r}
    receivers = []
    for name in listed:
        kinds = [
            (key.removesuffix("_configs"), len(value))
            for key, value in known.get(name, {}).items()
            if key.endswith("_configs") and isinstance(value, list)
        ]
        receivers.append(
            Receiver(
                name=api.scrub(name),
                routed=name in routed,
                integrations=sum(count for _, count in kinds) if name in known else None,
                kinds=sorted(kind for kind, _ in kinds),
            )
        )
    return receivers


def _routed(route: Mapping[str, Any], inherited: str, depth: int = 0) -> Iterator[str]:
    """The receivers at the leaves and on the way of a routing tree; a child without one has its parent's."""
    receiver = str(route.get("receiver") or inherited)
    yield receiver
    for child in (route.get("routes") or []) if depth < 50 else []:
        yield from _routed(child, receiver, depth + 1)


def _status(api: Api) -> AlertmanagerStatus:
    status = api.get("/api/v2/status")
    cluster = status.get("cluster") or {}
    route = _alertmanager_config(api).get("route") or {}
    try:
        silences = sum(
            1 for s in _rows(api.get("/api/v2/silences")) if (s.get("status") or {}).get("state") == "active"
        )
    except CollectError:
        silences = None
    return AlertmanagerStatus(
        version=_text((status.get("versionInfo") or {}).get("version")),
        cluster=_text(cluster.get("status")),
        peers=len(cluster["peers"]) if isinstance(cluster.get("peers"), list) else None,
        default_receiver=api.scrub(str(route["receiver"])) if route.get("receiver") else None,
        silences=silences,
    )


def _alertmanager_config(api: Api) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(api.get("/api/v2/status")["config"]["original"])
    except yaml.YAMLError as error:
        raise CollectError("Alertmanager's configuration is no YAML") from error
    return document if isinstance(document, dict) else {}


def _check_url(url: str, flag: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"{flag} {url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{flag} takes http://HOST[:PORT] or https://HOST[:PORT], not {url!r}")
    if parts.username or parts.password:
        raise UsageError(f"{flag} may hold no credentials; use --api-key-env or --header-env")


def _rows(value: Any) -> list[Any]:
    """`value` when it is a list; anything else is no answer, and never an empty one."""
    if not isinstance(value, list):
        raise CollectError(f"an answer in no known form: {type(value).__name__} where a list should be")
    return value


def _bounded(rows: list[Any], what: str) -> list[Any]:
    if len(rows) > _MAX_ROWS:
        raise CollectError(f"more than {_MAX_ROWS} {what}")
    return rows


def _labels(labels: Mapping[str, Any], scrub: Scrubber) -> dict[str, str]:
    return {str(key)[:100]: scrub(str(value), 500) for key, value in list(labels.items())[:100]}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _seconds(value: Any) -> float | None:
    """Seconds from Prometheus' ``1m30s``; None for anything else."""
    if not isinstance(value, str) or not re.fullmatch(r"(?:\d+(?:ms|[smhdwy]))+", value):
        return None
    return sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|[smhdwy])", value))
