"""What the entries of a namespace lead to and what of it is not there: Services and InferencePools, by name.

Only what is plainly of the namespace is looked for. A backend of another namespace takes a ReferenceGrant and stands
where nothing was read; one of another kind, or a host of the mesh outside the cluster, is no object that could be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from inferaudit.kube import kinds as k
from inferaudit.kube.attachment import targets_of
from inferaudit.kube.kinds import Kind
from inferaudit.kube.related import Surroundings
from inferaudit.kube.types import LostBackend
from inferaudit.kube.view import Object, UnreadError, name_of, namespace_of
from inferaudit.model import FactErrorKind
from inferaudit.subjects import object_subject

_ALB_ACTION = "use-annotation"  # then the name is that of an annotation, and of no Service


def lost_backends(around: Surroundings) -> list[LostBackend]:
    """Every backend of the namespace's entries that does not exist, or may not; each name once an entry."""
    found: dict[tuple[str, Kind, str], LostBackend] = {}
    for entry in around.here(*k.ENTRY_KINDS):
        for path, kind, name in _backends(entry):
            key = (object_subject(entry), kind, name)
            if key in found:
                continue
            there, reason = _look(around, kind, name)
            if not there:
                found[key] = LostBackend(
                    subject=key[0], path=path, kind=kind.name, name=name, found=there, reason=reason
                )
    return list(found.values())


def lost_rules(around: Surroundings) -> list[LostBackend]:
    """Rules and policies of the namespace for a Service, or another object, that does not exist, or may not."""
    found = []
    for rule in _unless_out_of_view(lambda: around.here(k.DESTINATION_RULE)):
        host = str((rule.get("spec") or {}).get("host") or "")
        name, *rest = host.split(".")
        if "*" in host or rest[1:] not in ([], ["svc"], ["svc", "cluster", "local"]) or len(rest) == 1:
            continue  # a wildcard, a host of the outside, or two words, which may be either
        there, reason = _look(around, k.SERVICE, name, rest[0] if rest else "")
        if not there and host not in _entered(around):
            lost = LostBackend(
                subject=object_subject(rule), path="spec.host", kind="Service", name=host, found=there, reason=reason
            )
            found.append(lost)
    return [*found, *_lost_targets(around)]


def _lost_targets(around: Surroundings) -> list[LostBackend]:
    """Policies of gateways all of whose targets, objects of the namespace by name, do not exist, or may not."""
    kinds = {kind.name: kind for kind in (k.SERVICE, k.GATEWAY, k.INFERENCE_POOL, *k.ENTRY_KINDS)}
    found = []
    for policy in _unless_out_of_view(lambda: around.here(*k.TRAFFIC_POLICIES)):
        targets = list(targets_of(policy))
        if not all(t.name and t.kind in kinds and t.namespace == around.namespace for t in targets):
            continue
        looked = [(target, *_look_up(around, kinds[target.kind], target.name)) for target in targets]
        if looked and not any(there for _, there, _ in looked):
            target, _, reason = looked[0]
            lost = LostBackend(
                subject=object_subject(policy),
                path="spec.targetRefs",
                kind=target.kind,
                name=target.name,
                found=False if all(each is False for _, each, _ in looked) else None,
                reason=reason or "not all of its targets are in view",
            )
            found.append(lost)
    return found


def _look_up(around: Surroundings, kind: Kind, name: str) -> tuple[bool | None, str]:
    """As :func:`_look`; files that show entries of the namespace show all of them."""
    if kind not in k.ENTRY_KINDS:
        return _look(around, kind, name)
    shown = _unless_out_of_view(lambda: around.here(kind))
    return (any(name_of(each) == name for each in shown), "") if shown else _look(around, kind, name)


def _entered(around: Surroundings) -> set[str]:
    """The hosts that ServiceEntries make known."""
    entries = _unless_out_of_view(lambda: around.here(k.SERVICE_ENTRY))
    return {str(host) for entry in entries for host in (entry.get("spec") or {}).get("hosts") or ()}


def _unless_out_of_view(read: Callable[[], list[Object]]) -> list[Object]:
    try:
        return read()
    except UnreadError as unread:
        if unread.error.kind is not FactErrorKind.OUT_OF_VIEW:
            raise
        return []


def _look(around: Surroundings, kind: Kind, name: str, namespace: str = "") -> tuple[bool | None, str]:
    try:
        return around.view.get(kind, namespace or around.namespace, name) is not None, ""
    except UnreadError as unread:
        if unread.error.kind is not FactErrorKind.OUT_OF_VIEW:
            raise
        return None, unread.error.reason


def _backends(entry: Object) -> Iterator[tuple[str, Kind, str]]:
    """Path, kind and name of every backend that takes traffic. One with weight 0 may be there later."""
    spec = entry.get("spec") or {}
    if entry.get("kind") == k.INGRESS.name:
        yield from _of_ingress(spec)
    elif entry.get("kind") == k.VIRTUAL_SERVICE.name:
        for protocol in ("http", "tcp", "tls"):
            for i, rule in enumerate(spec.get(protocol) or ()):
                for j, route in enumerate(rule.get("route") or ()):
                    name = _service_of((route.get("destination") or {}).get("host"), namespace_of(entry))
                    if name and route.get("weight") != 0:
                        yield f"spec.{protocol}[{i}].route[{j}].destination.host", k.SERVICE, name
    else:
        kinds = {(kind.group, kind.name): kind for kind in (k.SERVICE, k.INFERENCE_POOL)}
        for i, rule in enumerate(spec.get("rules") or ()):
            for j, ref in enumerate(rule.get("backendRefs") or ()):
                kind = kinds.get((ref.get("group") or "", ref.get("kind") or k.SERVICE.name))
                here = (ref.get("namespace") or namespace_of(entry)) == namespace_of(entry)
                if kind and here and ref.get("name") and ref.get("weight") != 0:
                    yield f"spec.rules[{i}].backendRefs[{j}]", kind, str(ref["name"])


def _of_ingress(spec: Object) -> Iterator[tuple[str, Kind, str]]:
    found: list[tuple[str, Any]] = [("spec.defaultBackend", spec.get("defaultBackend"))]
    for i, rule in enumerate(spec.get("rules") or ()):
        for j, path in enumerate((rule.get("http") or {}).get("paths") or ()):
            found.append((f"spec.rules[{i}].http.paths[{j}].backend", path.get("backend")))
    for path, backend in found:
        service = (backend or {}).get("service") or {}
        if service.get("name") and (service.get("port") or {}).get("name") != _ALB_ACTION:
            yield f"{path}.service.name", k.SERVICE, str(service["name"])


def _service_of(host: Any, namespace: str) -> str:
    """The Service of the namespace behind a host of the mesh; empty where it is one elsewhere, or none."""
    name, _, rest = str(host or "").partition(".")
    return name if rest == "" or rest == namespace or rest.startswith(f"{namespace}.svc") else ""
