from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="Kubernetes advertises the GPUs the driver sees",
    severity=Severity.HIGH,
    needs=("nvml.gpus", "nvml.driver", "cluster.nodes"),
    remediation="Restart the device plug-in on the node; look for a GPU that its health check took away.",
    references=("https://github.com/NVIDIA/k8s-device-plugin",),
)
def visible_count(snapshot: Snapshot) -> Iterator[Judgement]:
    """Fewer advertised than present is capacity paid for and not used; more is pods sent to a GPU that is gone."""
    driver, gpus = snapshot.fact("nvml.driver"), snapshot.fact("nvml.gpus")
    name = driver.node or driver.host
    node = next((n for n in snapshot.fact("cluster.nodes") if n.name == name), None)
    subject = f"node/{name}"
    if node is None:
        yield unknown(subject, "no node of the cluster has this name", Evidence("cluster.nodes", None, name))
        return
    advertised = node.capacity.get("nvidia.com/gpu")
    replicas = node.labels.get("nvidia.com/gpu.replicas", "1")
    seen = Evidence("cluster.nodes.capacity", advertised, len(gpus))
    if any(gpu.mig_enabled for gpu in gpus):
        yield not_applicable(subject, "MIG is on: devices are advertised by profile", seen)
    elif advertised is None:
        yield failed(subject, f"{len(gpus)} GPUs are present and none is advertised", seen)
    elif not (advertised.isdecimal() and replicas.isdecimal() and int(replicas) > 0):
        yield unknown(subject, f"{advertised!r} GPUs in {replicas!r} shares cannot be counted", seen)
    elif int(advertised) != len(gpus) * int(replicas):
        yield failed(subject, f"{advertised} advertised, {len(gpus)} present in {replicas} shares each", seen)
    else:
        yield passed(subject, f"all {len(gpus)} GPUs are advertised", seen)
