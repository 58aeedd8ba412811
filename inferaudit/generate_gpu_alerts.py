"""Alerting rules for GPU memory, the KV cache, GPU utilisation and XID errors. Pure.

They read dcgm-exporter, whose labels name the GPU and, where the kubelet tells, the pod that uses it.
"""

from __future__ import annotations

from collections.abc import Iterator

from inferaudit.generators import DCGM, GPU, Service, by, gpu_series, identity, metric, promql_string, selector, who
from inferaudit.rules_file import AlertRule, RecordingRule, service_labels
from inferaudit.xid_table import xid_kind

FULL = 0.95
"""Share of GPU memory or KV cache above which it is called full."""
XID_RECORD = "inference:gpu_xid:count"
_MAX_XID = 255
_Written = Iterator[AlertRule | RecordingRule | str]


def memory_alerts(service: Service) -> _Written:
    """KV cache and GPU memory, or why not."""
    cache = metric(service, "kv_cache_usage", "gauge")
    if cache is not None and cache.unit == "ratio":
        yield AlertRule(
            name="InferenceKvCacheFull",
            expr=f"max {by(identity(cache))} ({selector(service, cache.name, cache.select)}) > {FULL}",
            for_="5m",
            severity="warning",
            summary=f"{who(cache)}: the KV cache is more than {FULL * 100:g} % full",
            description=(
                "{{ $value | humanizePercentage }} of the fullest replica's KV cache is in use: requests are "
                "preempted or wait. Add replicas, or lower context or concurrency."
            ),
        )
    if not service.gpus:
        return
    if service.runtime.kind == "llm" or "gpu_memory_fraction" in service.runtime.settings:
        # Such an engine takes its share of the GPU (vLLM 0.92) when it starts and never gives it back: a rule over
        # the device's memory would fire at rest, or never. Its pressure shows in its cache alone.
        instead = (
            "the KV cache is watched instead"
            if cache is not None and cache.unit == "ratio"
            else "and it exports no share of its KV cache either"
        )
        yield (
            f"GPU memory: {service.runtime.title} takes its share of the GPU at start, so that a rule would fire "
            f"at rest; {instead}."
        )
        return
    used, free = (f"max {by(GPU)} ({gpu_series(service, DCGM[what])})" for what in ("memory_used", "memory_free"))
    yield AlertRule(
        name="InferenceGpuMemoryFull",
        expr=f"{used}\n/\n({used} + {free})\n> {FULL}",
        for_="5m",
        severity="warning",
        summary=(f"GPU {{{{ $labels.gpu }}}} of {{{{ $labels.Hostname }}}}: memory is more than {FULL * 100:g} % full"),
        description=(
            "{{ $value | humanizePercentage }} of the GPU's memory is in use; the next allocation may end the process."
        ),
    )


def gpu_alerts(service: Service) -> _Written:
    """Utilisation and XID errors, or why not."""
    if not service.gpus:
        yield "GPU memory, GPU utilisation, XID errors: --gpus off."
        return
    busy = f"avg {by(GPU)} (avg_over_time({_ranged(service, DCGM['utilization'], '10m')}))"
    where = "GPU {{ $labels.gpu }} of {{ $labels.Hostname }}"
    yield AlertRule(
        name="InferenceGpuSaturated",
        expr=f"{busy} > 95",
        for_="15m",
        severity="warning",
        summary=f"{where}: busy all the time",
        description=(
            "Utilisation is {{ $value | humanize }} %: there is no room for the next spike. It says that kernels "
            "run, not how well: look at tokens per second before adding GPUs."
        ),
    )
    # A gauge's value cannot be selected by a pattern, a label can.
    count = f'count_values {by(GPU)} ("xid", {gpu_series(service, DCGM["xid"])})'
    yield RecordingRule(XID_RECORD, count, service_labels(service))
    chosen = [f"service={promql_string(value)}" for value in service_labels(service).values()]
    hardware, others = (
        "|".join(str(n) for n in range(1, _MAX_XID) if xid_kind(n) in kinds)
        for kinds in (("hardware",), ("hardware", "application"))
    )
    yield AlertRule(
        name="InferenceGpuXidHardware",
        expr=_xid([*chosen, f'xid=~"{hardware}"']),
        for_="0s",
        severity="critical",
        summary=f"{where}: XID {{{{ $labels.xid }}}}, the hardware is failing",
        description=(
            "The driver reported an error that takes a reset, a reboot or a repair: drain the node. The exporter "
            "repeats the last XID until it is restarted."
        ),
    )
    yield AlertRule(
        name="InferenceGpuXid",
        expr=_xid([*chosen, f'xid!~"0|{others}"']),
        for_="0s",
        severity="warning",
        summary=f"{where}: XID {{{{ $labels.xid }}}} is to be investigated",
        description=(
            "Neither plainly the hardware's nor plainly the program's fault; those of programs are left to the "
            "alerts on their errors."
        ),
    )


def _ranged(service: Service, name: str, window: str) -> str:
    """A range of the service's GPU metric; a subquery where two selectors stand for it."""
    series = gpu_series(service, name)
    return f"{series}[{window}:1m]" if series.startswith("(") else f"{series}[{window}]"


def _xid(matchers: list[str]) -> str:
    return f"{XID_RECORD}{{{','.join(matchers)}}} > 0"
