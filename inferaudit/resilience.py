"""Retries and the ejection of failing replicas, in the objects of gateways and meshes. Pure.

Defaults: https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRetry,
https://gateway.envoyproxy.io/docs/api/extension_types/#retry and
https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferaudit.entrypoints import is_nginx, notes_of
from inferaudit.subjects import object_subject
from inferaudit.units import whole_number

Object = Mapping[str, Any]

_NGINX = "nginx.ingress.kubernetes.io/"
_NGINX_TRIES = 3
_ENVOY_RETRIES = 2
# Each of these repeats a request that reached a server, which may be slow because it is overloaded.
_UNDER_LOAD = frozenset(
    {
        "5xx", "gateway-error", "reset", "retriable-4xx", "retriable-status-codes", "deadline-exceeded",
        "resource-exhausted", "internal", "timeout", "http_500", "http_502", "http_503", "http_504", "http_429",
    }
)  # fmt: skip
_NEVER_SENT = frozenset({"connect-failure", "refused-stream", "unavailable", "cancelled"})


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a request is sent again: `attempts` beyond the first. `on` are the reasons that count under load.

    `budget`: something bounds how many retries run at the same time. `default`: nobody wrote it.
    """

    subject: str
    source: str
    attempts: int
    on: tuple[str, ...]
    budget: bool
    default: bool = False


@dataclass(frozen=True, slots=True)
class Ejection:
    """Whether a replica that keeps failing is left out. `most_percent` is how many of them may be at the same time."""

    subject: str
    source: str
    ejects: bool
    most_percent: int | None
    breaks: bool  # a limit of connections or of waiting requests


def retries_of(
    ingresses: Iterable[Object], routes: Iterable[Object], policies: Iterable[Object], rules: Iterable[Object]
) -> list[Retry]:
    """Every retry that an entry or a mesh makes. `rules` are DestinationRules, for their limits on retries."""
    limited = any(_path(rule, "spec", "trafficPolicy", "connectionPool", "http", "maxRetries") for rule in rules)
    found = [_nginx_retry(ingress) for ingress in ingresses if is_nginx(ingress)]
    for route in routes:
        if route.get("kind") == "VirtualService":
            found += _istio_retries(route, limited)
        else:
            found += _route_retries(route)
    for policy in policies:
        spec = policy.get("spec") or {}
        retry = spec.get("retry")
        if isinstance(retry, Mapping):
            found.append(_policy_retry(policy, retry, bool(_path(spec, "circuitBreaker", "maxParallelRetries"))))
    return found


def _nginx_retry(ingress: Object) -> Retry:
    notes = notes_of(ingress)
    words = str(notes.get(f"{_NGINX}proxy-next-upstream") or "error timeout").split()
    tries = str(notes.get(f"{_NGINX}proxy-next-upstream-tries") or _NGINX_TRIES)
    # nginx sends a POST again only when it is told that this does no harm.
    again = (whole_number(tries) or 1) - 1 if "non_idempotent" in words and "off" not in words else 0
    source = f"{_NGINX}proxy-next-upstream"
    return Retry(object_subject(ingress), source, again, _heavy(words), False, source not in notes)


def _istio_retries(route: Object, budget: bool) -> Iterator[Retry]:
    for i, http in enumerate(_path(route, "spec", "http") or ()):
        retries, source = http.get("retries"), f"spec.http[{i}].retries"
        if http.get("redirect") or http.get("directResponse"):
            continue
        if retries is None:  # the mesh's own: twice, and only what was never sent or answered 503
            yield Retry(object_subject(route), source, _ENVOY_RETRIES, (), budget, True)
            continue
        words = [word.strip() for word in str(retries.get("retryOn") or "").split(",") if word.strip()]
        attempts = retries.get("attempts")
        yield Retry(object_subject(route), source, attempts if isinstance(attempts, int) else 0, _heavy(words), budget)


def _route_retries(route: Object) -> Iterator[Retry]:
    for i, rule in enumerate(_path(route, "spec", "rules") or ()):
        retry = rule.get("retry")
        if isinstance(retry, Mapping):
            codes = tuple(str(code) for code in retry.get("codes") or ())
            attempts = retry.get("attempts")
            number = attempts if isinstance(attempts, int) else _ENVOY_RETRIES
            yield Retry(object_subject(route), f"spec.rules[{i}].retry", number, codes, False)


def _policy_retry(policy: Object, retry: Mapping[str, Any], budget: bool) -> Retry:
    on = retry.get("retryOn") or {}
    words: Sequence[Any] = (
        on if isinstance(on, list) else [*(on.get("triggers") or ()), *(on.get("httpStatusCodes") or ())]
    )
    number = next((retry[key] for key in ("numRetries", "attempts") if isinstance(retry.get(key), int)), _ENVOY_RETRIES)
    return Retry(object_subject(policy), "spec.retry", number, _heavy(map(str, words)), budget)


def _heavy(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in _NEVER_SENT and (word in _UNDER_LOAD or word.isdigit()))


def ejections_of(rules: Iterable[Object], policies: Iterable[Object]) -> list[Ejection]:
    """What DestinationRules and the policies of Envoy's gateways say about replicas that fail."""
    found = []
    for rule in rules:
        policy = _path(rule, "spec", "trafficPolicy") or {}
        levels = [policy, *(policy.get("portLevelSettings") or ())]
        levels += [each.get("trafficPolicy") or {} for each in _path(rule, "spec", "subsets") or ()]
        outlier = next((each["outlierDetection"] for each in levels if "outlierDetection" in each), None)
        pools = [each["connectionPool"] for each in levels if each.get("connectionPool")]
        most = (outlier or {}).get("maxEjectionPercent", 10)
        source = "spec.trafficPolicy.outlierDetection"
        found.append(
            Ejection(
                object_subject(rule), source, outlier is not None, most if outlier is not None else None, bool(pools)
            )
        )
    for each in policies:
        spec = each.get("spec") or {}
        if each.get("kind") != "BackendTrafficPolicy" or not {"healthCheck", "circuitBreaker"} & set(spec):
            continue
        passive = _path(spec, "healthCheck", "passive")
        most = (passive or {}).get("maxEjectionPercent", 10) if passive is not None else None
        found.append(
            Ejection(
                object_subject(each), "spec.healthCheck.passive", passive is not None, most, "circuitBreaker" in spec
            )
        )
    return found


def _path(obj: Any, *names: str) -> Any:
    for name in names:
        obj = obj.get(name) if isinstance(obj, Mapping) else None
    return obj
