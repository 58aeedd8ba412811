from collections.abc import Iterator, Mapping, Sequence

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.facts.gpu import Gpu
from inferaudit.gpu_table import GpuSpec, find_gpu, node_gpu
from inferaudit.load_stages import endpoint_subject
from inferaudit.placement import gpu_product, usable_nodes


@check(
    title="The load ran on the GPU model that will serve",
    severity=Severity.MEDIUM,
    needs=("load.result", "nvml.gpus", "workload", "cluster.nodes"),
    optional=("load.gpu_samples", "workload.pods"),
    remediation="Run the load against replicas on the very GPU product of the nodes that will serve, or move the "
    "workload to the product that was measured.",
    references=("https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery",),
    tags=("layer:outcome",),
)
def gpu_match(snapshot: Snapshot) -> Iterator[Judgement]:
    """A benchmark from another GPU says nothing about memory, speed or precision of the one that serves.

    The products that NVML or the exporter shows under load are held against the node labels of the serving pods (of
    all nodes the workload may use where no pod runs).
    """
    workload, nodes = snapshot.fact("workload"), snapshot.fact("cluster.nodes")
    if not workload.uses_gpu:
        yield not_applicable(None, "the workload asks for no GPU")
        return
    subject = endpoint_subject(snapshot.fact("load.result"))
    pods = () if snapshot.error("workload.pods") else snapshot.fact("workload.pods")
    running = {(pod.get("spec") or {}).get("nodeName") for pod in pods}
    snapshot.require_read("workload.pods")  # of all nodes it may use some may have another GPU
    serving = [node for node in nodes if node.name in running] or usable_nodes(workload, nodes)
    loaded = _loaded(snapshot, snapshot.fact("nvml.gpus"))
    measured = {_plain(gpu.product): find_gpu(gpu.product, gpu.memory_total_bytes) for gpu in loaded}
    meant = {_plain(gpu_product(node)): node_gpu(gpu_product(node), node.labels) for node in serving}
    seen = Evidence("GPU products", {"under load": sorted(measured), "serving nodes": sorted(meant)}, "the same")
    here, there = ", ".join(sorted(measured)), ", ".join(sorted(meant))
    if not measured or not meant or "" in measured or "" in meant:
        where = "under load" if not measured or "" in measured else "of the serving nodes"
        yield unknown(subject, f"the GPU product {where} is not told", seen)
    elif measured.keys() == meant.keys() or _keys(measured) == _keys(meant) != {None}:
        yield passed(subject, f"measured on {here}, as the serving nodes have", seen)
    elif None in _keys(measured) | _keys(meant):
        yield unknown(subject, f"whether {here} and {there} are the same product is not known", seen)
    else:
        yield failed(subject, f"measured on {here}; the serving nodes have {there}", seen)


def _loaded(snapshot: Snapshot, gpus: Sequence[Gpu]) -> Sequence[Gpu]:
    """The GPUs that were sampled under load, else all that were seen."""
    sampled = () if snapshot.error("load.gpu_samples") else snapshot.fact("load.gpu_samples").uuids
    return [gpu for gpu in gpus if gpu.uuid in sampled] or gpus


def _keys(products: Mapping[str, GpuSpec | None]) -> set[str | None]:
    return {spec.key if spec else None for spec in products.values()}


def _plain(product: str | None) -> str:
    """A label writes dashes where the driver writes blanks, and says when a GPU is shared."""
    return (product or "").replace(" ", "-").removesuffix("-SHARED")
