from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.placement import wanted_nodes

_SYSTEM = frozenset({"kube-system", "kube-public", "kube-node-lease", "gpu-operator", "gke-managed-system"})


@check(
    title="No general workload runs on the GPU nodes",
    severity=Severity.MEDIUM,
    needs=("workload", "cluster.nodes", "cluster.node_pods"),
    remediation=(
        "Move these pods to general nodes: taint the GPU nodes, and remove tolerations that admit everything."
    ),
    references=("https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",),
)
def strangers(snapshot: Snapshot) -> Iterator[Judgement]:
    """A pod without a GPU on a GPU node takes CPU and memory that the GPUs beside it need.

    DaemonSets, static pods, system namespaces and the audited service itself are in order.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    if not workload.uses_gpu:
        yield not_applicable(workload.subject, "serves on CPU", Evidence("resources", None, "a GPU workload"))
        return
    pods = snapshot.fact("cluster.node_pods")
    for node in wanted_nodes(workload, nodes):
        strangers = [
            f"{pod.namespace}/{pod.name}"
            for pod in pods
            if pod.node == node.name
            and not pod.gpus
            and pod.owner_kind not in ("DaemonSet", "Node")
            and pod.phase not in ("Succeeded", "Failed")
            and pod.namespace not in _SYSTEM
            and not pod.labels.get("app.kubernetes.io/managed-by", "").startswith("inferaudit")
            and not (pod.namespace == workload.namespace and pod.name.startswith(f"{workload.name}-"))
        ]
        seen = Evidence("pods without a GPU", strangers[:10], "DaemonSets and system pods only")
        if strangers:
            yield failed(f"node/{node.name}", f"{len(strangers)} pods without a GPU run here", seen)
        else:
            yield passed(f"node/{node.name}", "only what belongs on a GPU node runs here", seen)
