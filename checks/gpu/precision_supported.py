from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.engine_args import Engine, quantised_as, serving_engines
from inferaudit.gpu_table import node_gpu
from inferaudit.kube.types import Node
from inferaudit.placement import gpu_product, usable_nodes

# Least compute capability: bfloat16 came with Ampere; FP8 weights need Ampere too, where they are widened on the way.
_NEEDS = {"bfloat16": (8, 0), "bf16": (8, 0), "fp8": (8, 0), "mxfp4": (8, 0), "nvfp4": (8, 0)}


@check(
    title="The GPUs can compute in the configured precision",
    severity=Severity.CRITICAL,
    needs=("workload", "workload.containers", "cluster.nodes"),
    optional=("service.configmaps",),
    remediation="Use float16 on GPUs before Ampere, or select newer GPUs with a node label.",
    references=("https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#compute-capabilities",),
)
def precision_supported(snapshot: Snapshot) -> Iterator[Judgement]:
    """A server told to use bfloat16 or FP8 on a GPU that has neither dies at start, on that node only."""
    workload = snapshot.fact("workload")
    nodes = usable_nodes(workload, snapshot.fact("cluster.nodes"))
    maps = snapshot.fact_or("service.configmaps", ())
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject, wanted = container["subject"], _wanted(engine)
        if wanted is None:
            snapshot.require_read("service.configmaps")
        if not container["gpus"] or wanted is None:
            said = "asks for no GPU" if wanted else "asks for no precision that some GPUs lack"
            yield not_applicable(subject, said, Evidence("precision", wanted))
            continue
        found = {node.name: _capability(node) for node in nodes}
        seen = Evidence("cluster.nodes.compute_capability", sorted({str(c) for c in found.values()}), _NEEDS[wanted])
        old = sorted(name for name, capability in found.items() if capability and capability < _NEEDS[wanted])
        if old:
            yield failed(subject, f"wants {wanted}, which {len(old)} of its nodes lack: {', '.join(old[:5])}", seen)
        elif not found or None in found.values():
            yield unknown(subject, f"wants {wanted}; the GPUs of its nodes are not all known", seen)
        else:
            yield passed(subject, f"wants {wanted}, which all {len(found)} nodes it may run on have", seen)


def _wanted(engine: Engine) -> str | None:
    quant, precision = (quantised_as(engine) or "").lower(), (engine.value("precision") or "").lower()
    return next((word for word in (quant, precision) if word in _NEEDS), None)


def _capability(node: Node) -> tuple[int, int] | None:
    major, minor = (node.labels.get(f"nvidia.com/gpu.compute.{part}", "") for part in ("major", "minor"))
    if major.isdecimal() and minor.isdecimal():
        return int(major), int(minor)
    gpu = node_gpu(gpu_product(node), node.labels)
    if gpu is None or gpu.vendor != "nvidia":
        return None
    first, _, second = gpu.compute_capability.partition(".")
    return int(first), int(second)
