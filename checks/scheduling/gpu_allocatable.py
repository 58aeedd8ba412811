from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.quantity import gpu_quantities
from inferaudit.placement import gpu_product, wanted_nodes
from inferaudit.units import whole_number


@check(
    title="Every GPU of the nodes can be allocated",
    severity=Severity.MEDIUM,
    needs=("workload", "cluster.nodes"),
    remediation=(
        "Look at the device plug-in's log on the node and at `nvidia-smi`; a GPU that is lost needs a reset or a "
        "new host."
    ),
    references=("https://github.com/NVIDIA/k8s-device-plugin#readme",),
)
def gpu_allocatable(snapshot: Snapshot) -> Iterator[Judgement]:
    """A GPU that its plug-in has marked unhealthy vanishes from the node's allocatable, without any alert.

    Compared are capacity, allocatable and the count that the node's labels state.
    """
    workload = snapshot.fact("workload")
    nodes = snapshot.fact("cluster.nodes")
    for node in wanted_nodes(workload, nodes):
        for name in sorted(gpu_quantities(node.capacity)):
            capacity = gpu_quantities(node.capacity).get(name, 0)
            allocatable = gpu_quantities(node.allocatable).get(name, 0)
            label = whole_number(node.labels.get("nvidia.com/gpu.count", "")) if name == "nvidia.com/gpu" else None
            replicas = whole_number(node.labels.get("nvidia.com/gpu.replicas", "1"))
            whole = node.labels.get("nvidia.com/mig.strategy") != "single" or "-MIG-" not in (gpu_product(node) or "")
            stated = label * replicas if label is not None and replicas is not None and whole else capacity
            seen = Evidence(f'status.allocatable."{name}"', allocatable, max(capacity, stated))
            if allocatable < capacity:
                yield failed(
                    f"node/{node.name}", f"{capacity - allocatable} of {capacity} GPUs are unhealthy", seen, key=name
                )
            elif capacity < stated:
                yield failed(
                    f"node/{node.name}", f"{stated - capacity} of {stated} GPUs are not advertised", seen, key=name
                )
            else:
                yield passed(f"node/{node.name}", f"all {allocatable} are allocatable", seen, key=name)
