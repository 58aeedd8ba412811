"""Why a workload's pods find no GPU: the finding that explains what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from inferaudit.kube.quantity import gpu_quantities
from inferaudit.kube.selectors import untolerated
from inferaudit.kube.types import Node, Workload
from inferaudit.placement import pod_spec, usable_nodes, wanted_nodes
from inferaudit.scaling import fenceposts

Cause = tuple[str, str]

_CORDON = "node.kubernetes.io/unschedulable"


def no_gpus_at_all(workload: Workload, nodes: Iterable[Node]) -> Cause | None:
    """The finding that no node of the cluster offers a GPU, where that is so and the workload asks nodes for one."""
    asks = set(workload.gpu_resources) - {"resource.k8s.io"}
    if asks and not any(gpu_quantities(node.allocatable) or gpu_quantities(node.capacity) for node in nodes):
        return "scheduling-device-plugin", workload.subject
    return None


def nowhere(workload: Workload, nodes: Iterable[Node]) -> Cause | None:
    """The finding that says why no node admits the workload; None where one does, or where none says it."""
    nodes = list(nodes)
    if not nodes or usable_nodes(workload, nodes):
        return None
    wanted = wanted_nodes(workload, nodes)
    if not wanted:
        return no_gpus_at_all(workload, nodes) or ("scheduling-nodes-match", workload.subject)
    given = pod_spec(workload).get("tolerations")
    if all(untolerated(given, node.taints) for node in wanted):
        return "scheduling-tolerations", workload.subject
    return None


def update_is_stuck(workload: Workload) -> Cause | None:
    """The finding that an update finds no free GPU, for a workload whose update must find one before anything ends."""
    strategy = (workload.object.get("spec") or {}).get("strategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    replicas = workload.replicas or 0
    _, unavailable = fenceposts(rolling, replicas)
    if workload.kind == "Deployment" and replicas and not unavailable and strategy.get("type") != "Recreate":
        return "rollout-surge-gpus", workload.subject
    return None


def uncordoned(node: Node) -> Node:
    """The node as it would be without its cordon."""
    taints = [taint for taint in node.taints if taint.key != _CORDON]
    return msgspec.structs.replace(node, unschedulable=False, taints=taints)
