"""What answers when the model does not: second backends, failover of a mesh, error pages of a proxy. Pure.

https://gateway.envoyproxy.io/docs/tasks/traffic/failover/,
https://istio.io/latest/docs/tasks/traffic-management/locality-load-balancing/failover/,
https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/#custom-http-errors and
https://doc.traefik.io/traefik/middlewares/http/errorpages/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inferaudit.entrypoints import notes_of
from inferaudit.kube.view import name_of
from inferaudit.subjects import object_subject

Object = Mapping[str, Any]
Kind = Literal["automatic", "by hand", "idle"]

_NGINX = "nginx.ingress.kubernetes.io/"
_DOWN = re.compile(r"\b50[234]\b|\b5xx\b")


@dataclass(frozen=True, slots=True)
class Fallback:
    """One way round a backend that fails. `idle`: it is configured and never takes over, for the reason in `why`."""

    subject: str
    source: str
    kind: Kind
    what: str
    why: str = ""


def fallbacks_of(
    ingresses: Iterable[Object], routes: Iterable[Object], rules: Iterable[Object], backends: Iterable[Object]
) -> list[Fallback]:
    """The fallbacks of entries and of a mesh; `rules` are DestinationRules, `backends` Envoy Gateway's.

    A Backend that is only a fallback is `by hand` here: whether health checks switch to it, policies tell.
    """
    second = {name_of(each) for each in backends if (each.get("spec") or {}).get("fallback") is True}
    found: list[Fallback] = []
    for route in routes:
        found += _mesh_route(route) if route.get("kind") == "VirtualService" else _route(route, second)
    for rule in rules:
        found += _failover(rule)
    for ingress in ingresses:
        notes = notes_of(ingress)
        page = notes.get(f"{_NGINX}default-backend")
        if page and _DOWN.search(notes.get(f"{_NGINX}custom-http-errors", "")):
            source = f"{_NGINX}custom-http-errors"
            found.append(Fallback(object_subject(ingress), source, "automatic", f"the Service {page} answers"))
    return found


def error_pages(policies: Iterable[Object]) -> list[Fallback]:
    """Traefik's middlewares that put another service's answer in place of an error."""
    return [
        Fallback(
            object_subject(policy), "spec.errors", "automatic", f"the Service {pages['service'].get('name')} answers"
        )
        for policy in policies
        if policy.get("kind") == "Middleware"
        and isinstance(pages := (policy.get("spec") or {}).get("errors"), Mapping)
        and isinstance(pages.get("service"), Mapping)
        and any(_covers_503(str(text)) for text in pages.get("status") or ())
    ]


def checks_health(policies: Iterable[Object]) -> list[str]:
    """Policies of Envoy Gateway by which a backend that fails is noticed."""
    return [
        object_subject(each)
        for each in policies
        if each.get("kind") == "BackendTrafficPolicy"
        and {"active", "passive"} & set((each.get("spec") or {}).get("healthCheck") or {})
    ]


def _covers_503(text: str) -> bool:
    first, _, last = text.partition("-")
    return first.isdigit() and int(first) <= 503 <= int(last if last.isdigit() else first)


def _route(route: Object, second: set[str]) -> Iterator[Fallback]:
    for i, rule in enumerate((route.get("spec") or {}).get("rules") or ()):
        refs = rule.get("backendRefs") or ()
        source, subject = f"spec.rules[{i}].backendRefs", object_subject(route)
        served = any(ref.get("weight", 1) for ref in refs)
        for ref in refs:
            name = str(ref.get("name"))
            if ref.get("kind") == "Backend" and name in second and len(refs) > 1:
                yield Fallback(subject, source, "by hand", f"the Backend {name} is its fallback", "backend")
            elif served and ref.get("weight") == 0:
                yield Fallback(subject, source, "by hand", f"{name} stands by with weight 0")


def _mesh_route(route: Object) -> Iterator[Fallback]:
    for i, http in enumerate((route.get("spec") or {}).get("http") or ()):
        refs = http.get("route") or ()
        for ref in refs if len(refs) > 1 else ():
            if ref.get("weight") == 0:
                target = ref.get("destination") or {}
                name = "/".join(str(target[key]) for key in ("host", "subset") if target.get(key))
                yield Fallback(
                    object_subject(route), f"spec.http[{i}].route", "by hand", f"{name} stands by with weight 0"
                )


def _failover(rule: Object) -> Iterator[Fallback]:
    policy = (rule.get("spec") or {}).get("trafficPolicy") or {}
    for each in (policy, *(policy.get("portLevelSettings") or ())):
        local = (each.get("loadBalancer") or {}).get("localityLbSetting") or {}
        field = next((name for name in ("failover", "failoverPriority") if local.get(name)), None)
        if field is None or local.get("enabled") is False:
            continue
        source = f"spec.trafficPolicy.loadBalancer.localityLbSetting.{field}"
        if "outlierDetection" in each or "outlierDetection" in policy:
            yield Fallback(object_subject(rule), source, "automatic", "another locality takes over")
        else:
            why = "without outlierDetection no replica is ever found to fail"
            yield Fallback(object_subject(rule), source, "idle", "another locality is to take over", why)
