from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.facts.gpu import Gpu, NvmlDriver
from inferaudit.kube.types import Node


@check(
    title="Kubernetes advertises the GPUs the driver sees",
    severity=Severity.HIGH,
    needs=("nvml.gpus", "cluster.nodes"),
    optional=("nvml.driver",),
    remediation="Restart the device plug-in on the node; look for a GPU that its health check took away.",
    references=("https://github.com/NVIDIA/k8s-device-plugin",),
)
def visible_count(snapshot: Snapshot) -> Iterator[Judgement]:
    """Fewer advertised than present is capacity paid for and not used; more is pods sent to a GPU that is gone.

    An audit from a container sees the GPUs that the container was given: that others are missing is then unknown.
    """
    driver = snapshot.fact_or("nvml.driver", None)
    nodes = {node.name.partition(".")[0]: node for node in snapshot.fact("cluster.nodes")}
    gpus = snapshot.fact("nvml.gpus")
    for name in sorted({gpu.node for gpu in gpus}):
        node = nodes.get(name.partition(".")[0])
        if node is None:
            yield unknown(f"node/{name}", "no node of the cluster has this name", Evidence("cluster.nodes", None, name))
        else:
            here = [gpu for gpu in gpus if gpu.node == name]
            yield _judge(node, here, partial=_partial(driver, name, here))


def _partial(driver: NvmlDriver | None, node: str, gpus: list[Gpu]) -> bool:
    """Whether a container's NVML alone told of these GPUs. An exporter beside it sees all of the node."""
    asked = driver is not None and driver.in_container and node in (driver.node, driver.host)
    return asked and all(gpu.sources == ("NVML",) for gpu in gpus)


def _judge(node: Node, gpus: list[Gpu], *, partial: bool) -> Judgement:
    subject = f"node/{node.name}"
    advertised = node.capacity.get("nvidia.com/gpu")
    replicas = node.labels.get("nvidia.com/gpu.replicas", "1")
    seen = Evidence("cluster.nodes.capacity", advertised, len(gpus))
    if any(gpu.mig_enabled for gpu in gpus):
        return not_applicable(subject, "MIG is on: devices are advertised by profile", seen)
    if advertised is None:
        return failed(subject, f"{len(gpus)} GPUs are present and none is advertised", seen)
    if not (advertised.isdecimal() and replicas.isdecimal() and int(replicas) > 0):
        return unknown(subject, f"{advertised!r} GPUs in {replicas!r} shares cannot be counted", seen)
    if partial and int(advertised) > len(gpus) * int(replicas):
        text = f"{advertised} advertised; the container of this audit sees {len(gpus)} and may have been given no more"
        return unknown(subject, text, seen)
    if int(advertised) != len(gpus) * int(replicas):
        return failed(subject, f"{advertised} advertised, {len(gpus)} present in {replicas} shares each", seen)
    return passed(subject, f"all {len(gpus)} GPUs are advertised", seen)
