import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from inferaudit.api import (
    Evidence,
    Judgement,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    review,
    unknown,
)

_IN_TAG = re.compile(r"cu(?:da)?-?(\d{2})[.\-_]?(\d{1,2})?(?:\b|[-_.])", re.IGNORECASE)


def _cuda_of(container: Mapping[str, Any]) -> tuple[int, int, str] | None:
    """(major, minor, where it is stated), of an environment variable or the image's tag."""
    for variable in container.get("env") or ():
        if variable.get("name") == "CUDA_VERSION":
            stated = re.match(r"(\d+)\.(\d+)", str(variable.get("value") or ""))
            if stated:
                return int(stated[1]), int(stated[2]), "CUDA_VERSION"
    tag = str(container.get("image") or "").partition("@")[0].rpartition("/")[2].partition(":")[2]
    stated = _IN_TAG.search(tag)
    return (int(stated[1]), int(stated[2] or 0), f"tag {tag}") if stated else None


def _number(version: str | None) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", version or "")
    return (int(found[1]), int(found[2])) if found else None


def _ready_containers(snapshot: Snapshot, nodes: Collection[str]) -> frozenset[str]:
    """Names of the workload's containers that are ready in some pod on one of `nodes`."""
    if snapshot.error("workload.pods"):
        return frozenset()
    return frozenset(
        status["name"]
        for pod in snapshot.fact("workload.pods")
        if (pod.get("spec") or {}).get("nodeName") in nodes
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
        if status.get("ready")
    )


@check(
    title="The driver supports the CUDA version of the image",
    severity=Severity.CRITICAL,
    needs=("nvml.gpus", "workload.containers"),
    optional=("workload.pods",),
    remediation="Update the node's driver, or use an image built for the CUDA version the driver supports.",
    references=("https://docs.nvidia.com/deploy/cuda-compatibility/index.html",),
)
def driver_cuda(snapshot: Snapshot) -> Iterator[Judgement]:
    """An image built for a newer CUDA major version than the driver's dies at start.

    Within one major version an older driver works, less features that need a newer one. Where the image does not say
    for which CUDA it was built, a container that is ready on the node with this driver has shown that it runs.
    """
    gpus = snapshot.fact("nvml.gpus")
    drivers = sorted(
        {(_number(gpu.cuda_version), gpu.cuda_version, gpu.driver_version, gpu.node) for gpu in gpus}, key=str
    )
    lowest, cuda, driver, node = min(drivers, key=lambda each: each[0] or (0, 0))  # pods may land on any of the nodes
    ready = _ready_containers(snapshot, {node})
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        subject, stated = container["subject"], _cuda_of(container)
        if not container["gpus"]:
            yield not_applicable(subject, "asks for no GPU", Evidence("gpus", container["gpus"]))
        elif lowest is None:
            seen = Evidence("nvml.gpus.cuda_version", None)
            yield unknown(subject, f"the driver of {node} does not tell which CUDA it supports", seen)
        elif stated is None and container.get("name") in ready:
            seen = Evidence("status.containerStatuses.ready", True, "ready on the node whose driver was asked")
            yield passed(subject, f"runs on {node} with driver {driver}", seen)
        elif stated is None:
            snapshot.require_read("workload.pods")
            seen = Evidence("image", container.get("image"), f"CUDA {lowest[0]} or older")
            yield review(subject, "neither tag nor environment says which CUDA the image was built for", seen)
        else:
            major, minor, where = stated
            said = f"the image wants CUDA {major}.{minor} ({where}), the driver of {node} supports {cuda}"
            seen = Evidence("nvml.gpus.cuda_version", cuda, f">= {major}")
            yield (passed if lowest[0] >= major else failed)(subject, said, seen)
