from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.placement import gpu_product, usable_nodes


@check(
    title="GPUs are not shared by time slicing",
    severity=Severity.MEDIUM,
    needs=("workload", "cluster.nodes"),
    remediation=(
        "Give the service whole GPUs or MIG slices: turn time slicing off on its nodes, or select nodes without it."
    ),
    references=("https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/gpu-sharing.html",),
)
def gpu_sharing(snapshot: Snapshot) -> Iterator[Judgement]:
    """With time slicing several pods take turns on one GPU and share its memory without any wall between them.

    A latency objective cannot be kept when a stranger's kernel runs first.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    if not workload.uses_gpu:
        yield not_applicable(workload.subject, "serves on CPU", Evidence("resources", None, "a GPU workload"))
        return
    for node in usable_nodes(workload, nodes):
        strategy = node.labels.get("nvidia.com/gpu.sharing-strategy")
        product = gpu_product(node) or ""
        seen = Evidence("metadata.labels", {"sharing-strategy": strategy, "product": product}, "none")
        if strategy in ("time-slicing", "mps") or product.endswith("-SHARED"):
            replicas = node.labels.get("nvidia.com/gpu.replicas", "several")
            yield failed(f"node/{node.name}", f"each GPU is given out {replicas} times ({strategy or 'shared'})", seen)
        elif strategy is None and not product:
            yield unknown(f"node/{node.name}", "no label says whether its GPUs are shared", seen)
        else:
            yield passed(f"node/{node.name}", "its GPUs are not shared", seen)
