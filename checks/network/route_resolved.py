from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.entrypoints import backends
from inferaudit.kube.types import LostBackend
from inferaudit.kube.view import name_of
from inferaudit.route_hosts import attachment_faults, mesh_attachment_faults
from inferaudit.subjects import object_subject

_LIKE = 0.75  # of the letters of two names in common: chat-svc and chat-scv, not chat and search


@check(
    title="Routes are accepted and lead to the Service",
    severity=Severity.HIGH,
    needs=("service.services", "service.ingresses", "service.routes"),
    optional=("service.lostbackends", "service.gateways", "workload"),
    remediation="Mend the backend's name and port, the gateway that the route names, or the ReferenceGrant it lacks.",
    references=(
        "https://kubernetes.io/docs/concepts/services-networking/ingress/",
        "https://gateway-api.sigs.k8s.io/guides/implementers/",
    ),
)
def route_resolved(snapshot: Snapshot) -> Iterator[Judgement]:
    """A route that its gateway refuses, or whose backend does not exist, answers 404 or 503 to everyone.

    An Ingress says nothing about it; a Gateway API route does, in its status. One of the namespace whose backends are
    all missing is taken for the service's where nothing else leads to it, or where a name in it is like one of ours.
    """
    services = {name_of(s): s for s in snapshot.fact("service.services")}
    lost = snapshot.fact_or("service.lostbackends", [])
    own = {object_subject(obj): obj for name in ("service.ingresses", "service.routes") for obj in snapshot.fact(name)}
    for subject, obj in own.items():
        wrong = [f"{each.kind} {each.name} does not exist" for each in lost if each.subject == subject and _gone(each)]
        for name, port in backends(obj):
            service = services.get(name)
            ports = (service.get("spec") or {}).get("ports") or () if service else ()
            if service and port is not None and not any(port in (p.get("port"), p.get("name")) for p in ports):
                wrong.append(f"the Service {name} has no port {port}")
        if snapshot.error("service.gateways") is None and obj.get("kind") in ("HTTPRoute", "GRPCRoute"):
            wrong += attachment_faults(obj, snapshot.fact("service.gateways"))
        if snapshot.error("service.gateways") is None and obj.get("kind") == "VirtualService":
            wrong += mesh_attachment_faults(obj, snapshot.fact("service.gateways"))
        wrong += _refusals(obj)
        seen = Evidence("spec, status.parents", wrong or "resolved", "accepted, with backends that exist")
        if wrong:
            yield failed(subject, "; ".join(wrong), seen)
        else:
            yield passed(subject, "leads to the Service", seen)
    yield from _strays(snapshot, [each for each in lost if each.subject not in own], services, alone=not own)


def _refusals(obj: Mapping[str, Any]) -> Iterator[str]:
    """What the gateways say against a route."""
    for parent in (obj.get("status") or {}).get("parents") or ():
        for each in parent.get("conditions") or ():
            if each.get("type") in ("Accepted", "ResolvedRefs", "Programmed") and each.get("status") == "False":
                gateway = (parent.get("parentRef") or {}).get("name")
                yield f"{gateway}: {each['type']} is False ({each.get('reason')}: {each.get('message', '')})"


def _strays(
    snapshot: Snapshot, lost: Sequence[LostBackend], services: Iterable[str], *, alone: bool
) -> Iterator[Judgement]:
    """Routes of the namespace that lead to none of the Services, for what they name is not there."""
    workload = snapshot.fact_or("workload", None)
    ours = [*services, *([workload.name] if workload else [])]
    # Without a Service of the workload there is nothing that a route could lead to.
    cause = ("network-service", workload.subject) if workload and not services else None
    for subject in dict.fromkeys(each.subject for each in lost):
        named = [each for each in lost if each.subject == subject]
        names = {subject.rpartition("/")[2], *(each.name for each in named)}
        if not (alone or any(get_close_matches(name, ours, 1, _LIKE) for name in names)):
            continue
        seen = [Evidence(each.path, each.name, f"a {each.kind} that exists") for each in named]
        text = ", ".join(f"{each.kind} {each.name}" for each in named)
        if any(_gone(each) for each in named):
            yield failed(subject, f"leads to {text}: not there", *seen, cause=cause)
        else:
            yield not_applicable(subject, f"leads to {text}: {named[0].reason}", *seen)


def _gone(backend: LostBackend) -> bool:
    """Whether it is known not to exist; what files do not hold may be in the cluster."""
    return backend.found is False
