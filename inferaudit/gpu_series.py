"""GPU readings under load as the points of a chart: at most 400 moments, each with every GPU. Pure."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from inferaudit.facts.gpu import Gpu, GpuSamples

MAX_POINTS = 400


def gpu_series(samples: GpuSamples, started_ns: int, gpus: list[Gpu] | None = None) -> list[dict[str, Any]]:
    """Points ``{t_s, value: [{gpu, utilization_gpu_percent, …}]}``; `t_s` counts from `started_ns`."""
    totals = {gpu.uuid: gpu.memory_total_bytes for gpu in gpus or ()}
    moments = [(t, list(rows)) for t, rows in groupby(range(len(samples.t_ns)), key=lambda i: samples.t_ns[i])]
    step = max(1, -(-len(moments) // MAX_POINTS))
    return [
        {
            "t_s": (t - started_ns) / 1e9,
            "value": [
                {
                    "gpu": f"GPU {samples.gpu[i]}",
                    "utilization_gpu_percent": samples.utilization_gpu_percent[i],
                    "memory_used_bytes": samples.memory_used_bytes[i],
                    "memory_total_bytes": totals.get(samples.uuids[samples.gpu[i]]),
                    "power_w": samples.power_w[i],
                    "temperature_c": samples.temperature_c[i],
                }
                for i in rows
            ],
        }
        for t, rows in moments[::step]
    ]
