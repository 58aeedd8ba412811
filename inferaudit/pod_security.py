"""What the Pod Security Standards ask of a pod: what a namespace's level would refuse, one line each. Pure.

https://kubernetes.io/docs/concepts/security/pod-security-standards/; only what a template itself shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]

_BASELINE_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
# Kinds of volumes that the level restricted has none of; a kind that is newer than this list is not held against a pod.
_RESTRICTED_VOLUMES = frozenset(
    {
        "hostPath", "nfs", "iscsi", "fc", "flexVolume", "cephfs", "glusterfs", "rbd", "azureFile", "azureDisk",
        "awsElasticBlockStore", "gcePersistentDisk", "cinder", "gitRepo", "portworxVolume", "quobyte", "scaleIO",
        "storageos", "vsphereVolume", "flocker", "photonPersistentDisk",
    }
)  # fmt: skip


def refusals(level: str, spec: Object) -> list[str]:
    """Why a pod of this spec is refused where `level`, ``baseline`` or ``restricted``, holds. Empty: it is not."""
    if (spec.get("os") or {}).get("name") == "windows":
        return []
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    found = [*_baseline(spec, containers)]
    if level == "restricted":
        found += _restricted(spec, containers)
    return list(dict.fromkeys(found))


def _baseline(spec: Object, containers: list[Object]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field}: true"
    if any("hostPath" in volume for volume in spec.get("volumes") or ()):
        yield "a volume of hostPath"
    for container in containers:
        context = container.get("securityContext") or {}
        name = container.get("name")
        if context.get("privileged"):
            yield f"{name}: privileged"
        if extra := sorted({*((context.get("capabilities") or {}).get("add") or ())} - _BASELINE_CAPABILITIES):
            yield f"{name}: adds {', '.join(map(str, extra))}"
        if any(port.get("hostPort") for port in container.get("ports") or ()):
            yield f"{name}: a hostPort"


def _restricted(spec: Object, containers: list[Object]) -> Iterator[str]:
    of_pod = spec.get("securityContext") or {}
    for volume in spec.get("volumes") or ():
        for kind in sorted(_RESTRICTED_VOLUMES & set(volume)):
            yield f"a volume of {kind}"
    for container in containers:
        context, name = container.get("securityContext") or {}, container.get("name")
        capabilities = context.get("capabilities") or {}
        both = {**of_pod, **{key: value for key, value in context.items() if value is not None}}
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation is not false"
        if both.get("runAsNonRoot") is not True:
            yield f"{name}: runAsNonRoot is not true"
        if both.get("runAsUser") == 0:
            yield f"{name}: runAsUser is 0"
        if (both.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: no seccompProfile"
        if "ALL" not in (capabilities.get("drop") or ()):
            yield f"{name}: does not drop ALL capabilities"
        if {*(capabilities.get("add") or ())} - {"NET_BIND_SERVICE"}:
            yield f"{name}: adds capabilities"
