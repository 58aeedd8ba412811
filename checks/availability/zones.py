from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.pod_state import is_current


@check(
    title="Replicas run in more than one zone",
    severity=Severity.LOW,
    needs=("workload", "workload.pods", "cluster.nodes"),
    remediation="Spread over `topology.kubernetes.io/zone`, where GPUs of that kind are to be had in two zones.",
    references=("https://kubernetes.io/docs/setup/best-practices/multiple-zones/",),
)
def zones(snapshot: Snapshot) -> Iterator[Judgement]:
    """A zone fails rarely and as a whole.

    GPUs are often to be had in one zone only; then this is a risk to be named, not mended.
    """
    workload = snapshot.fact("workload")
    zones = {node.name: node.labels.get("topology.kubernetes.io/zone") for node in snapshot.fact("cluster.nodes")}
    pods = [p for p in snapshot.fact("workload.pods") if is_current(p) and (p.get("spec") or {}).get("nodeName")]
    used = {zones.get(p["spec"]["nodeName"]) for p in pods}
    seen = Evidence("zones of the pods", sorted(str(z) for z in used), "two or more")
    if len(pods) < 2 or None in used or len(set(zones.values())) < 2:
        yield not_applicable(workload.subject, "fewer than two pods or zones are in view", seen)
    elif len(used) < 2:
        yield failed(workload.subject, f"all {len(pods)} pods run in {next(iter(used))}", seen)
    else:
        yield passed(workload.subject, f"{len(pods)} pods in {len(used)} zones", seen)
