"""The endpoint's own metrics page, and which metrics it has by meaning."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from inferaudit.collect.http_client import Http, Reply, Scrubber
from inferaudit.errors import CollectError
from inferaudit.exposition import MetricFamily, MetricSample, buckets, find, parse_exposition
from inferaudit.facts.endpoint import Concept, MetricsPage
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import EndpointPlan
from inferaudit.runtime_registry import MetricName, Runtime, runtime

_NAMES = ("endpoint.metrics", "endpoint.metrics_page", "endpoint.concepts")


def metrics_facts(
    plan: EndpointPlan,
    http: Http,
    profile: Runtime,
    engine: str | None,
    scrub: Scrubber,
) -> dict[str, Fact]:
    """The facts ``endpoint.metrics``, ``endpoint.metrics_page`` and ``endpoint.concepts``."""
    route = plan.metrics_url or profile.metrics_path
    if not plan.metrics_url and profile.metrics_default == "none":
        reason = f"{profile.title} has no metrics page"
        return _none(FactError(FactErrorKind.OUT_OF_VIEW, reason, "metrics page", remedy="--metrics-url URL"))
    reply = http.get(route)
    if reply.status in (401, 403):
        reason = f"GET {scrub(route)} answered {reply.status}"
        return _none(FactError(FactErrorKind.DENIED, reason, "metrics page", remedy="--api-key-env VARIABLE"))
    if reply.error is not None or reply.status != 200 or reply.status is None:
        return _none(_missing(plan, profile, route, reply, scrub))
    content_type = reply.headers.get("content-type", "")
    try:
        families = parse_exposition(reply.text, content_type)
    except CollectError as error:
        # Where nobody named the page, an answer that is none (a route that takes any path) is as good as a 404. A page
        # that says it is one and cannot be read is a failure all the same.
        claims = bool(plan.metrics_url) or "version=0.0.4" in content_type or "openmetrics" in content_type
        kind = FactErrorKind.FAILED if claims else FactErrorKind.NO_TARGET
        reason = f"GET {scrub(route)}: {scrub(str(error))}"
        return _none(FactError(kind, reason, "metrics page", remedy="--metrics-url URL"))
    if not any(family.samples for family in families):
        return _none(_missing(plan, profile, route, reply, scrub))
    clean = [_clean(family, scrub) for family in families]
    largest = max(clean, key=lambda family: len(family.samples))
    page = MetricsPage(
        url=scrub(route if "://" in route else http.base + route),
        status=reply.status,
        content_type=scrub(content_type),
        bytes=len(reply.body),
        ms=reply.ms or 0.0,
        families=len(clean),
        series=sum(len(family.samples) for family in clean),
        largest=largest.name,
        largest_series=len(largest.samples),
        authenticated=bool(http.headers),
    )
    known = [profile, *([runtime(engine)] if engine else [])]
    return {
        "endpoint.metrics": Fact(clean),
        "endpoint.metrics_page": Fact(page),
        "endpoint.concepts": Fact(concepts(known, clean)),
    }


def concepts(profiles: Iterable[Runtime], families: list[MetricFamily]) -> list[Concept]:
    """Each concept the runtimes know, with the first of its names that is on the page."""
    merged: dict[str, list[MetricName]] = {}
    for profile in profiles:
        for concept, names in profile.metrics.items():
            merged.setdefault(concept, []).extend(names)
    return [_concept(concept, names, families) for concept, names in merged.items()]


def _concept(concept: str, names: list[MetricName], families: list[MetricFamily]) -> Concept:
    candidates = [name.name for name in names]
    for name in names:
        family = find(families, name.name)
        if family is None:
            continue
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le", "quantile"})
        return Concept(
            concept=concept,
            candidates=candidates,
            name=name.name,
            type=family.type if family.type != "untyped" else name.type,
            unit=name.unit,
            labels=labels,
            wanted_labels=name.labels,
            bounds=buckets(family),
            series=len(family.samples),
            note=name.note,
        )
    return Concept(concept=concept, candidates=candidates, unit=names[0].unit)


def _missing(plan: EndpointPlan, profile: Runtime, route: str, reply: Reply, scrub: Scrubber) -> FactError:
    """No page: failed where a URL was given or one was cut, else no target, with where the runtime keeps it."""
    cut = f"{reply.error} ({scrub(reply.detail)})" if reply.error else ""
    said = cut or (f"status {reply.status}" if reply.status != 200 else "a page without any metric")
    reason = f"GET {scrub(route)}: {said}"
    if plan.metrics_url or (cut and reply.status == 200):
        return FactError(FactErrorKind.FAILED, reason, "metrics page")
    port = profile.ports.get("metrics")
    if port is not None and port != profile.ports.get("http"):
        reason += f"; {profile.title} serves metrics on port {port}"
    elif profile.metrics_default == "off":
        reason += f"; {profile.title} has them switched off unless told otherwise"
    return FactError(FactErrorKind.NO_TARGET, reason, "metrics page", remedy="--metrics-url URL")


def _clean(family: MetricFamily, scrub: Scrubber) -> MetricFamily:
    """Label values and help are text from outside."""
    samples = [
        MetricSample(s.name[:200], {k[:100]: scrub(v) if _wordy(v) else v for k, v in s.labels.items()}, s.value)
        for s in family.samples
    ]
    return msgspec.structs.replace(family, name=family.name[:200], help=scrub(family.help), samples=samples)


def _wordy(value: str) -> bool:
    """Short plain words need no scrubbing; a page has tens of thousands of labels."""
    return len(value) > 15 or not value.replace("_", "").replace("-", "").replace(".", "").replace("+", "").isalnum()


def _none(error: FactError) -> dict[str, Fact]:
    return {name: Fact(error=error) for name in _NAMES}
