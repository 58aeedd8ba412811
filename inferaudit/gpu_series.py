"""GPU readings under load as the points of a chart: at most 400 moments, each with every GPU. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from inferaudit.facts.gpu import Gpu, GpuSamples

MAX_POINTS = 400
# Reasons for lower clocks that are no setting and no rest: the same bits that NVML and DCGM use.
_THROTTLES = {
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
}


def gpu_series(samples: GpuSamples, started_ns: int, gpus: list[Gpu] | None = None) -> list[dict[str, Any]]:
    """Points ``{t_s, value: [{gpu, utilization_gpu_percent, …}]}``; `t_s` counts from `started_ns`.

    Where there are more moments than points, a point stands for several: utilisation, power and clock are their means,
    memory and temperature their maximum, `throttled` every reason that was given in any of them (None = not told).
    """
    known = {gpu.uuid: gpu for gpu in gpus or ()}
    moments = _moments(samples)
    step = max(1, -(-len(moments) // MAX_POINTS))
    points = []
    for start in range(0, len(moments), step):
        rows: dict[int, list[int]] = {}
        for moment in moments[start : start + step]:
            for row in moment:
                rows.setdefault(samples.gpu[row], []).append(row)
        first = moments[start][0]
        value = [_reading(samples, place, rows[place], known) for place in sorted(rows)]
        points.append({"t_s": (samples.t_ns[first] - started_ns) / 1e9, "value": value})
    return points


def _moments(samples: GpuSamples) -> list[list[int]]:
    """Rows of one round each: the GPUs are read one after the other, so a round ends where the index falls."""
    moments: list[list[int]] = []
    for row, place in enumerate(samples.gpu):
        if not moments or place <= samples.gpu[moments[-1][-1]]:
            moments.append([])
        moments[-1].append(row)
    return moments


def _reading(samples: GpuSamples, place: int, rows: Sequence[int], known: dict[str | None, Gpu]) -> dict[str, Any]:
    def told(column: Sequence[float | None]) -> list[float]:
        return [value for row in rows if (value := column[row]) is not None]

    def mean(column: Sequence[float | None]) -> float | None:
        values = told(column)
        return (values[0] if len(values) == 1 else round(fmean(values), 1)) if values else None

    gpu = known.get(samples.uuids[place])
    bits = [value for row in rows if (value := samples.clock_event_bits[row]) is not None]
    return {
        "gpu": f"GPU {place}",
        "utilization_gpu_percent": mean(samples.utilization_gpu_percent),
        "memory_used_bytes": max(told(samples.memory_used_bytes), default=None),
        "memory_total_bytes": gpu.memory_total_bytes if gpu else None,
        "power_w": mean(samples.power_w),
        "power_limit_w": gpu.power_limit_w if gpu else None,
        "sm_clock_mhz": mean(samples.sm_clock_mhz),
        "temperature_c": max(told(samples.temperature_c), default=None),
        "throttled": [name for bit, name in _THROTTLES.items() if any(each & bit for each in bits)] if bits else None,
    }
