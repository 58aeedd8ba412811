from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.subjects import object_subject

_LABEL = "kubernetes.io/service-name"


@check(
    title="The Service has endpoints that are ready",
    severity=Severity.CRITICAL,
    needs=("workload", "service.services", "service.endpointslices"),
    remediation="Find out why the pods are not ready, or why the Service's selector misses them.",
    references=("https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/",),
)
def endpoints(snapshot: Snapshot) -> Iterator[Judgement]:
    """Endpoints are what a gateway really sends to; without a ready one every request fails.

    It is the one place where labels, ports and readiness must all be right.
    """
    workload = snapshot.fact("workload")
    slices = snapshot.fact("service.endpointslices")
    for service in snapshot.fact("service.services"):
        name, subject = (service.get("metadata") or {}).get("name"), object_subject(service)
        mine = [s for s in slices if ((s.get("metadata") or {}).get("labels") or {}).get(_LABEL) == name]
        endpoints = [e for s in mine for e in s.get("endpoints") or ()]
        ready = [e for e in endpoints if (e.get("conditions") or {}).get("ready") is not False]
        hosts = {(e.get("targetRef") or {}).get("name") or str(e.get("addresses")) for e in ready}
        seen = Evidence("endpoints that are ready", len(hosts), "at least one")
        if (service.get("spec") or {}).get("type") == "ExternalName":
            continue
        if hosts:
            yield passed(subject, f"{len(hosts)} of {len(endpoints)} endpoints are ready", seen)
        else:
            why = f"none of {len(endpoints)} endpoints is ready" if endpoints else "has no endpoints"
            scaled = Evidence("spec.replicas", workload.replicas)
            cause = ("state-ready", workload.subject) if (workload.replicas or 0) > 0 else None
            yield failed(subject, why, seen, scaled, cause=cause)
