"""Where a workload's pods may run, what is free there, and what one of them asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from inferaudit.kube.quantity import gpu_quantities, is_gpu_resource, parse_quantity
from inferaudit.kube.selectors import node_admits, node_is_wanted
from inferaudit.kube.types import Node, NodePod, Workload

PRODUCT_LABELS = (
    "nvidia.com/gpu.product",
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    "eks.amazonaws.com/instance-gpu-name",
    "amd.com/gpu.product-name",
)
_SPOT = (
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("karpenter.sh/capacity-type", "spot"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)


def pod_spec(workload: Workload) -> Mapping[str, Any]:
    """The spec of the workload's pods."""
    return workload.template.get("spec") or {}


def wanted_nodes(workload: Workload, nodes: Iterable[Node]) -> list[Node]:
    """Nodes that selector and required affinity admit; for a GPU workload, only those that have its GPUs.

    Taints and cordons are not looked at, so that a missing toleration can be told from a missing node.
    """
    spec = pod_spec(workload)
    return [node for node in nodes if node_is_wanted(spec, node) and _has_gpus(workload, node)]


def usable_nodes(workload: Workload, nodes: Iterable[Node]) -> list[Node]:
    """Nodes on which a pod of the workload may be placed: selector, affinity, taints, cordon, kind of GPU."""
    spec = pod_spec(workload)
    return [node for node in nodes if node_admits(spec, node) and _has_gpus(workload, node)]


def _has_gpus(workload: Workload, node: Node) -> bool:
    # DRA devices are not in a node's capacity, so that a claim cannot be held against it.
    wanted = [name for name in workload.gpu_resources if name != "resource.k8s.io"]
    have = {**gpu_quantities(node.capacity), **gpu_quantities(node.allocatable)}
    return all(name in have for name in wanted)


def is_gpu_node(node: Node) -> bool:
    """True for a node with accelerators, advertised or said by its labels."""
    return bool(gpu_quantities(node.capacity)) or node.labels.get("nvidia.com/gpu.present") == "true"


def gpu_product(node: Node) -> str | None:
    """The product of a node's GPUs, by the first label that says it."""
    return next((node.labels[label] for label in PRODUCT_LABELS if node.labels.get(label)), None)


def pinned_products(workload: Workload) -> tuple[str, ...]:
    """The products that the pod's own selector or required affinity names; empty where it names none."""
    spec = pod_spec(workload)
    selector = spec.get("nodeSelector") or {}
    pinned = [str(selector[label]) for label in PRODUCT_LABELS if selector.get(label)]
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    terms = required.get("nodeSelectorTerms") or ()
    named = [
        [
            str(value)
            for e in term.get("matchExpressions") or ()
            if _names_products(e)
            for value in e.get("values") or ()
        ]
        for term in terms
    ]
    if not pinned and all(named):  # terms are alternatives: one that names none lets any product in
        pinned = [product for products in named for product in products]
    return tuple(dict.fromkeys(pinned))


def _names_products(expression: Mapping[str, Any]) -> bool:
    return expression.get("key") in PRODUCT_LABELS and expression.get("operator") == "In"


def is_spot(node: Node) -> bool:
    """True for a node that the provider may take away at short notice."""
    return any(node.labels.get(label, "").lower() == value.lower() for label, value in _SPOT)


def ready(node: Node) -> bool:
    """True unless the node's Ready condition says otherwise; a node without conditions is taken as it is."""
    return all(c.status == "True" for c in node.conditions if c.type == "Ready")


def free_gpus(workload: Workload, nodes: Iterable[Node], pods: Sequence[NodePod]) -> dict[str, int]:
    """Unallocated GPUs of the workload's kind by node, over the ready nodes it may use."""
    resources = [name for name in workload.gpu_resources if name != "resource.k8s.io"]
    free = {}
    for node in usable_nodes(workload, nodes):
        if ready(node):
            have = gpu_quantities(node.allocatable)
            here = [pod for pod in pods if pod.node == node.name and pod.phase not in ("Succeeded", "Failed")]
            used = {name: sum(pod.gpus.get(name, 0) for pod in here) for name in resources}
            free[node.name] = sum(max(have.get(name, 0) - used[name], 0) for name in resources)
    return free


def placeable(free: Mapping[str, int], gpus_per_pod: int) -> int:
    """How many more pods fit; a pod's GPUs must all be on one node."""
    return sum(count // gpus_per_pod for count in free.values()) if gpus_per_pod else 0


def pod_requests(workload: Workload) -> dict[str, Fraction]:
    """What the scheduler counts for one pod, by resource, in base units (cores, bytes, pieces).

    Containers and native side-cars add up; an init container counts where it alone asks for more. A limit without a
    request is the request.
    """
    spec = pod_spec(workload)
    total: dict[str, Fraction] = {}
    for container in spec.get("containers") or ():
        for name, value in container_requests(container).items():
            total[name] = total.get(name, Fraction(0)) + value
    for container in spec.get("initContainers") or ():
        for name, value in container_requests(container).items():
            if container.get("restartPolicy") == "Always":
                total[name] = total.get(name, Fraction(0)) + value
            else:
                total[name] = max(total.get(name, Fraction(0)), value)
    return total


def container_requests(container: Mapping[str, Any]) -> dict[str, Fraction]:
    """Requests of one container, limits standing in where there is no request."""
    resources = container.get("resources") or {}
    merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    parsed = {name: parse_quantity(value) for name, value in merged.items()}
    return {name: value for name, value in parsed.items() if value is not None}


def limit_range_defaults(quotas: Iterable[Mapping[str, Any]], field: str) -> dict[str, Any]:
    """What LimitRanges give a container that says nothing: `field` is ``default`` (limits) or ``defaultRequest``."""
    given: dict[str, Any] = {}
    for obj in quotas:
        if obj.get("kind") == "LimitRange":
            for limit in (obj.get("spec") or {}).get("limits") or ():
                if limit.get("type") == "Container":
                    given |= container_defaults(limit)[field]
    return given


def container_defaults(limit: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """``default`` and ``defaultRequest`` of one entry of a LimitRange, as the API server completes them.

    ``max`` stands in for a missing default limit; that, or else ``min``, for a missing default request:
    SetDefaults_LimitRangeItem in k8s.io/kubernetes/pkg/apis/core/v1.
    """
    limits = {**(limit.get("max") or {}), **(limit.get("default") or {})}
    requests = {**(limit.get("min") or {}), **limits, **(limit.get("defaultRequest") or {})}
    return {"default": limits, "defaultRequest": requests}


def with_defaults(
    resources: Mapping[str, Any], defaults: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Limits and requests of a container once admission has completed them from ``default`` and ``defaultRequest``.

    A limit of its own is its request too; a default limit is not.
    """
    own_limits, own_requests = resources.get("limits") or {}, resources.get("requests") or {}
    return {**defaults["default"], **own_limits}, {**defaults["defaultRequest"], **own_limits, **own_requests}


def unscoped_quotas(quotas: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The ResourceQuotas that count every pod of the namespace; one with a scope counts some, and is left out."""
    specs = ((obj, obj.get("spec") or {}) for obj in quotas if obj.get("kind") == "ResourceQuota")
    return [obj for obj, spec in specs if not spec.get("scopes") and not spec.get("scopeSelector")]


def gpu_quota(quotas: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, str]]:
    """The smallest hard limit of GPUs by resource, and the ResourceQuota's name; quotas with scopes are left out."""
    found: dict[str, tuple[int, str]] = {}
    for obj in unscoped_quotas(quotas):
        name = str((obj.get("metadata") or {}).get("name"))
        for key, value in ((obj.get("spec") or {}).get("hard") or {}).items():
            resource = key.removeprefix("requests.").removeprefix("limits.")
            amount = parse_quantity(value)
            if is_gpu_resource(resource) and amount is not None:
                found[resource] = min(found.get(resource, (int(amount), name)), (int(amount), name))
    return found
