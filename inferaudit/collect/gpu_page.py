"""A DCGM exporter's metrics page as GPUs. Pure.

An exporter prints a metric under the name that stands in its counters file, old or new, so that both are in the field.
Labels were renamed too (``Hostname``, ``hostname``; ``UUID``, ``uuid``), and Prometheus moves some aside as
``exported_*``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from inferaudit.collect.gpu_fields import DEV, FIELDS, FIRST_NAMES, NoReading, cuda_version
from inferaudit.collect.nvml_readings import FABRIC_STATES, fabric_faults, printable
from inferaudit.exposition import MetricFamily, MetricSample
from inferaudit.facts.gpu import Gpu, GpuFabric, GpuOperatorNode, MigInstance, XidEvent, XidWatch

MIB = 1024 * 1024
_XID_COUNT = "DCGM_EXP_XID_ERRORS_COUNT"
_NODE_LABELS = ("node", "kubernetes_node", "Hostname", "hostname", "exported_hostname")
_IDENTITY = frozenset(("node", "index", "uuid", "sources", "lost", "error", "unsupported", "reasons"))


class PageGpu(NamedTuple):
    """All samples of one GPU; `instances` are those of its MIG devices, by their id."""

    node: str
    key: str
    board: dict[str, MetricSample]
    instances: dict[str, dict[str, MetricSample]]
    labels: list[Mapping[str, str]]


_NEVER = "a DCGM exporter does not export it"
_TOTALS = "a DCGM exporter counts NVLink errors of all links together and does not tell links apart"


def is_dcgm(metric: str) -> bool:
    """True for a name that a DCGM exporter of any age gives a reading."""
    return metric.startswith("DCGM_FI_") or metric in FIRST_NAMES


def same_node(a: str, b: str) -> bool:
    """True for a node's name with and without its domain."""
    return a.partition(".")[0].casefold() == b.partition(".")[0].casefold()


def gpus_on(families: Iterable[MetricFamily], fallback_node: str) -> list[Gpu]:
    """The GPUs of a page, by node and index; [] where it has no DCGM metric. Every field that is None has its reason.

    `fallback_node` is their node where no label names one.
    """
    found: dict[tuple[str, str], PageGpu] = {}
    for sample in _dcgm_samples(families):
        node, key = _node(sample.labels) or fallback_node, _key(sample.labels)
        gpu = found.setdefault((node, key), PageGpu(node, key, {}, {}, []))
        instance = sample.labels.get("GPU_I_ID", "")
        place = gpu.instances.setdefault(instance, {}) if instance else gpu.board
        known = place.get(sample.name)
        # Pods that share a GPU repeat its lines; of two readings of one moment the higher one stands.
        if known is None or known.value is None or (sample.value is not None and sample.value > known.value):
            place[sample.name] = sample
        gpu.labels.append(sample.labels)
    holders = {where: _holders(gpu.labels) for where, gpu in found.items()}
    kubernetes = any(holders.values())
    gpus = [_gpu(gpu, holders[where] if kubernetes else None) for where, gpu in found.items()]
    return sorted(gpus, key=lambda gpu: (gpu.node, gpu.index, gpu.uuid or ""))


def xid_watch(families: Iterable[MetricFamily], gpus: Iterable[Gpu]) -> XidWatch | None:
    """What the exporter counted of XIDs in its window, or, where every GPU's gauge says 0, since it started.

    None where it tells neither: the gauge keeps the last XID for ever, and some exporters leave it out until there is
    one.
    """
    uuids = {gpu.uuid for gpu in gpus}
    counted = [
        s for f in families for s in f.samples if s.name == _XID_COUNT and _label(s.labels, "UUID", "uuid") in uuids
    ]
    windows = [float(w) for s in counted if (w := s.labels.get("window_size_in_ms", "")).isdecimal() and float(w) > 0]
    if counted and windows:
        events = {
            (int(xid), _label(s.labels, "UUID", "uuid"))
            for s in counted
            if s.value and (xid := s.labels.get("xid", "")).isdecimal() and len(xid) < 10 and int(xid)
        }
        seen = {_label(s.labels, "UUID", "uuid") for s in counted}
        return XidWatch(
            window_s=min(windows) / 1000,
            gpus=len(seen),
            events=tuple(XidEvent(xid=xid, gpu=printable(uuid)) for xid, uuid in sorted(events)),
            source="DCGM",
        )
    last = [gpu.last_xid for gpu in gpus]
    return XidWatch(window_s=None, gpus=len(last), source="DCGM") if last and not any(x != 0 for x in last) else None


def operator_nodes(families: Iterable[MetricFamily]) -> list[GpuOperatorNode]:
    """What the GPU operator's validator says, by node; [] where the page does not hold it."""
    prefix = "gpu_operator_node_"
    told: dict[str, dict[str, float]] = {}
    for family in families:
        for sample in family.samples:
            name = sample.name.removesuffix("_total")
            if name.startswith((prefix, "gpu_operator_nvidia_pci_devices")) and sample.value is not None:
                node = printable(_label(sample.labels, "exported_node", "node") or "")
                told.setdefault(node, {})[name.removeprefix(prefix)] = sample.value

    def flag(values: Mapping[str, float], name: str) -> bool | None:
        return None if name not in values else bool(values[name])

    def count(values: Mapping[str, float], name: str) -> int | None:
        return round(values[name]) if values.get(name, -1) >= 0 else None

    return [
        GpuOperatorNode(
            node=node,
            driver_ready=flag(values, "driver_ready"),
            toolkit_ready=flag(values, "toolkit_ready"),
            plugin_ready=flag(values, "plugin_ready"),
            cuda_ready=flag(values, "cuda_ready"),
            driver_validation=flag(values, "driver_validation"),
            devices=count(values, "device_plugin_devices"),
            pci_devices=count(values, "gpu_operator_nvidia_pci_devices"),
        )
        for node, values in sorted(told.items())
    ]


def _dcgm_samples(families: Iterable[MetricFamily]) -> Iterable[MetricSample]:
    """Samples about a GPU: switches and CPUs, which DCGM exports too, name no GPU. The first names become today's."""
    for family in families:
        for sample in family.samples:
            if is_dcgm(sample.name) and _key(sample.labels):
                known = FIRST_NAMES.get(sample.name)
                yield sample if known is None else msgspec.structs.replace(sample, name=known)


def _label(labels: Mapping[str, str], *names: str) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _node(labels: Mapping[str, str]) -> str:
    named = _label(labels, *_NODE_LABELS) or _label(labels, "instance").rpartition(":")[0]
    return printable(named)


def _key(labels: Mapping[str, str]) -> str:
    return printable(_label(labels, "UUID", "uuid") or _label(labels, "gpu", "device"))


def _holders(labels: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    found = set()
    for each in labels:
        aside = "exported_" if any(name in each for name in ("exported_pod", "exported_container")) else ""
        pod = _label(each, f"{aside}pod", f"{aside}pod_name")
        if pod and "dcgm" not in pod:  # Prometheus names the exporter's own pod where no workload holds the GPU
            namespace = _label(each, f"{aside}namespace", f"{aside}pod_namespace")
            container = _label(each, f"{aside}container", f"{aside}container_name")
            found.add("/".join(printable(part) for part in (namespace, pod, container) if part))
    return tuple(sorted(found))


def _gpu(gpu: PageGpu, holders: tuple[str, ...] | None) -> Gpu:
    values: dict[str, Any] = {"holders": holders}
    reasons = {} if holders is not None else {"holders": "the exporter names no pods (DCGM_EXPORTER_KUBERNETES)"}
    for field in FIELDS:
        try:
            values[field.name] = field.read(_value(gpu, field.metrics, shared=field.shared))
        except NoReading as error:
            reasons[field.name] = str(error)
    for read in (_memory, _utilization, _fabric, _mig, _labelled):
        read(gpu, values, reasons)
    for name in Gpu.__struct_fields__:
        if name not in _IDENTITY and values.get(name) is None and name not in reasons:
            reasons[name] = _TOTALS if name == "nvlinks" else _NEVER
    number = re.search(r"\d+$", next((_label(each, "gpu", "device") for each in gpu.labels), ""))
    uuid = next((_label(each, "UUID", "uuid") for each in gpu.labels if _label(each, "UUID", "uuid")), "")
    return Gpu(
        node=gpu.node,
        index=int(number[0]) if number and len(number[0]) < 5 else 0,
        uuid=printable(uuid) if uuid else None,
        sources=("DCGM",),
        reasons=reasons,
        **values,
    )


def _value(gpu: PageGpu, metrics: tuple[str, ...], *, shared: bool) -> float:
    """The first of `metrics` that the page has for this GPU; :class:`NoReading` says why there is no number."""
    places = [gpu.board, *(gpu.instances.values() if shared else ())]
    for metric in metrics:
        sample = next((place[metric] for place in places if metric in place), None)
        if sample is not None:
            return _number(sample)
    if not shared and any(metric in place for place in gpu.instances.values() for metric in metrics):
        raise NoReading("MIG is on: its instances answer instead")
    raise NoReading(f"the exporter does not export it: add {metrics[0]} to its counters file")


def _number(sample: MetricSample) -> float:
    """DCGM's blanks (dcgm_structs.h: int32, double and int64 ones) are no readings."""
    value = sample.value
    if value is None or value < 0 or value >= 2**47 or 0x7FFFFFF0 <= value <= 0x7FFFFFFF:
        raise NoReading(f"DCGM has no value for it: {sample.name} is blank")
    return value


def _memory(gpu: PageGpu, values: dict[str, Any], reasons: dict[str, str]) -> None:
    """DCGM counts in MiB. Total = used + free + reserved, where it is not exported itself."""
    for part in ("used", "free", "reserved", "total"):
        try:
            amount = _value(gpu, (f"{DEV}FB_{part.upper()}",), shared=False)
            values[f"memory_{part}_bytes"] = round(amount) * MIB
        except NoReading as error:
            reasons[f"memory_{part}_bytes"] = str(error)
    used, free = values.get("memory_used_bytes"), values.get("memory_free_bytes")
    if values.get("memory_total_bytes") is None and used is not None and free is not None and used + free:
        values["memory_total_bytes"] = used + free + (values.get("memory_reserved_bytes") or 0)
        del reasons["memory_total_bytes"]


def _utilization(gpu: PageGpu, values: dict[str, Any], reasons: dict[str, str]) -> None:
    """In percent; the metric that is called a ratio since DCGM 4.6 is seen in both units."""
    name = "utilization_gpu_percent"
    scales = ((f"{DEV}GPU_UTIL", 1), (f"{DEV}GPU_UTIL_RATIO", 0), ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 100))
    for metric, scale in scales:
        try:
            value = _value(gpu, (metric,), shared=False)
        except NoReading as error:
            reasons.setdefault(name, str(error))
            continue
        if not scale and value == 1:
            reasons[name] = f"{metric} is 1: whether that is 1 % or 100 % it does not tell"
            return
        values[name] = min(100, round(value * (scale or (100 if 0 < value < 1 else 1))))
        reasons.pop(name, None)
        return


def _fabric(gpu: PageGpu, values: dict[str, Any], reasons: dict[str, str]) -> None:
    """dcgmFabricManagerStatus_t: 0 to 2 are NVML's states, 3 is completed, 4 completed with an error."""
    try:
        status = round(_value(gpu, (f"{DEV}FABRIC_MANAGER_STATUS",), shared=True))
        if status == 0:
            raise NoReading("there is no NVSwitch fabric")
        if status > 4:
            raise NoReading(f"DCGM could not read the fabric's state (status {status})")
    except NoReading as error:
        reasons["fabric"] = str(error)
        return
    mask: int | None
    try:
        mask = round(_value(gpu, (f"{DEV}FABRIC_HEALTH_MASK",), shared=True))
    except NoReading:
        mask = None
    values["fabric"] = GpuFabric(
        state=FABRIC_STATES[min(status, 3)],
        status={3: 0, 4: 999}.get(status),
        health_mask=mask,
        faults=fabric_faults(mask),
    )


def _mig(gpu: PageGpu, values: dict[str, Any], reasons: dict[str, str]) -> None:
    instances = []
    for samples in gpu.instances.values():
        any_sample = next(iter(samples.values()))
        used, free = (samples.get(f"{DEV}FB_{part}") for part in ("USED", "FREE"))
        told = used is not None and free is not None and used.value is not None and free.value is not None
        instances.append(
            MigInstance(
                profile=printable(any_sample.labels.get("GPU_I_PROFILE", "")) or None,
                memory_used_bytes=round(used.value) * MIB if told and used and used.value is not None else None,
                memory_total_bytes=round((used.value or 0) + (free.value or 0)) * MIB
                if told and used and free
                else None,
            )
        )
    if instances:
        values |= {"mig_enabled": True, "mig_instances": tuple(instances)}
        return
    try:
        values["mig_enabled"] = bool(_value(gpu, (f"{DEV}MIG_MODE",), shared=True))
        if not values["mig_enabled"]:
            values["mig_instances"] = ()
    except NoReading as error:
        reasons["mig_enabled"] = str(error)


def _labelled(gpu: PageGpu, values: dict[str, Any], reasons: dict[str, str]) -> None:
    """What the counters file calls a label is the same on every line."""
    labels = {name: value for each in gpu.labels for name, value in each.items() if value}
    names = {
        "product": "modelName",
        "pci_bus_id": "pci_bus_id",
        "driver_version": "DCGM_FI_DRIVER_VERSION",
        "vbios_version": "DCGM_FI_DEV_VBIOS_VERSION",
    }
    for field, label in names.items():
        if labels.get(label):
            values[field] = printable(labels[label])
        else:
            reasons[field] = f"the exporter does not export it: no label {label}"
    serial, cuda = labels.get("DCGM_FI_DEV_SERIAL"), labels.get("DCGM_FI_CUDA_DRIVER_VERSION", "")
    if serial:
        values["serial"] = "sha256:" + hashlib.sha256(serial.encode()).hexdigest()[:16]
    if values.get("cuda_version") is None and cuda.isdecimal() and len(cuda) < 7:
        values["cuda_version"] = cuda_version(float(cuda))
        reasons.pop("cuda_version", None)
