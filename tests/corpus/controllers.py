"""Plays the controllers: from what was applied to what a cluster would hold after a minute. Pure, no cluster.

Much less than the real thing: enough that objects agree with each other (pods with nodes, endpoints with selectors,
used quota with requests), so that a fault in one object shows where it would show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    objects = [stamped(obj) for obj in objects]
    for node in of_kind(objects, "Node"):
        node["status"].setdefault("conditions", [condition(t, *said) for t, said in HEALTHY_NODE.items()])
    for claim in of_kind(objects, "PersistentVolumeClaim"):
        claim.setdefault("status", _claim_status(claim, objects))
    made: list[Object] = []
    for daemon_set in of_kind(objects, "DaemonSet"):
        made += _daemon_pods(daemon_set, of_kind(objects, "Node"))
    for deployment in of_kind(objects, "Deployment"):
        made += _deployment_pods(deployment, of_kind(objects, "Node"), made)
    for stateful_set in of_kind(objects, "StatefulSet"):
        made += _stateful_pods(stateful_set, of_kind(objects, "Node"), made)
    for group in of_kind(objects, "LeaderWorkerSet"):
        made += _group_pods(group, of_kind(objects, "Node"), made)
    return [*objects, *made]


def stamped(obj: Object) -> Object:
    """With what the API server adds on creation."""
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


def condition(kind: str, status: str, reason: str = "", message: str = "", at: str = STARTED) -> Object:
    """A condition as statuses hold them."""
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
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {
            "replicas": spec.get("replicas", 1),
            "selector": {"matchLabels": {**spec["selector"]["matchLabels"], "pod-template-hash": HASH}},
            "template": {**spec["template"], "metadata": {**spec["template"]["metadata"], "labels": labels}},
        },
    }
    stamped(replica_set)
    pods: list[Object] = []
    for suffix in SUFFIXES[: spec.get("replicas", 1)]:
        node = _schedule(spec["template"]["spec"], nodes, [*others, *pods], pods)
        pods.append(_pod(replica_set, owner, f"{replica_set['metadata']['name']}-{suffix}", node))
    return [replica_set, *pods]


def _stateful_pods(owner: Object, nodes: list[Object], others: list[Object]) -> list[Object]:
    """Pods, and the bound claim of each template for each of them."""
    meta, spec = owner["metadata"], owner["spec"]
    pods: list[Object] = []
    claims: list[Object] = []
    for number in range(spec.get("replicas", 1)):
        name = f"{meta['name']}-{number}"
        node = _schedule(spec["template"]["spec"], nodes, [*others, *pods], pods)
        pods.append(_pod(owner, owner, name, node))
        for template in spec.get("volumeClaimTemplates", ()):
            wanted = template["spec"]
            status = {
                "phase": "Bound",
                "accessModes": wanted["accessModes"],
                "capacity": wanted["resources"]["requests"],
            }
            head = {"name": f"{template['metadata']['name']}-{name}", "namespace": meta["namespace"]}
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": head, "spec": wanted}
            claims.append(stamped({**claim, "status": status}))
    return [*pods, *claims]


def _group_pods(owner: Object, nodes: list[Object], others: list[Object]) -> list[Object]:
    """The leader of every group and its workers, as the controller names and labels them."""
    name, spec = owner["metadata"]["name"], owner["spec"]
    both = spec["leaderWorkerTemplate"]
    pods: list[Object] = []
    for group in range(spec.get("replicas", 1)):
        for index in range(both.get("size", 1)):
            worker = both["workerTemplate"]
            template = both.get("leaderTemplate", worker) if index == 0 else worker
            node = _schedule(template["spec"], nodes, [*others, *pods], pods)
            called = f"{name}-{group}" + (f"-{index}" if index else "")
            pod = _pod(owner, {**owner, "spec": {"template": template}}, called, node)
            own = {"name": name, "group-index": str(group), "worker-index": str(index)}
            pod["metadata"]["labels"] |= {f"leaderworkerset.sigs.k8s.io/{key}": value for key, value in own.items()}
            maker = {"apiVersion": "apps/v1", "kind": "StatefulSet", "controller": True, "blockOwnerDeletion": True}
            made_by = name if index == 0 else f"{name}-{group}"
            pod["metadata"]["ownerReferences"] = [{**maker, "name": made_by, "uid": f"uid-statefulset-{made_by}"}]
            pods.append(pod)
    return pods


def owner_reference(obj: Object) -> Object:
    """What an object that `obj` made says of it."""
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
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {**template["spec"], **({"nodeName": node["metadata"]["name"]} if node else {})},
        "status": _running(template["spec"], name) if node else _unscheduled(),
    }
    return stamped(pod)


def _running(spec: Mapping[str, Any], name: str) -> Object:
    true = ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled")
    return {
        "phase": "Running",
        "podIP": f"10.244.0.{sum(name.encode()) % 250 + 1}",
        "qosClass": "Burstable",
        "startTime": STARTED,
        "conditions": [condition(each, "True", at=READY if each.endswith("Ready") else STARTED) for each in true],
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
    return {"phase": "Pending", "conditions": [condition("PodScheduled", "False", "Unschedulable", message)]}


def _schedule(spec: Mapping[str, Any], nodes: list[Object], placed: list[Object], own: list[Object]) -> Object | None:
    """The fitting node with the fewest of our pods, then the fewest at all."""

    def load(pods: list[Object], node: Object) -> int:
        return sum(pod["spec"].get("nodeName") == node["metadata"]["name"] for pod in pods)

    def free(node: Object) -> float:
        here = [pod for pod in placed if pod["spec"].get("nodeName") == node["metadata"]["name"]]
        return float(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) - sum(map(gpus, (p["spec"] for p in here)))

    fits = [n for n in nodes if _selected(spec, n) and not _untolerated(spec, n) and free(n) >= gpus(spec)]
    return min(fits, key=lambda node: (load(own, node), load(placed, node)), default=None)


def gpus(spec: Mapping[str, Any]) -> float:
    """GPUs that a pod is limited to."""
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
