from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.entrypoints import backends
from inferaudit.subjects import object_subject


@check(
    title="Routes are accepted and lead to the Service",
    severity=Severity.HIGH,
    needs=("service.services", "service.ingresses", "service.routes"),
    remediation="Mend the backend's name and port, the gateway that the route names, or the ReferenceGrant it lacks.",
    references=(
        "https://kubernetes.io/docs/concepts/services-networking/ingress/",
        "https://gateway-api.sigs.k8s.io/guides/implementers/",
    ),
)
def route_resolved(snapshot: Snapshot) -> Iterator[Judgement]:
    """A route that its gateway refuses, or whose backend does not exist, answers 404 or 503 to everyone.

    An Ingress says nothing about it; a Gateway API route does, in its status.
    """
    services = {(s.get("metadata") or {}).get("name"): s for s in snapshot.fact("service.services")}
    ingresses, routes = snapshot.fact("service.ingresses"), snapshot.fact("service.routes")
    for obj in (*ingresses, *routes):
        subject = object_subject(obj)
        wrong = []
        for name, port in backends(obj):
            service = services.get(name)
            ports = (service.get("spec") or {}).get("ports") or () if service else ()
            if service and port is not None and not any(port in (p.get("port"), p.get("name")) for p in ports):
                wrong.append(f"the Service {name} has no port {port}")
        for parent in (obj.get("status") or {}).get("parents") or ():
            for each in parent.get("conditions") or ():
                if each.get("type") in ("Accepted", "ResolvedRefs", "Programmed") and each.get("status") == "False":
                    gateway = (parent.get("parentRef") or {}).get("name")
                    wrong.append(
                        f"{gateway}: {each['type']} is False ({each.get('reason')}: {each.get('message', '')})"
                    )
        seen = Evidence("spec, status.parents", wrong or "resolved", "accepted, with backends that exist")
        if wrong:
            yield failed(subject, "; ".join(wrong), seen)
        else:
            yield passed(subject, "leads to the Service", seen)
