"""Who adds nodes when pods need them, and how many more: what the Cluster Autoscaler writes into its status. Pure.

Written since 1.30 as YAML, before as text: https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md
A node belongs to a group by its name (GKE, AKS) or by the label that holds the pool's name (EKS, kOps, GKE).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from inferaudit.kube.types import Node

_POOL_LABELS = (
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "agentpool",
    "kops.k8s.io/instancegroup",
    "worker.gardener.cloud/pool",
)
KARPENTER_LABEL = "karpenter.sh/nodepool"


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """A group of nodes that the Cluster Autoscaler sizes. Counts are nodes, None where the status does not tell.

    `scale_up` is ``NoActivity``, ``InProgress`` or ``Backoff``; `error` says why it backed off.
    """

    name: str
    healthy: bool
    target: int | None
    maximum: int | None
    scale_up: str = ""
    error: str = ""

    @property
    def spare(self) -> int | None:
        """Nodes that it may still add; None where that is not known."""
        if self.target is None or self.maximum is None:
            return None
        return max(0, self.maximum - self.target)


@dataclass(frozen=True, slots=True)
class AutoscalerStatus:
    """What the status says. `running` is its own word for its state, empty where it says none."""

    running: str
    groups: tuple[NodeGroup, ...]


def autoscaler_status(configmap: Mapping[str, Any] | None) -> AutoscalerStatus | None:
    """The status in ``cluster.autoscaler``; None where there is none, or none that can be read."""
    text = ((configmap or {}).get("data") or {}).get("status")
    if not isinstance(text, str) or not text.strip():
        return None
    if re.search(r"(?m)^NodeGroups:|^Cluster-wide:", text):
        return AutoscalerStatus("Running", tuple(_of_text(text)))
    try:
        status = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    if not isinstance(status, Mapping) or not ({"autoscalerStatus", "nodeGroups"} & set(status)):
        return None
    groups = [_of_yaml(each) for each in status.get("nodeGroups") or () if isinstance(each, Mapping)]
    return AutoscalerStatus(str(status.get("autoscalerStatus") or ""), tuple(groups))


def _of_yaml(group: Mapping[str, Any]) -> NodeGroup:
    health, growth = group.get("health") or {}, group.get("scaleUp") or {}
    backoff = growth.get("backoffInfo") or {}
    said = [str(backoff[key]) for key in ("errorCode", "errorMessage") if backoff.get(key)]
    target, most = health.get("cloudProviderTarget"), health.get("maxSize")
    return NodeGroup(
        str(group.get("name") or ""),
        health.get("status") != "Unhealthy",
        # A target of nothing is left out, as Go leaves out zeros.
        (target if isinstance(target, int) else 0) if health else None,
        most if isinstance(most, int) else None,
        str(growth.get("status") or ""),
        ": ".join(said),
    )


def _of_text(text: str) -> Iterable[NodeGroup]:
    for part in re.split(r"(?m)^\s*Name:\s+", text)[1:]:
        name, _, rest = part.partition("\n")
        health = re.search(r"Health:\s+(\w+)", rest)
        target = re.search(r"cloudProviderTarget=(\d+) \(minSize=\d+, maxSize=(\d+)\)", rest)
        growth = re.search(r"ScaleUp:\s+(\w+)", rest)
        yield NodeGroup(
            name.strip(),
            health is None or health[1] != "Unhealthy",
            int(target[1]) if target else None,
            int(target[2]) if target else None,
            growth[1] if growth else "",
        )


def groups_of(nodes: Iterable[Node], status: AutoscalerStatus | None) -> dict[str, tuple[NodeGroup, Node]]:
    """The groups that `nodes` belong to, by name, each with one of its nodes."""
    found: dict[str, tuple[NodeGroup, Node]] = {}
    for node in nodes:
        for group in status.groups if status else ():
            if group.name not in found and _belongs(node, group):
                found[group.name] = (group, node)
    return found


def _belongs(node: Node, group: NodeGroup) -> bool:
    name = group.name.rpartition("/")[2].removesuffix("-grp")
    if name and re.match(rf"{re.escape(name)}(-|\d|$)", node.name):
        return True
    pools = {node.labels[label] for label in _POOL_LABELS if node.labels.get(label)}
    return any(re.search(rf"(^|[-_.]){re.escape(pool)}([-_.]|$)", name) for pool in pools)
