from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Pods have a network of their own",
    severity=Severity.MEDIUM,
    needs=("workload",),
    remediation="Remove `hostNetwork`; for RDMA use a device plug-in and a secondary network instead.",
    references=("https://kubernetes.io/docs/concepts/services-networking/network-policies/",),
)
def host_network(snapshot: Snapshot) -> Iterator[Judgement]:
    """On the host's network a server listens on the node's own address, past every NetworkPolicy.

    Two replicas also collide on the port, so that a node never holds more than one.
    """
    workload = snapshot.fact("workload")
    used = (workload.template.get("spec") or {}).get("hostNetwork")
    seen = Evidence("spec.template.spec.hostNetwork", used, "false")
    if used:
        yield failed(workload.subject, "uses the host's network: NetworkPolicies do not hold for it", seen)
    else:
        yield passed(workload.subject, "has its own network namespace", seen)
