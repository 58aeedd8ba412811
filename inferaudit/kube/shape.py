"""Is an object from a file built as the API would have it, as far as an audit looks into it? Pure.

The API server refuses what is not; so does the reader of files, with the place, so that nothing after it has to ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.kube import kinds as k

# A path per kind: `[]` goes into a list of maps, a last `*` stands for a map of any names, `=` for a list of texts.
_ROUTE = ("rules[].backendRefs[]", "parentRefs[]", "hostnames=")
_OWN = ("selector*",)
_PARTS: Mapping[k.Kind, tuple[str, ...]] = {
    k.SERVICE: ("ports[]", "selector*"),
    k.INGRESS: (
        "rules[].http*.paths[].backend*.service*.port*",
        "defaultBackend*.service*.port*",
        "tls[].hosts=",
    ),
    k.HTTP_ROUTE: _ROUTE,
    k.GRPC_ROUTE: _ROUTE,
    k.VIRTUAL_SERVICE: ("http[].route[].destination*", "hosts=", "gateways="),
    k.NETWORK_POLICY: ("podSelector*", "ingress[].from[]", "ingress[].ports[]", "egress[].to[]", "egress[].ports[]"),
    k.HPA: ("scaleTargetRef*", "metrics[]"),
    k.SCALED_OBJECT: ("scaleTargetRef*", "triggers[].metadata*"),
    k.PDB: ("selector*",),
    k.SERVICE_MONITOR: ("selector*", "endpoints[]"),
    k.POD_MONITOR: ("selector*", "podMetricsEndpoints[]"),
    k.PROMETHEUS_RULE: ("groups[].rules[]",),
    k.DEPLOYMENT: _OWN,
    k.STATEFUL_SET: (*_OWN, "volumeClaimTemplates[]"),
    k.DAEMON_SET: _OWN,
}


def misshapen(kind: k.Kind, obj: Mapping[str, Any]) -> str | None:
    """What is wrong with the first part that is not of its type (``spec.rules is no list``); None where all are."""
    for path in _PARTS.get(kind, ()):
        for fault in _walk(obj, f"spec*.{path}", ""):
            return fault
    return None


def _walk(value: Any, path: str, where: str) -> Iterator[str]:
    """Faults along a path; what is absent or null has none."""
    step, _, rest = path.partition(".")
    name, sign = (step[:-2], "[]") if step.endswith("[]") else (step[:-1], step[-1])
    child, place = value.get(name), f"{where}.{name}".lstrip(".")
    if child is None:
        return
    if sign == "*":
        if not isinstance(child, Mapping):
            yield f"{place} is no map"
        elif rest:
            yield from _walk(child, rest, place)
        return
    if not isinstance(child, list):
        yield f"{place} is no list"
        return
    for i, item in enumerate(child):
        if not isinstance(item, Mapping if sign == "[]" else str):
            yield f"{place}[{i}] is no {'map' if sign == '[]' else 'text'}"
        elif rest and sign == "[]":
            yield from _walk(item, rest, f"{place}[{i}]")
