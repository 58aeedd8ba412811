from collections import Counter
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.no_place import uncordoned, update_is_stuck
from inferaudit.placement import free_gpus, placeable
from inferaudit.pod_state import is_current


@check(
    title="Losing a node leaves GPUs for its replicas",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.pods", "cluster.nodes", "cluster.node_pods"),
    remediation="Keep as many GPUs free as one node serves with, or a node pool that grows within minutes.",
    references=("https://kubernetes.io/docs/concepts/workloads/pods/disruptions/",),
)
def node_loss(snapshot: Snapshot) -> Iterator[Judgement]:
    """A GPU node fails for hours, and its replicas need GPUs elsewhere at once.

    Counted are unallocated GPUs on the other nodes that the workload may use. A cluster autoscaler may add more; a
    quota or a market without GPUs may not.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    pods, node_pods = snapshot.fact("workload.pods"), snapshot.fact("cluster.node_pods")
    here = Counter((p.get("spec") or {}).get("nodeName") for p in pods if is_current(p))
    here.pop(None, None)
    if not workload.gpus_per_pod or not here:
        why = "serves on CPU" if not workload.gpus_per_pod else "no pod of it runs on a node"
        yield not_applicable(workload.subject, why, Evidence("spec.nodeName", dict(here), "pods with GPUs on nodes"))
        return
    free = free_gpus(workload, nodes, node_pods)
    without_cordons = free_gpus(workload, [uncordoned(node) for node in nodes], node_pods)
    stuck = update_is_stuck(workload) if not placeable(free, workload.gpus_per_pod) else None
    cordoned = next((("scheduling-cordoned", f"node/{n.name}") for n in nodes if n.unschedulable), None)
    for name, count in sorted(here.items()):
        others = {node: gpus for node, gpus in free.items() if node != name}
        room = placeable(others, workload.gpus_per_pod)
        seen = Evidence("free GPUs on other nodes", others, f">= {count} pods of {workload.gpus_per_pod}")
        key = f"node/{name}"
        if room >= count:
            yield passed(workload.subject, f"{count} replicas of {name} find GPUs elsewhere", seen, key=key)
        else:
            spared = {node: gpus for node, gpus in without_cordons.items() if node != name}
            cause = cordoned if placeable(spared, workload.gpus_per_pod) >= count else stuck
            text = f"{name} carries {count} replicas, and {room} fit elsewhere"
            yield failed(workload.subject, text, seen, key=key, cause=cause)
