from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.placement import wanted_nodes


@check(
    title="GPU nodes are kept for GPU workloads",
    severity=Severity.MEDIUM,
    needs=("workload", "cluster.nodes"),
    remediation="Taint the GPU nodes, for example `nvidia.com/gpu=present:NoSchedule`.",
    references=("https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",),
)
def gpu_taints(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without a taint any pod may fill a GPU node's CPU and memory, and the GPU beside it cannot be given to anybody.

    Judged on the nodes that the workload may use.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    if not workload.uses_gpu:
        yield not_applicable(workload.subject, "serves on CPU", Evidence("resources", None, "a GPU workload"))
        return
    for node in wanted_nodes(workload, nodes):
        taints = [f"{t.key}={t.value}:{t.effect}" for t in node.taints if t.effect in ("NoSchedule", "NoExecute")]
        kept = [t for t in taints if not t.startswith("node.kubernetes.io/")]
        seen = Evidence("spec.taints", taints, "a NoSchedule taint")
        if kept:
            yield passed(f"node/{node.name}", f"is kept by {kept[0]}", seen)
        else:
            yield failed(f"node/{node.name}", "any pod may be placed on this GPU node", seen)
