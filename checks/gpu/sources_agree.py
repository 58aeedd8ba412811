from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.facts.gpu import GpuSource
from inferaudit.gpu_table import MIB, normalise_product
from inferaudit.kube.types import Node
from inferaudit.placement import gpu_product

_DRIVER_LABELS = ("nvidia.com/cuda.driver-version.full",)
_MEMORY_TOLERANCE = 0.03  # drivers count their own reserve in or out


@check(
    title="Driver, exporter and node labels tell the same GPUs",
    severity=Severity.MEDIUM,
    needs=("gpu.sources",),
    optional=("cluster.nodes",),
    remediation=(
        "Find out which source is stale: restart GPU Feature Discovery and the DCGM exporter on the node after changes "
        "of driver or hardware, and look at `nvidia-smi` for a GPU that only one of them sees."
    ),
    references=(
        "https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery",
        "https://docs.nvidia.com/datacenter/dcgm/latest/gpu-telemetry/dcgm-exporter.html",
    ),
)
def sources_agree(snapshot: Snapshot) -> Iterator[Judgement]:
    """Selectors trust the labels, dashboards and alerts the exporter, and the engine the driver.

    Where they differ, one of them is wrong: pods are sent to the wrong GPUs, or a GPU is gone and nobody is told.
    """
    said: dict[str, list[GpuSource]] = {}
    for source in snapshot.fact("gpu.sources"):
        if source.error is not None:
            seen = Evidence(f"gpu.sources[{source.source}]", None)
            yield unknown(None, f"{source.source} was asked and gave nothing: {source.error}", seen, key=source.source)
        else:
            said.setdefault(_short(source.node), []).append(source)
    nodes = (
        {} if snapshot.error("cluster.nodes") else {_short(node.name): node for node in snapshot.fact("cluster.nodes")}
    )
    for name, sources in sorted(said.items()):
        labels = _labelled(nodes[name]) if name in nodes else None
        subject = f"node/{nodes[name].name if name in nodes else sources[0].node}"
        yield from _judge(subject, [*sources, *([labels] if labels else [])], nodes.get(name))


def _short(name: str) -> str:
    return name.partition(".")[0].casefold()


def _labelled(node: Node) -> GpuSource | None:
    """What GPU Feature Discovery wrote on the node; None where it wrote nothing, or describes MIG slices."""
    product = node.labels.get("nvidia.com/gpu.product")
    if product is None or "-MIG-" in (gpu_product(node) or ""):
        return None
    count, memory = node.labels.get("nvidia.com/gpu.count", ""), node.labels.get("nvidia.com/gpu.memory", "")
    parts = [node.labels.get(f"nvidia.com/cuda.driver.{part}", "") for part in ("major", "minor", "rev")]
    driver = next(
        (node.labels[label] for label in _DRIVER_LABELS if node.labels.get(label)), ".".join(filter(None, parts))
    )
    return GpuSource(
        source="node labels",
        node=node.name,
        count=int(count) if count.isdecimal() else None,
        products=(product,),
        drivers=(driver,) if driver else (),
        memory_bytes=int(memory) * MIB if memory.isdecimal() else None,
    )


def _judge(subject: str, sources: list[GpuSource], node: Node | None) -> Iterator[Judgement]:
    if len(sources) < 2:
        only = sources[0]
        said = f"{only.source} alone was asked about it; nothing to hold against its {only.count} GPUs"
        yield not_applicable(subject, said, Evidence("gpu.sources", [only.source], "two sources"))
        return
    agreed = []
    for what, told in (
        ("products", {s.source: sorted(set(map(normalise_product, s.products))) for s in sources if s.products}),
        ("count", {s.source: s.count for s in sources if s.count is not None}),
        ("identities", {s.source: list(s.uuids) for s in sources if s.uuids}),
        ("driver", {s.source: list(s.drivers) for s in sources if s.drivers}),
        ("memory", {s.source: s.memory_bytes for s in sources if s.memory_bytes}),
    ):
        if len(told) < 2:
            continue
        if _alike(list(told.values())):
            agreed.append(what)
        else:
            seen = Evidence(f"gpu.sources.{what}", told, "the same from each")
            cause = ("gpu-visible-count", subject) if what == "count" and _miscounted(sources, node) else None
            yield failed(
                subject, f"{what}: {'; '.join(_words(*each) for each in told.items())}", seen, key=what, cause=cause
            )
    if agreed:
        named = " and ".join(source.source for source in sources)
        yield passed(subject, f"{named} agree on {', '.join(agreed)}", Evidence("gpu.sources", agreed))
    else:
        yield unknown(subject, "no two sources tell the same thing of it", Evidence("gpu.sources", None), key="nothing")


def _alike(values: list[object]) -> bool:
    numbers = [value for value in values if isinstance(value, int)]
    if len(numbers) == len(values) and max(numbers) > 2**30:
        return max(numbers) - min(numbers) <= _MEMORY_TOLERANCE * max(numbers)
    return all(value == values[0] for value in values)


def _miscounted(sources: list[GpuSource], node: Node | None) -> bool:
    """True where the check of the advertised count says it already."""
    if node is None or node.labels.get("nvidia.com/gpu.replicas", "1") != "1":
        return False
    return node.capacity.get("nvidia.com/gpu") != str(sources[0].count)


def _words(source: str, told: object) -> str:
    if isinstance(told, list):
        return f"{source} says {', '.join(map(str, told[:8]))}"
    return (
        f"{source} says {told / 2**30:.1f} GiB" if isinstance(told, int) and told > 2**30 else f"{source} says {told}"
    )
