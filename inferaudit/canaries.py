"""Progressive delivery in one shape: Argo Rollouts, Flagger, KServe, weights of routes and of ingress-nginx. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.subjects import object_subject
from inferaudit.units import whole_number

_NGINX = "nginx.ingress.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class Canary:
    """How a new version meets traffic. `first_percent` is its first share, None where none is stated.

    `analysis` names what watches it; `skipped` True when the watching is switched off. `path` is where it is set.
    """

    subject: str
    kind: str
    path: str
    first_percent: float | None
    analysis: tuple[str, ...] = ()
    skipped: bool = False


def canaries_of(objects: Iterable[Mapping[str, Any]]) -> list[Canary]:
    """The canaries among `objects`; each object counts once."""
    readers = {
        "Rollout": _argo,
        "Canary": _flagger,
        "InferenceService": _kserve,
        "HTTPRoute": _route,
        "GRPCRoute": _route,
        "VirtualService": _route,
        "Ingress": _ingress,
    }
    found: dict[str, Canary] = {}
    for obj in objects:
        reader = readers.get(str(obj.get("kind")))
        canary = reader(obj) if reader else None
        if canary:
            found.setdefault(canary.subject, canary)
    return list(found.values())


def _argo(obj: Mapping[str, Any]) -> Canary | None:
    strategy = (obj.get("spec") or {}).get("strategy") or {}
    subject = object_subject(obj)
    if (green := strategy.get("blueGreen")) is not None:
        watch = [name for name in ("prePromotionAnalysis", "postPromotionAnalysis") if green.get(name)]
        return Canary(subject, "blue-green", "spec.strategy.blueGreen", None, tuple(watch))
    canary = strategy.get("canary")
    if canary is None:
        return None
    steps = canary.get("steps") or ()
    weights = [step["setWeight"] for step in steps if "setWeight" in step]
    watch = [
        str(template.get("templateName"))
        for part in (canary.get("analysis"), *(step.get("analysis") for step in steps))
        for template in (part or {}).get("templates") or ()
    ]
    # Without steps Argo replaces the pods like a rolling update: the first share is not a canary's.
    first = float(weights[0]) if weights else 100.0
    return Canary(subject, "canary", "spec.strategy.canary.steps", first, tuple(watch))


def _flagger(obj: Mapping[str, Any]) -> Canary:
    spec = obj.get("spec") or {}
    analysis = spec.get("analysis") or spec.get("canaryAnalysis") or {}
    weights = analysis.get("stepWeights") or [w for w in (analysis.get("stepWeight"),) if w is not None]
    watch = tuple(str(metric.get("name")) for metric in analysis.get("metrics") or ())
    first = float(weights[0]) if weights else None
    kind = "canary" if weights else "blue-green"
    return Canary(object_subject(obj), kind, "spec.analysis", first, watch, spec.get("skipAnalysis") is True)


def _kserve(obj: Mapping[str, Any]) -> Canary | None:
    percent = ((obj.get("spec") or {}).get("predictor") or {}).get("canaryTrafficPercent")
    if percent is None:
        return None
    return Canary(object_subject(obj), "route", "spec.predictor.canaryTrafficPercent", float(percent))


def _route(obj: Mapping[str, Any]) -> Canary | None:
    """Two backends with weights: the smaller share is the canary's."""
    spec = obj.get("spec") or {}
    rules = spec.get("rules") or spec.get("http") or ()
    for i, rule in enumerate(rules):
        backends = rule.get("backendRefs") or rule.get("route") or ()
        weights = [backend.get("weight", 1) for backend in backends]
        if len(weights) > 1 and sum(weights) > 0 and min(weights) != max(weights) and min(weights) > 0:
            path = f"spec.rules[{i}].backendRefs" if "backendRefs" in rule else f"spec.http[{i}].route"
            return Canary(object_subject(obj), "route", path, round(100 * min(weights) / sum(weights), 2))
    return None


def _ingress(obj: Mapping[str, Any]) -> Canary | None:
    notes = (obj.get("metadata") or {}).get("annotations") or {}
    weight = whole_number(str(notes.get(f"{_NGINX}canary-weight", "")))
    if notes.get(f"{_NGINX}canary") != "true" or weight is None:
        return None
    return Canary(object_subject(obj), "route", f"metadata.annotations.{_NGINX}canary-weight", float(weight))
