"""The pod that looks at one node's GPUs: its manifest, and what its status says of its end. Pure.

It claims no GPU, mounts nothing of the host and has no privilege: the container runtime shows it the GPUs because two
variables ask for that (https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from inferaudit.kube.types import Node

LIFETIME_S = 120
RUNTIME_CLASS = "nvidia"
_LABEL = "inferaudit.dev/probe"
# The kubelet tries these again and again; for a look that lasts seconds the first answer stands.
_HOPELESS = re.compile(r"ImagePull|ErrImage|InvalidImage|CreateContainer|RunContainerError|CrashLoop|StartError")


def probe_pod(name: str, run: str, namespace: str, node: Node, image: str, *, runtime_class: bool) -> dict[str, Any]:
    """The manifest; `run` labels all pods of one audit. It meets the Pod Security level ``restricted``."""
    tolerations = [
        {"key": taint.key, "operator": "Exists", "effect": taint.effect}
        for taint in node.taints
        if taint.effect in ("NoSchedule", "NoExecute")
    ]
    if node.unschedulable:
        tolerations.append({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"})
    this_node = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node.name]}]}
    resources = {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "64Mi"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/name": "inferaudit-probe",
                "app.kubernetes.io/managed-by": "inferaudit",
                _LABEL: run,
            },
            "annotations": {"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFETIME_S,
            "terminationGracePeriodSeconds": 2,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            **({"runtimeClassName": RUNTIME_CLASS} if runtime_class else {}),
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [this_node]}}
            },
            "tolerations": tolerations,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "args": [
                        *("collect", "--gpus", "local", "--gpus-node", node.name),
                        *("--scope", "gpu", "--snapshot", "-", "--quiet"),
                    ],
                    "env": [
                        {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"},
                        {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "utility"},
                    ],
                    "resources": {"requests": resources, "limits": {**resources, "cpu": "1"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  # the pod's own
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "32Mi"}}],
        },
    }


def ended(pod: Mapping[str, Any]) -> bool:
    """True once the pod has run to its end, well or not."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def hopeless(pod: Mapping[str, Any]) -> str:
    """Why a pod that has not ended never will, in words of the cluster; "" while it may."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if _HOPELESS.search(str(waiting.get("reason", ""))):
            return f"{waiting.get('reason')}: {waiting.get('message', '')}".strip(": ")
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return f"not scheduled: {condition.get('message', '')}".strip(": ")
    return ""


def last_words(pod: Mapping[str, Any]) -> str:
    """How the container ended, for a pod that left no facts."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        end = (container.get("state") or {}).get("terminated") or {}
        if end:
            said = f": {end['message']}" if end.get("message") else ""
            return f"exit code {end.get('exitCode')}, {end.get('reason', 'no reason')}{said}"
    return str(status.get("message") or status.get("reason") or "it did not say why")
