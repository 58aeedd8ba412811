from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.capacity import named_quant, weights_bytes
from inferaudit.engine_args import Engine, cache_folder, quantised_as, serving_engines
from inferaudit.errors import UsageError
from inferaudit.kube.quantity import whole
from inferaudit.kube.types import Workload
from inferaudit.model_names import shape_from_name
from inferaudit.placement import usable_nodes
from inferaudit.pod_state import is_current, is_ready

_GB = 1e9


@dataclass(frozen=True)
class _Room:
    """A place for weights: what bounds it, in bytes (None: nothing does that is in view). `on_disk`: of the node."""

    path: str
    limits: Mapping[str, int | None]
    on_disk: bool = False


@check(
    title="The weights fit where they are kept",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    optional=("service.configmaps", "service.claims", "cluster.nodes", "workload.pods"),
    remediation=(
        "Ask for a claim (or set the emptyDir's `sizeLimit` and the `ephemeral-storage` limit) of 1.2 times the "
        "weights, on nodes whose disk holds that much beside the images."
    ),
    references=(
        "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#local-ephemeral-storage",
    ),
)
def cache_size(snapshot: Snapshot) -> Iterator[Judgement]:
    """A download that fills its volume fails after many minutes, and one that fills its limit has the pod evicted.

    The size of the weights is computed from the model's name and its quantisation; it is held against the claim, the
    emptyDir or the container's own disk that they come to, and against the disk of the nodes.
    """
    workload = snapshot.fact("workload")
    maps = snapshot.fact_or("service.configmaps", ())
    pods = snapshot.fact_or("workload.pods", ())
    running = [pod for pod in pods if is_current(pod) and is_ready(pod)]
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject, model = container["subject"], engine.value("model") or ""
        if not model:
            snapshot.require_read("service.configmaps")
        needed = _weights(engine, model)
        room = _room(snapshot, workload, container, engine, model)
        if room is None:
            shown = Evidence("volumeMounts", None, "a claim, an emptyDir or the container's disk")
            yield not_applicable(subject, "its weights lie in the image, or where no limit of size is in view", shown)
        elif needed is None and running:
            shown = Evidence("pods that are ready", len(running), ">= 1")
            yield passed(subject, f"{len(running)} pods have loaded it from {room.path}", shown)
        elif needed is None:
            shown = Evidence("model", model or None, "a name that states its size")
            yield unknown(subject, "the size of the weights is not stated by the model's name", shown)
        else:
            yield _judge(snapshot, workload, subject, needed, room)


def _judge(snapshot: Snapshot, workload: Workload, subject: str, needed: int, room: _Room) -> Judgement:
    known = {what: size for what, size in room.limits.items() if size is not None}
    nodes = usable_nodes(workload, snapshot.fact_or("cluster.nodes", []))
    disks = {node.name: whole(node.allocatable.get("ephemeral-storage")) for node in nodes} if room.on_disk else {}
    small = sorted(name for name, size in disks.items() if size is not None and size < needed)
    size = f"{needed / _GB:.1f} GB of weights"
    least = min((size for size in disks.values() if size is not None), default=None)
    seen = Evidence("bytes", {**known, **({"the smallest node disk": least} if disks else {})}, f">= {needed}")
    tight = next((what for what, limit in known.items() if limit < needed), None)
    if tight is not None:
        return failed(subject, f"{size} for {room.path}, and {tight} is {known[tight] / _GB:.1f} GB", seen)
    if small:
        return failed(subject, f"{size} for {room.path}, more than the disk of {', '.join(small[:3])} may hold", seen)
    if not known and not any(disks.values()):
        snapshot.require_read("cluster.nodes")
        return unknown(subject, f"{size} for {room.path}; how much that holds is not in view", seen)
    return passed(subject, f"{size} fit {room.path}", seen)


def _weights(engine: Engine, model: str) -> int | None:
    """The least that the files can take: quantised where anything says so. None where the name tells no size."""
    shape = shape_from_name(model)
    try:
        return (
            None
            if shape is None
            else weights_bytes(shape, named_quant(quantised_as(engine) or shape.stored_quant or "fp16"))
        )
    except UsageError:
        return None


def _room(
    snapshot: Snapshot, workload: Workload, container: Mapping[str, Any], engine: Engine, model: str
) -> _Room | None:
    """Where the weights come to lie; None for the image, and for volumes whose size no object tells."""
    local = model if model.startswith("/") else cache_folder(engine)
    mounts = [m for m in container.get("volumeMounts") or () if _within(local, str(m.get("mountPath") or ""))]
    limits = (container.get("resources") or {}).get("limits") or {}
    own = {"the container's ephemeral-storage limit": whole(limits.get("ephemeral-storage"))}
    if not local or (not mounts and model.startswith("/")):
        return None
    if not mounts:
        return _Room(f"{local} in the container", own, on_disk=True)
    mount = max(mounts, key=lambda m: len(str(m.get("mountPath"))))
    name, path = mount.get("name"), str(mount.get("mountPath"))
    templates = (workload.object.get("spec") or {}).get("volumeClaimTemplates") or ()
    template = next((t for t in templates if (t.get("metadata") or {}).get("name") == name), None)
    volumes = (workload.template.get("spec") or {}).get("volumes") or ()
    volume = next((v for v in volumes if v.get("name") == name), {})
    if template is not None:
        return _Room(path, {"its claim": _asked(template)})
    if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
        found = [c for c in snapshot.fact("service.claims") if (c.get("metadata") or {}).get("name") == claim]
        return _Room(path, {f"the claim {claim}": _asked(found[0]) if found else None})
    if "ephemeral" in volume:
        return _Room(path, {"its claim": _asked(volume["ephemeral"].get("volumeClaimTemplate") or {})})
    if "emptyDir" in volume:
        empty = volume["emptyDir"] or {}
        size = {"the emptyDir's sizeLimit": whole(empty.get("sizeLimit"))}
        if empty.get("medium") == "Memory":
            return _Room(path, {**size, "the container's memory limit": whole(limits.get("memory"))})
        return _Room(path, {**size, **own}, on_disk=True)
    return None


def _asked(claim: Mapping[str, Any]) -> int | None:
    """What a claim holds, else what it asks for."""
    asked = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return whole(((claim.get("status") or {}).get("capacity") or {}).get("storage") or asked.get("storage"))


def _within(path: str, folder: str) -> bool:
    return bool(folder) and (path == folder or path.startswith(folder.rstrip("/") + "/"))
