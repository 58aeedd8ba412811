"""Plays the controllers: from what was applied to what a cluster would hold after a minute. Pure, no cluster.

Much less than the real thing: enough that objects agree with each other (pods with nodes, endpoints with selectors,
used quota with requests), so that a fault in one object shows where it would show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .patches import Object

HASH = "6446cf4886"
STARTED = "2026-11-22T08:00:00Z"
READY = "2026-11-22T08:00:45Z"  # weights come from a volume: less than a minute
SUFFIXES = ("96sbw", "fsjlp", "qtr5q", "x2m8d", "k7v4n", "b9z6t", "w5j3c", "r8p2h")
HEALTHY_NODE = {
    "MemoryPressure": ("False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
}


def of_kind(objects: Iterable[Object], kind: str) -> list[Object]:
    """All objects of one kind."""
    return [obj for obj in objects if obj["kind"] == kind]


def start(objects: list[Object]) -> list[Object]:
    """With node conditions, bound claims, ReplicaSets and pods, the latter scheduled and Ready where they fit."""
    objects = [_stamped(obj) for obj in objects]
    for node in of_kind(objects, "Node"):
        node["status"].setdefault("conditions", [_condition(t, *said) for t, said in HEALTHY_NODE.items()])
    for claim in of_kind(objects, "PersistentVolumeClaim"):
        claim.setdefault("status", _claim_status(claim, objects))
    made: list[Object] = []
    for daemon_set in of_kind(objects, "DaemonSet"):
        made += _daemon_pods(daemon_set, of_kind(objects, "Node"))
    for deployment in of_kind(objects, "Deployment"):
        made += _deployment_pods(deployment, of_kind(objects, "Node"), made)
    return [*objects, *made]


def settle(objects: list[Object]) -> list[Object]:
    """With the statuses that follow from the pods: owners, endpoints, budgets, quotas."""
    pods = of_kind(objects, "Pod")
    objects = [*objects, *(_endpoints(service, objects) for service in of_kind(objects, "Service"))]
    for obj in objects:
        status = _STATUS.get(obj["kind"])
        if status is not None:
            obj["status"] = {**status(obj, pods), **(obj.get("status") or {})}
    return objects


def _stamped(obj: Object) -> Object:
    meta = obj["metadata"]
    meta.setdefault("creationTimestamp", "2026-11-01T00:00:00Z")
    meta.setdefault("uid", f"uid-{obj['kind'].lower()}-{meta['name']}")
    meta.setdefault("generation", 1)
    if obj["kind"] == "Namespace":
        meta.setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", meta["name"])
        obj.setdefault("status", {"phase": "Active"})
    if obj["kind"] == "Secret":  # what a redacted dump keeps of it
        obj.setdefault("type", "Opaque")
    return obj


def _condition(kind: str, status: str, reason: str = "", message: str = "", at: str = STARTED) -> Object:
    said = {"type": kind, "status": status, "reason": reason, "message": message}
    return {key: value for key, value in said.items() if value} | {"lastTransitionTime": at}


def _claim_status(claim: Object, objects: list[Object]) -> Object:
    volumes = {volume["metadata"]["name"]: volume for volume in of_kind(objects, "PersistentVolume")}
    volume = volumes.get(claim["spec"].get("volumeName", ""))
    if volume is None:
        return {"phase": "Pending"}
    return {"phase": "Bound", "accessModes": claim["spec"]["accessModes"], "capacity": volume["spec"]["capacity"]}


def _daemon_pods(owner: Object, nodes: list[Object]) -> list[Object]:
    spec = owner["spec"]["template"]["spec"]
    chosen = [node for node in nodes if _selected(spec, node) and not _untolerated(spec, node)]
    name = owner["metadata"]["name"]
    return [_pod(owner, owner, f"{name}-{node['metadata']['name']}", node) for node in chosen]


def _deployment_pods(owner: Object, nodes: list[Object], others: list[Object]) -> list[Object]:
    meta, spec = owner["metadata"], owner["spec"]
    labels = {**spec["template"]["metadata"].get("labels", {}), "pod-template-hash": HASH}
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta['name']}-{HASH}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {"deployment.kubernetes.io/revision": "1", **meta.get("annotations", {})},
            "ownerReferences": [_owner(owner)],
        },
        "spec": {
            "replicas": spec.get("replicas", 1),
            "selector": {"matchLabels": {**spec["selector"]["matchLabels"], "pod-template-hash": HASH}},
            "template": {**spec["template"], "metadata": {**spec["template"]["metadata"], "labels": labels}},
        },
    }
    _stamped(replica_set)
    pods: list[Object] = []
    for suffix in SUFFIXES[: spec.get("replicas", 1)]:
        node = _schedule(spec["template"]["spec"], nodes, [*others, *pods], pods)
        pods.append(_pod(replica_set, owner, f"{replica_set['metadata']['name']}-{suffix}", node))
    return [replica_set, *pods]


def _owner(obj: Object) -> Object:
    meta = obj["metadata"]
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod(owner: Object, template_of: Object, name: str, node: Object | None) -> Object:
    template = template_of["spec"]["template"]
    labels = dict(
        owner["metadata"]["labels"] if owner["kind"] == "ReplicaSet" else template["metadata"].get("labels", {})
    )
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
            "creationTimestamp": STARTED,
            "ownerReferences": [_owner(owner)],
        },
        "spec": {**template["spec"], **({"nodeName": node["metadata"]["name"]} if node else {})},
        "status": _running(template["spec"], name) if node else _unscheduled(),
    }
    return _stamped(pod)


def _running(spec: Mapping[str, Any], name: str) -> Object:
    true = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled")
    return {
        "phase": "Running",
        "podIP": f"10.244.0.{sum(name.encode()) % 250 + 1}",
        "qosClass": "Burstable",
        "startTime": STARTED,
        "conditions": [_condition(each, "True", at=READY if "Ready" in each[-5:] else STARTED) for each in true],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": container["image"],
                "ready": True,
                "started": True,
                "restartCount": 0,
                "lastState": {},
                "state": {"running": {"startedAt": STARTED}},
            }
            for container in spec["containers"]
        ],
    }


def _unscheduled() -> Object:
    message = "0/5 nodes are available: 5 node(s) didn't match Pod's node affinity/selector."
    return {"phase": "Pending", "conditions": [_condition("PodScheduled", "False", "Unschedulable", message)]}


def _schedule(spec: Mapping[str, Any], nodes: list[Object], placed: list[Object], own: list[Object]) -> Object | None:
    """The fitting node with the fewest of our pods, then the fewest at all."""

    def load(pods: list[Object], node: Object) -> int:
        return sum(pod["spec"].get("nodeName") == node["metadata"]["name"] for pod in pods)

    def free(node: Object) -> float:
        here = [pod for pod in placed if pod["spec"].get("nodeName") == node["metadata"]["name"]]
        return float(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) - sum(
            map(_gpus, (p["spec"] for p in here))
        )

    fits = [n for n in nodes if _selected(spec, n) and not _untolerated(spec, n) and free(n) >= _gpus(spec)]
    return min(fits, key=lambda node: (load(own, node), load(placed, node)), default=None)


def _gpus(spec: Mapping[str, Any]) -> float:
    limits = (container.get("resources", {}).get("limits", {}) for container in spec["containers"])
    return sum(float(each.get("nvidia.com/gpu", 0)) for each in limits)


def _selected(spec: Mapping[str, Any], node: Object) -> bool:
    labels = node["metadata"].get("labels", {})
    return all(labels.get(key) == value for key, value in (spec.get("nodeSelector") or {}).items())


def _untolerated(spec: Mapping[str, Any], node: Object) -> bool:
    return any(
        taint["effect"] != "PreferNoSchedule" and not any(_tolerates(t, taint) for t in spec.get("tolerations") or ())
        for taint in node["spec"].get("taints") or ()
    )


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", "")


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
            "ownerReferences": [_owner(service)],
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
    return _stamped(slice_)


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
        _condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        if enough
        else _condition(
            "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
        ),
        _condition("Progressing", "True", "NewReplicaSetAvailable" if enough else "ReplicaSetUpdated"),
    ]
    counts = {"replicas": len(own), "updatedReplicas": len(own), "readyReplicas": up, "availableReplicas": up}
    missing = {} if enough else {"unavailableReplicas": wanted - up}
    return {"observedGeneration": obj["metadata"]["generation"], **counts, **missing, "conditions": conditions}


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
    condition = _condition(
        "DisruptionAllowed", "True" if allowed else "False", "SufficientPods" if allowed else "InsufficientPods"
    )
    return {
        "currentHealthy": up,
        "desiredHealthy": wanted,
        "disruptionsAllowed": allowed,
        "expectedPods": len(own),
        "observedGeneration": 1,
        "conditions": [condition],
    }


def _share(value: int | str, of: int) -> int:
    """A number or a percentage, rounded up."""
    return -(-of * int(value.rstrip("%")) // 100) if isinstance(value, str) else value


def _quota_status(obj: Object, pods: list[Object]) -> Object:
    own = [pod for pod in pods if pod["metadata"]["namespace"] == obj["metadata"]["namespace"]]
    used = {
        "requests.nvidia.com/gpu": sum(_gpus(pod["spec"]) for pod in own),
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
    "PodDisruptionBudget": _budget_status,
    "ResourceQuota": _quota_status,
}
