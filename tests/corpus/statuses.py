"""The statuses that follow from the pods: owners, endpoints, budgets, quotas. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .controllers import HASH, condition, gpus, of_kind, owner_reference, stamped
from .patches import Object


def settle(objects: list[Object]) -> list[Object]:
    """With the statuses that follow from the pods: owners, endpoints, budgets, quotas."""
    pods = of_kind(objects, "Pod")
    objects = [*objects, *(_endpoints(service, objects) for service in of_kind(objects, "Service"))]
    for obj in objects:
        status = _STATUS.get(obj["kind"])
        if status is not None:
            obj["status"] = {**status(obj, pods), **(obj.get("status") or {})}
    return objects


def ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is True."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def _labelled(selector: Mapping[str, str] | None, pod: Object) -> bool:
    labels = pod["metadata"].get("labels", {})
    return bool(selector) and all(labels.get(key) == value for key, value in (selector or {}).items())


def _here(obj: Object, pods: list[Object], selector: Mapping[str, str] | None) -> list[Object]:
    namespace = obj["metadata"].get("namespace")
    return [pod for pod in pods if pod["metadata"]["namespace"] == namespace and _labelled(selector, pod)]


def _endpoints(service: Object, objects: list[Object]) -> Object:
    meta, spec = service["metadata"], service["spec"]
    nodes = {node["metadata"]["name"]: node for node in of_kind(objects, "Node")}
    pods = [pod for pod in _here(service, of_kind(objects, "Pod"), spec.get("selector")) if pod["spec"].get("nodeName")]
    ports = [(port, _port_number(port.get("targetPort", port["port"]), pods)) for port in spec.get("ports", ())]
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{meta['name']}-vn4g2",
            "namespace": meta["namespace"],
            "labels": {**meta.get("labels", {}), "kubernetes.io/service-name": meta["name"]},
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [pod["status"].get("podIP", "10.244.0.1")],
                "conditions": {"ready": ready(pod), "serving": ready(pod), "terminating": False},
                "nodeName": pod["spec"]["nodeName"],
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": meta["namespace"]},
                "zone": nodes[pod["spec"]["nodeName"]]["metadata"]["labels"].get("topology.kubernetes.io/zone", ""),
            }
            for pod in pods
        ],
        "ports": [
            {"name": port.get("name", ""), "port": number, "protocol": "TCP"} for port, number in ports if number
        ],
    }
    return stamped(slice_)


def _port_number(target: Any, pods: list[Object]) -> int | None:
    if isinstance(target, int):
        return target
    named = [
        p for pod in pods for c in pod["spec"]["containers"] for p in c.get("ports", ()) if p.get("name") == target
    ]
    return int(named[0]["containerPort"]) if named else None


def _of_owner(kind: str, obj: Object, pods: list[Object]) -> list[Object]:
    wanted = f"{obj['metadata']['name']}-{HASH}" if kind == "Deployment" else obj["metadata"]["name"]
    return [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == obj["metadata"]["namespace"]
        and any(owner["name"] == wanted for owner in pod["metadata"].get("ownerReferences", ()))
    ]


def _deployment_status(obj: Object, pods: list[Object]) -> Object:
    own = _of_owner(obj["kind"], obj, pods)
    up = sum(map(ready, own))
    wanted = obj["spec"].get("replicas", 1)
    enough = up >= wanted
    conditions = [
        condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        if enough
        else condition(
            "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
        ),
        condition("Progressing", "True", "NewReplicaSetAvailable" if enough else "ReplicaSetUpdated"),
    ]
    counts = {"replicas": len(own), "updatedReplicas": len(own), "readyReplicas": up, "availableReplicas": up}
    missing = {} if enough else {"unavailableReplicas": wanted - up}
    return {"observedGeneration": obj["metadata"]["generation"], **counts, **missing, "conditions": conditions}


def _stateful_set_status(obj: Object, pods: list[Object]) -> Object:
    own = _of_owner("StatefulSet", obj, pods)
    up = sum(map(ready, own))
    counts = {"replicas": len(own), "readyReplicas": up, "availableReplicas": up, "updatedReplicas": len(own)}
    return {**counts, "currentReplicas": len(own), "observedGeneration": obj["metadata"]["generation"]}


def _replica_set_status(obj: Object, pods: list[Object]) -> Object:
    own = _of_owner("ReplicaSet", obj, pods)
    up = sum(map(ready, own))
    return {"replicas": len(own), "readyReplicas": up, "availableReplicas": up, "observedGeneration": 1}


def _daemon_set_status(obj: Object, pods: list[Object]) -> Object:
    own = _of_owner("DaemonSet", obj, pods)
    up = sum(map(ready, own))
    return {
        "desiredNumberScheduled": len(own),
        "currentNumberScheduled": len(own),
        "updatedNumberScheduled": len(own),
        "numberReady": up,
        "numberAvailable": up,
        "numberMisscheduled": 0,
        "observedGeneration": 1,
    }


def _budget_status(obj: Object, pods: list[Object]) -> Object:
    spec = obj["spec"]
    own = _here(obj, pods, spec.get("selector", {}).get("matchLabels"))
    up = sum(map(ready, own))
    if "minAvailable" in spec:
        wanted = _share(spec["minAvailable"], len(own))
    else:
        wanted = max(0, len(own) - _share(spec.get("maxUnavailable", 1), len(own)))
    allowed = max(0, up - wanted)
    said = condition(
        "DisruptionAllowed", "True" if allowed else "False", "SufficientPods" if allowed else "InsufficientPods"
    )
    return {
        "currentHealthy": up,
        "desiredHealthy": wanted,
        "disruptionsAllowed": allowed,
        "expectedPods": len(own),
        "observedGeneration": 1,
        "conditions": [said],
    }


def _share(value: int | str, of: int) -> int:
    """A number or a percentage, rounded up."""
    return -(-of * int(value.rstrip("%")) // 100) if isinstance(value, str) else value


def _quota_status(obj: Object, pods: list[Object]) -> Object:
    own = [pod for pod in pods if pod["metadata"]["namespace"] == obj["metadata"]["namespace"]]
    used = {
        "requests.nvidia.com/gpu": sum(gpus(pod["spec"]) for pod in own),
        "requests.cpu": 8 * len(own),
        "requests.memory": f"{64 * len(own)}Gi",
        "limits.memory": f"{64 * len(own)}Gi",
        "persistentvolumeclaims": 1,
    }
    hard = obj["spec"]["hard"]
    return {
        "hard": hard,
        "used": {
            key: f"{used[key]:g}" if isinstance(used[key], float) else str(used[key]) for key in hard if key in used
        },
    }


_STATUS: dict[str, Callable[[Object, list[Object]], Object]] = {
    "Deployment": _deployment_status,
    "ReplicaSet": _replica_set_status,
    "DaemonSet": _daemon_set_status,
    "StatefulSet": _stateful_set_status,
    "PodDisruptionBudget": _budget_status,
    "ResourceQuota": _quota_status,
}
