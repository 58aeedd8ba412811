from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.entrypoints import is_internal
from inferaudit.subjects import object_subject


@check(
    title="No Service opens the pods to the world",
    severity=Severity.MEDIUM,
    needs=("service.services",),
    remediation="Make the Service a ClusterIP behind a gateway, or limit it with `loadBalancerSourceRanges`.",
    references=("https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types",),
)
def exposure(snapshot: Snapshot) -> Iterator[Judgement]:
    """A load balancer or node port leads past the gateway: past its TLS, its limits and its log.

    One that is internal, or open to named addresses only, is in order.
    """
    for service in snapshot.fact("service.services"):
        subject, spec = object_subject(service), service.get("spec") or {}
        kind, ranges = spec.get("type") or "ClusterIP", spec.get("loadBalancerSourceRanges")
        seen = Evidence("spec.type", kind, "ClusterIP, or limited to named addresses")
        if kind == "NodePort":
            yield failed(subject, "is open on every node", seen)
        elif kind == "LoadBalancer" and not ranges and not is_internal(service):
            yield failed(subject, "is open to every address", seen)
        elif kind == "LoadBalancer":
            limited = f"open to {', '.join(ranges)}" if ranges else "an internal load balancer"
            yield passed(subject, limited, seen)
        else:
            yield passed(subject, f"{kind}: reachable inside the cluster only", seen)
