from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.kube.quantity import gpu_quantities
from inferaudit.kube.selectors import selects
from inferaudit.kube.types import Node, Workload
from inferaudit.kube.workloads import template_labels
from inferaudit.no_place import nowhere
from inferaudit.node_growth import KARPENTER_LABEL, autoscaler_status, groups_of
from inferaudit.placement import gpu_quota, placeable, pod_spec, ready, usable_nodes
from inferaudit.scaling import scalers_of


@check(
    title="GPUs exist for the largest size",
    severity=Severity.MEDIUM,
    needs=("workload", "service.autoscalers", "cluster.nodes"),
    optional=("service.quotas", "cluster.crds", "cluster.autoscaler"),
    remediation=(
        "Lower the maximum to the GPUs there are, or make sure that the node pool and the quota grow that far."
    ),
    references=("https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/",),
)
def maximum(snapshot: Snapshot, *, extra_gpus: int = 0) -> Iterator[Judgement]:
    """Replicas that the autoscaler asks for and nobody can place are pending pods at the peak of the load.

    Counted are all GPUs of the nodes that the workload may use, as if they were free, and the namespace's quota; also
    those of nodes that the Cluster Autoscaler's status says it may add. Where another autoscaler adds nodes, raise
    `extra_gpus`. Karpenter is recognised, and how far it goes is unknown.
    """
    workload = snapshot.fact("workload")
    scalers = scalers_of(snapshot.fact("service.autoscalers"))
    nodes = snapshot.fact("cluster.nodes")
    quota = gpu_quota(snapshot.fact_or("service.quotas", []))
    usable = [node for node in usable_nodes(workload, nodes) if ready(node)]
    apart, grown = _one_a_node(workload), _grown_by(usable, snapshot)
    more_pods, more_nodes = _addable(workload, usable, snapshot)
    room = {n.name: sum(gpu_quantities(n.allocatable).get(r, 0) for r in workload.gpu_resources) for n in usable}
    for scaler in scalers:
        needed = scaler.maximum * workload.gpus_per_pod * workload.pods_per_replica
        fits = placeable(room, workload.gpus_per_pod) + extra_gpus // max(workload.gpus_per_pod, 1)
        fits += more_pods
        hard = [hard for name, (hard, _) in quota.items() if name in workload.gpu_resources]
        have = Evidence("GPUs of the nodes", room, f"{needed} for {scaler.maximum} replicas")
        allowed = Evidence("GPU quota", hard, f">= {needed}")
        if not workload.gpus_per_pod or "resource.k8s.io" in workload.gpu_resources:
            yield not_applicable(scaler.subject, "its pods ask for no GPUs that nodes advertise", have)
        elif fits < scaler.maximum * workload.pods_per_replica and grown:
            text = f"{scaler.maximum} replicas are its maximum, {fits} pods fit now, and {grown} may add nodes"
            yield unknown(scaler.subject, f"{text}: how many, is not in view", have)
        elif fits < scaler.maximum * workload.pods_per_replica:
            snapshot.require_read("cluster.crds", "cluster.autoscaler")
            text = f"{scaler.maximum} replicas are its maximum and {fits} pods fit"
            yield failed(scaler.subject, text, have, cause=nowhere(workload, nodes))
        elif hard and min(hard) < needed:
            short = min(hard) < (workload.replicas or 0) * workload.gpus_per_pod * workload.pods_per_replica
            cause = ("scheduling-quota", workload.subject) if short else None
            text = f"{needed} GPUs at its maximum and a quota of {min(hard)}"
            yield failed(scaler.subject, text, allowed, cause=cause)
        elif apart and len(usable) + more_nodes < scaler.maximum and not grown:
            snapshot.require_read("cluster.crds", "cluster.autoscaler")
            text = f"{scaler.maximum} replicas are its maximum, one a node by podAntiAffinity, and {len(usable)} nodes"
            yield failed(scaler.subject, text, Evidence("nodes", [n.name for n in usable], f">= {scaler.maximum}"))
        elif (hidden := snapshot.error("service.quotas")) is not None:
            text = f"{scaler.maximum} replicas fit the nodes; whether a quota allows them is not in view"
            yield unknown(scaler.subject, f"{text}: {hidden.reason}", have)
        else:
            yield passed(scaler.subject, f"{scaler.maximum} replicas fit", have)


def _one_a_node(workload: Workload) -> bool:
    """Whether required anti-affinity keeps every two of its pods on different nodes."""
    affinity = (pod_spec(workload).get("affinity") or {}).get("podAntiAffinity") or {}
    return any(
        term.get("topologyKey") == "kubernetes.io/hostname"
        and selects(term.get("labelSelector"), template_labels(workload.template))
        for term in affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    )


def _addable(workload: Workload, usable: list[Node], snapshot: Snapshot) -> tuple[int, int]:
    """What the Cluster Autoscaler may still add to the groups of the usable nodes: pods that fit there, and nodes."""
    known = snapshot.error("cluster.autoscaler") is None
    status = autoscaler_status(snapshot.fact("cluster.autoscaler")) if known else None
    pods = nodes = 0
    for group, node in groups_of(usable, status).values():
        gpus = sum(gpu_quantities(node.allocatable).get(name, 0) for name in workload.gpu_resources)
        nodes += group.spare or 0
        pods += (group.spare or 0) * placeable({node.name: gpus}, workload.gpus_per_pod)
    return pods, nodes


def _grown_by(usable: list[Node], snapshot: Snapshot) -> str:
    """Who adds nodes of this kind, as far as objects show it."""
    if any(KARPENTER_LABEL in node.labels for node in usable):
        return "Karpenter"
    served = snapshot.fact_or("cluster.crds", [])
    return "Karpenter" if not usable and any(each.group == "karpenter.sh" for each in served) else ""
