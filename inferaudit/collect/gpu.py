"""GPUs from whoever can see them: the driver of this host (NVML), a DCGM exporter, or both held against each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec

from inferaudit.collect.gpu_page import same_node
from inferaudit.collect.nvml_host import collect_host
from inferaudit.errors import UsageError
from inferaudit.facts.gpu import Gpu, GpuSource, NvmlDriver
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import GpuPlan

FACT_NAMES = ("nvml.gpus", "nvml.driver", "nvml.xid_events", "gpu.sources", "gpu.operator", "gpu.kernel_log")
_UNMERGED = frozenset(("node", "index", "uuid", "sources", "lost", "error", "unsupported", "reasons"))

# What load may break: these grow, or turn true, and say nothing of how busy a GPU is.
_COUNTED = (
    "ecc_volatile_corrected",
    "ecc_volatile_uncorrected",
    "ecc_aggregate_corrected",
    "ecc_aggregate_uncorrected",
    "remapped_rows_correctable",
    "remapped_rows_uncorrectable",
    "remapped_rows_pending",
    "remapped_rows_failure",
    "retired_pages_single_bit",
    "retired_pages_double_bit",
    "retired_pages_pending",
)


def collect_gpus(
    plan: GpuPlan,
    progress: Callable[[str], None] | None = None,
    *,
    host: str | None = None,
    watch_s: float = 2.0,
    deadline_s: float = 60.0,
) -> dict[str, Fact]:
    """Facts ``nvml.*`` and ``gpu.*`` by `plan.mode`: auto and local ask NVML here, dcgm does not; a URL is asked too.

    `host` defaults to the host's name; `watch_s` is the least time to watch for XIDs, `deadline_s` the most that a
    hanging driver may take. Raises :class:`UsageError` for a bad URL, only.
    """
    if plan.mode == "off":
        return _all(
            FactError(
                FactErrorKind.NO_TARGET, "GPUs were switched off (--gpus off)", "--gpus off", remedy="--gpus local"
            )
        )
    if plan.mode == "pods":
        raise UsageError("--gpus pods needs a cluster: give --context, -n and --workload")
    if plan.mode == "dcgm":
        return combined({"DCGM": _exporter(plan, progress)})
    found = {"NVML": collect_host(plan, progress, host=host, watch_s=watch_s, deadline_s=deadline_s)}
    if plan.dcgm_url:
        found["DCGM"] = _exporter(plan, progress)
    return combined(found)


def counted_again(gpus: list[Gpu], plan: GpuPlan, *, deadline_s: float = 10.0) -> list[Gpu]:
    """`gpus` with the counters of memory errors as this host's driver tells them now; what it does not tell stays."""
    now = collect_host(plan, None, watch_s=0.0, deadline_s=deadline_s)["nvml.gpus"]
    told = {gpu.uuid: gpu for gpu in (now.value if now.error is None else []) if gpu.uuid}

    def counted(gpu: Gpu) -> Gpu:
        later = told.get(gpu.uuid)
        found = {name: getattr(later, name) for name in _COUNTED if later and getattr(gpu, name) is not None}
        return msgspec.structs.replace(gpu, **{name: value for name, value in found.items() if value is not None})

    return [counted(gpu) for gpu in gpus]


def _exporter(plan: GpuPlan, progress: Callable[[str], None] | None) -> dict[str, Fact]:
    from inferaudit.collect.dcgm import collect_dcgm  # it brings an HTTP client, which NVML does without

    return collect_dcgm(plan, progress)


def combined(found: Mapping[str, Mapping[str, Fact]]) -> dict[str, Fact]:
    """One set of facts of what each source gave, in order of trust: the first that has a value wins.

    A field that one source does not tell is taken from the next; what two tell differently is in ``gpu.sources``.
    """
    facts = {name: _first([given[name] for given in found.values() if name in given]) for name in FACT_NAMES[:3]}
    listed = [given["nvml.gpus"].value for given in found.values() if given["nvml.gpus"].error is None]
    if listed:
        facts["nvml.gpus"] = Fact(_merged(listed))
        facts["gpu.sources"] = Fact([each for name, given in found.items() for each in _said(name, given)])
    else:
        facts["gpu.sources"] = Fact(error=facts["nvml.gpus"].error)
    facts["gpu.operator"] = next(
        (given["gpu.operator"] for given in found.values() if "gpu.operator" in given), _no_page()
    )
    facts["gpu.kernel_log"] = next(
        (given["gpu.kernel_log"] for given in found.values() if "gpu.kernel_log" in given),
        _no_log(facts["nvml.gpus"]),
    )
    return facts


def only_of_cluster(facts: Mapping[str, Fact], nodes: Collection[str]) -> dict[str, Fact]:
    """The facts of hosts that are nodes of the audited cluster, by their own names or those they were given.

    A workstation's GPUs say nothing of a cluster's: where no host is a node the facts become an error naming the flag.
    """
    gpus, driver = facts["nvml.gpus"].value, facts["nvml.driver"].value
    named = isinstance(driver, NvmlDriver) and bool(driver.node)

    def known(host: str) -> bool:
        return (named and host == driver.node) or any(same_node(host, node) for node in nodes)

    kept = dict(facts)
    if gpus is not None:
        own = [gpu for gpu in gpus if known(gpu.node)]
        if not own:
            hosts = ", ".join(sorted({gpu.node for gpu in gpus})[:5])
            return _strangers(facts, hosts)
        kept["nvml.gpus"] = Fact(own)
        if isinstance(driver, NvmlDriver) and not known(driver.node or driver.host):
            alien = _strangers(facts, driver.host)  # the exporter's GPUs are the cluster's, those of this host are not
            kept |= {name: alien[name] for name in ("nvml.driver", "nvml.xid_events")}
    elif isinstance(driver, NvmlDriver) and not known(driver.node or driver.host):
        return _strangers(facts, driver.host)
    for name in ("gpu.sources", "gpu.operator", "gpu.kernel_log"):
        if name in facts and facts[name].error is None:
            kept[name] = Fact([each for each in facts[name].value if known(each.node) or not each.node])
    return kept


def _strangers(facts: Mapping[str, Fact], hosts: str) -> dict[str, Fact]:
    reason = f"{hosts} has GPUs and is not a node of this cluster, so they are not the service's"
    error = FactError(FactErrorKind.NO_TARGET, reason, f"GPUs of {hosts}", remedy="--gpus-node NAME")
    return {name: Fact(error=error) if name in FACT_NAMES else fact for name, fact in facts.items()}


def _all(error: FactError) -> dict[str, Fact]:
    return {name: Fact(error=error) for name in FACT_NAMES}


def _no_page() -> Fact:
    reason = "no exporter's page was read"
    return Fact(error=FactError(FactErrorKind.NOT_ASKED, reason, "gpu operator", remedy="--dcgm URL"))


def _no_log(gpus: Fact) -> Fact:
    if gpus.error is not None:
        return gpus
    reason = "an exporter does not show the node's kernel log"
    return Fact(error=FactError(FactErrorKind.NOT_ASKED, reason, "kernel log", remedy="--gpus local on the node"))


def _first(given: list[Fact]) -> Fact:
    """The first with a value. Of errors the first that is more than "nothing to look at here"."""
    for fact in given:
        if fact.error is None:
            return fact
    told = [fact for fact in given if fact.error and fact.error.kind is not FactErrorKind.NO_TARGET]
    return (told or given)[0]


def _merged(listed: list[list[Gpu]]) -> list[Gpu]:
    first, *rest = listed
    gpus = list(first)
    for more in rest:
        by_uuid = {gpu.uuid: place for place, gpu in enumerate(gpus) if gpu.uuid}
        for gpu in more:
            place = by_uuid.get(gpu.uuid) if gpu.uuid else None
            if place is None:
                gpus.append(gpu)
            else:
                gpus[place] = _filled(gpus[place], gpu)
    return gpus


def _filled(gpu: Gpu, other: Gpu) -> Gpu:
    """`gpu` with what only `other` tells. A lost GPU is left alone: what an exporter still shows of it is old."""
    if gpu.lost or gpu.error:
        return gpu
    names = [
        name
        for name in gpu.__struct_fields__
        if name not in _UNMERGED and getattr(gpu, name) is None and not gpu.lacks(name)
    ]
    told = {name: value for name in names if (value := getattr(other, name)) is not None}
    reasons = {name: why for name, why in gpu.reasons.items() if name not in told}
    unsupported = tuple(name for name in gpu.unsupported if name not in told)  # by the driver, of a board with MIG
    sources = (*gpu.sources, *other.sources)
    return msgspec.structs.replace(gpu, **told, reasons=reasons, unsupported=unsupported, sources=sources)


def _said(name: str, given: Mapping[str, Fact]) -> list[GpuSource]:
    """What one source says, a struct a node; nothing of a source that was not there to be asked."""
    error = given["nvml.gpus"].error
    if error is not None:
        if error.kind is FactErrorKind.NO_TARGET:
            return []
        return [GpuSource(source=name, node="", error=error.reason)]
    gpus: list[Gpu] = given["nvml.gpus"].value
    return [_of_node(name, node, [gpu for gpu in gpus if gpu.node == node]) for node in sorted({g.node for g in gpus})]


def _of_node(name: str, node: str, gpus: list[Gpu]) -> GpuSource:
    totals = [gpu.memory_total_bytes for gpu in gpus if gpu.memory_total_bytes is not None]
    return GpuSource(
        source=name,
        node=node,
        count=len(gpus),
        products=tuple(sorted({gpu.product for gpu in gpus if gpu.product})),
        drivers=tuple(sorted({gpu.driver_version for gpu in gpus if gpu.driver_version})),
        uuids=tuple(sorted({gpu.uuid for gpu in gpus if gpu.uuid})),
        memory_bytes=min(totals) if totals else None,
    )
