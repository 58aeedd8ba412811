"""Cluster-wide lists, decoded into the used fields alone: nodes, the pods on them, platform DaemonSets.

The same decoders read the API's bytes and the objects of a dump.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from inferaudit.decoding import converted
from inferaudit.kube.images import deployment_role, platform_role
from inferaudit.kube.quantity import gpu_quantities, millis, whole
from inferaudit.kube.selectors import node_is_wanted
from inferaudit.kube.types import Node, NodeCondition, NodePod, PlatformDaemonSet, PlatformDeployment, Taint, Workload
from inferaudit.redact import redact_text


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    creation_timestamp: str | None = None
    owner_references: list[dict[str, Any]] | None = None


class _NodeSpec(msgspec.Struct, rename="camel"):
    taints: list[Taint] | None = None
    unschedulable: bool | None = None
    provider_id: str | None = msgspec.field(default=None, name="providerID")


class _NodeInfo(msgspec.Struct, rename="camel"):
    kubelet_version: str = ""
    os_image: str = ""
    kernel_version: str = ""
    container_runtime_version: str = ""
    architecture: str = ""


class _NodeStatus(msgspec.Struct, rename="camel"):
    capacity: dict[str, str | int] | None = None
    allocatable: dict[str, str | int] | None = None
    conditions: list[NodeCondition] | None = None
    node_info: _NodeInfo | None = None


class WireNode(msgspec.Struct):
    """A Node as the API sends it, in the used fields."""

    metadata: _Meta
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


class _Resources(msgspec.Struct):
    requests: dict[str, str | int | float] | None = None
    limits: dict[str, str | int | float] | None = None


class _Container(msgspec.Struct, rename="camel"):
    resources: _Resources | None = None
    restart_policy: str | None = None


class _PodSpec(msgspec.Struct, rename="camel"):
    node_name: str | None = None
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    tolerations: list[dict[str, Any]] | None = None
    priority: int | None = None
    priority_class_name: str | None = None


class _PodStatus(msgspec.Struct):
    phase: str = ""


class WirePod(msgspec.Struct):
    """A Pod as the API sends it, in the used fields."""

    metadata: _Meta
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


class ListMeta(msgspec.Struct, rename="camel"):
    """Where a paged list goes on, and how much of it is left."""

    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class NodePage(msgspec.Struct):
    """One page of Nodes."""

    items: list[WireNode]
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)


class PodPage(msgspec.Struct):
    """One page of Pods."""

    items: list[WirePod]
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)


def node_of(wire: WireNode) -> Node:
    """The fact of one node."""
    info = wire.status.node_info or _NodeInfo()
    return Node(
        name=wire.metadata.name,
        labels=wire.metadata.labels or {},
        taints=wire.spec.taints or [],
        capacity={name: str(value) for name, value in (wire.status.capacity or {}).items()},
        allocatable={name: str(value) for name, value in (wire.status.allocatable or {}).items()},
        conditions=[
            msgspec.structs.replace(each, message=redact_text(each.message[:500]))
            for each in wire.status.conditions or []
        ],
        unschedulable=bool(wire.spec.unschedulable),
        created=wire.metadata.creation_timestamp,
        kubelet_version=info.kubelet_version,
        os_image=info.os_image,
        kernel_version=info.kernel_version,
        container_runtime=info.container_runtime_version,
        architecture=info.architecture,
        provider=(wire.spec.provider_id or "").partition(":")[0],
    )


def node_pod_of(wire: WirePod) -> NodePod:
    """The fact of one pod on a node."""
    owner = next((o for o in wire.metadata.owner_references or () if o.get("controller")), {})
    gpus: dict[str, int] = {}
    cpu = memory = 0
    for container in _running(wire.spec):
        resources = container.resources or _Resources()
        requests = {**(resources.limits or {}), **(resources.requests or {})}
        cpu += millis(requests.get("cpu")) or 0
        memory += whole(requests.get("memory")) or 0
        for name, count in gpu_quantities(requests).items():
            gpus[name] = gpus.get(name, 0) + count
    return NodePod(
        namespace=wire.metadata.namespace,
        name=wire.metadata.name,
        node=wire.spec.node_name or "",
        phase=wire.status.phase,
        owner_kind=str(owner.get("kind", "")),
        owner_name=str(owner.get("name", "")),
        gpus=gpus,
        cpu_millicores=cpu,
        memory_bytes=memory,
        tolerations=wire.spec.tolerations or [],
        priority=wire.spec.priority,
        priority_class=wire.spec.priority_class_name or "",
        labels=wire.metadata.labels or {},
    )


def _running(spec: _PodSpec) -> list[_Container]:
    """Containers that run while the pod serves: all, and init containers that restart (native side-cars)."""
    natives = [c for c in spec.init_containers or () if c.restart_policy == "Always"]
    return [*(spec.containers or ()), *natives]


def nodes_from(objects: Iterable[Mapping[str, Any]]) -> list[Node]:
    """Nodes from plain objects."""
    return [node_of(converted(obj, WireNode)) for obj in objects]


def node_pods_from(objects: Iterable[Mapping[str, Any]], names: frozenset[str]) -> list[NodePod]:
    """Pods of plain objects that lie on the named nodes."""
    pods = (node_pod_of(converted(obj, WirePod)) for obj in objects)
    return [pod for pod in pods if pod.node in names]


def serving_nodes(workload: Workload, nodes: Iterable[Node], hosts: frozenset[str]) -> list[str]:
    """Names of the nodes whose other pods matter: for GPUs every node that has the asked resource and that selectors
    admit; without GPUs those that host a pod of the service (`hosts`). Hosts always count."""
    spec = workload.template.get("spec") or {}
    wanted = set(hosts)
    if workload.uses_gpu:
        for node in nodes:
            have = gpu_quantities(node.allocatable) or gpu_quantities(node.capacity)
            asked = set(workload.gpu_resources) - {"resource.k8s.io"}
            if (asked & set(have) or (have and not asked)) and node_is_wanted(spec, node):
                wanted.add(node.name)
    return sorted(wanted)


def platform_daemon_set(obj: Mapping[str, Any]) -> PlatformDaemonSet:
    """What a DaemonSet is there for."""
    spec = ((obj.get("spec") or {}).get("template") or {}).get("spec") or {}
    images = [str(c.get("image", "")) for c in spec.get("containers") or ()]
    status, meta = obj.get("status") or {}, obj.get("metadata") or {}
    return PlatformDaemonSet(
        namespace=str(meta.get("namespace", "")),
        name=str(meta.get("name", "")),
        role=platform_role(str(meta.get("name", "")), images),
        images=images,
        desired=status.get("desiredNumberScheduled"),
        ready=status.get("numberReady"),
        node_selector=dict(spec.get("nodeSelector") or {}),
        tolerations=[dict(each) for each in spec.get("tolerations") or ()],
    )


def platform_deployments(objects: Iterable[Mapping[str, Any]]) -> list[PlatformDeployment]:
    """Those of `objects` that add nodes or compute costs."""
    found = []
    for obj in objects:
        spec, status, meta = obj.get("spec") or {}, obj.get("status") or {}, obj.get("metadata") or {}
        containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
        images, name = [str(c.get("image", "")) for c in containers], str(meta.get("name", ""))
        role = deployment_role(name, images)
        if role != "other":
            desired = spec.get("replicas")
            found.append(
                PlatformDeployment(
                    namespace=str(meta.get("namespace", "")),
                    name=name,
                    role=role,
                    images=images,
                    desired=desired if isinstance(desired, int) else 1,
                    ready=(status.get("readyReplicas") or 0) if status else None,
                )
            )
    return found
