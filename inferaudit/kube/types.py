"""What the Kubernetes facts are made of. Cluster-wide lists keep the used fields alone; numbers carry their unit."""

from __future__ import annotations

from typing import Any

import msgspec


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A controller above an object."""

    kind: str
    name: str
    group: str = ""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """The audited workload, whatever its kind.

    `object` is the API's object, `template` its pod template (of a bare Pod: itself). `replicas` is what the object
    asks for (1 where the API defaults it), None where it has no such number (DaemonSet). `pods_per_replica` is above 1
    for a LeaderWorkerSet. `source` is ``file:line`` when it came from a file.
    """

    kind: str
    namespace: str
    name: str
    subject: str
    replicas: int | None
    object: dict[str, Any]
    template: dict[str, Any]
    uses_gpu: bool
    gpus_per_pod: int
    group: str = ""
    gpu_resources: dict[str, int] = {}
    pods_per_replica: int = 1
    owners: list[Owner] = []
    source: str | None = None


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """Another workload of the namespace that looks like inference (an older version, a second model)."""

    kind: str
    namespace: str
    name: str
    subject: str
    replicas: int | None
    ready: int | None
    gpus_per_pod: int
    images: list[str]
    labels: dict[str, str] = {}


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A Secret the service refers to: its name and type, never its data.

    `found` None means that it could not be looked for. `keys` counts the entries, `key_names` are known only from
    a file.
    `made_by` names the object that creates it (ExternalSecret, Certificate), when the input shows one.
    """

    name: str
    namespace: str
    found: bool | None
    type: str | None = None
    keys: int | None = None
    key_names: list[str] | None = None
    made_by: str | None = None
    reason: str = ""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """An object that the workload names. `path` is where, within the workload; `found` None with the `reason`.

    `optional`: the workload says that it starts without it. `key` is the entry of it that must exist, when it names
    one; `key_found` is then whether it does. `like` is an object of the files that nobody names and that may be meant.
    """

    kind: str
    name: str
    namespace: str
    path: str
    found: bool | None
    reason: str = ""
    optional: bool = False
    key: str | None = None
    key_found: bool | None = None
    like: str = ""


class LostBackend(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry leads to and is not there: `path` is where the entry, `subject`, names it.

    `found` None: files do not hold it, and it may be in the cluster all the same; `reason` says why.
    """

    subject: str
    path: str
    kind: str
    name: str
    found: bool | None
    reason: str = ""


class Taint(msgspec.Struct, frozen=True, kw_only=True):
    """A taint of a node."""

    key: str
    effect: str
    value: str = ""


class NodeCondition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A condition of a node, as the kubelet or node-problem-detector reports it."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A node. Addresses are left out on purpose. Quantities are the API's own strings (``8``, ``515Gi``)."""

    name: str
    labels: dict[str, str] = {}
    taints: list[Taint] = []
    capacity: dict[str, str] = {}
    allocatable: dict[str, str] = {}
    conditions: list[NodeCondition] = []
    unschedulable: bool = False
    created: str | None = None
    kubelet_version: str = ""
    os_image: str = ""
    kernel_version: str = ""
    container_runtime: str = ""
    architecture: str = ""
    provider: str = ""


class NodePod(msgspec.Struct, frozen=True, kw_only=True):
    """A pod on a node that the service may run on. `gpus` by resource name; CPU in millicores, memory in bytes."""

    namespace: str
    name: str
    node: str
    phase: str
    owner_kind: str = ""
    owner_name: str = ""
    gpus: dict[str, int] = {}
    cpu_millicores: int = 0
    memory_bytes: int = 0
    tolerations: list[dict[str, Any]] = []
    priority: int | None = None
    priority_class: str = ""
    labels: dict[str, str] = {}


class PlatformDaemonSet(msgspec.Struct, frozen=True, kw_only=True):
    """A DaemonSet of any namespace and what it is there for.

    `role`: ``device-plugin`` ``dcgm-exporter`` ``gpu-driver`` ``gpu-feature-discovery`` ``node-exporter``
    ``log-collector`` ``dra-driver`` ``node-problem-detector`` ``image-cache`` ``csi`` ``network`` or ``other``.
    """

    namespace: str
    name: str
    role: str
    images: list[str]
    desired: int | None
    ready: int | None
    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, Any]] = []


class PlatformDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A Deployment of any namespace that serves the cluster: `role` is ``node-autoscaler`` or ``cost-monitor``."""

    namespace: str
    name: str
    role: str
    images: list[str]
    desired: int | None
    ready: int | None


class ApiResource(msgspec.Struct, frozen=True, kw_only=True):
    """A resource that the API server serves, at its preferred version."""

    group: str
    version: str
    kind: str
    resource: str
    namespaced: bool


class ClusterVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The API server's version."""

    git_version: str
    major: str = ""
    minor: str = ""
    platform: str = ""


class LogSample(msgspec.Struct, frozen=True, kw_only=True):
    """The last lines of a container's log, redacted. `previous` is the log of the run before its last restart."""

    pod: str
    container: str
    previous: bool
    lines: list[str]
    truncated: bool = False
