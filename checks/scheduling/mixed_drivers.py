from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.placement import usable_nodes

_LABELS = ("nvidia.com/cuda.driver-version.full", "nvidia.com/gpu.driver-version", "amd.com/gpu.driver-version")


@check(
    title="All nodes of the service run one GPU driver",
    severity=Severity.LOW,
    needs=("workload", "cluster.nodes"),
    remediation="Finish the driver's roll-out on the nodes that the finding names, or keep the service off them.",
    references=("https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery",),
)
def mixed_drivers(snapshot: Snapshot) -> Iterator[Judgement]:
    """What was tested with one driver may start, crash or slow down with another, by the node that a pod lands on.

    Read are the labels that GPU Feature Discovery writes. Two drivers are what an upgrade looks like while it goes on.
    """
    workload = snapshot.fact("workload")
    nodes = usable_nodes(workload, snapshot.fact("cluster.nodes"))
    drivers: dict[str, list[str]] = {}
    for node in nodes:
        drivers.setdefault(_driver(node.labels), []).append(node.name)
    seen = Evidence(
        "drivers of the nodes it may use", {d or "not labelled": names for d, names in drivers.items()}, "one"
    )
    told = sorted(driver for driver in drivers if driver)
    if not workload.uses_gpu or len(nodes) < 2:
        yield not_applicable(workload.subject, "there are no two GPU nodes that it may use", seen)
    elif len(told) > 1:
        rare = min(told, key=lambda driver: len(drivers[driver]))
        yield failed(workload.subject, f"runs on drivers {' and '.join(told)}; {rare} on {drivers[rare][0]}", seen)
    elif "" in drivers:
        yield unknown(workload.subject, "not every node carries a label of its driver", seen)
    else:
        yield passed(workload.subject, f"all {len(nodes)} nodes have driver {told[0]}", seen)


def _driver(labels: dict[str, str]) -> str:
    """The driver's version; older releases of GPU Feature Discovery wrote it in parts."""
    whole = next((labels[label] for label in _LABELS if labels.get(label)), "")
    parts = [labels.get(f"nvidia.com/cuda.driver.{part}", "") for part in ("major", "minor", "rev")]
    return whole or ".".join(part for part in parts if part)
