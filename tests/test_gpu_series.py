"""GPU readings as points: rounds are kept together, and what a point stands for is not lost."""

from __future__ import annotations

from inferaudit.facts.gpu import Gpu, GpuSamples
from inferaudit.gpu_series import MAX_POINTS, gpu_series

GPUS = [Gpu(node="n", index=i, uuid=f"GPU-{i}", memory_total_bytes=100, power_limit_w=700.0) for i in range(8)]


def samples(moments: int, gpus: int, *, bits: dict[tuple[int, int], int | None] | None = None) -> GpuSamples:
    """Every GPU read in each moment, some microseconds one after the other, as the sampler does it."""
    rows = [(moment, gpu) for moment in range(moments) for gpu in range(gpus)]
    count = len(rows)
    return GpuSamples(
        uuids=tuple(f"GPU-{i}" for i in range(gpus)),
        interval_ms=100.0,
        t_ns=tuple(moment * 100_000_000 + gpu * 200_000 for moment, gpu in rows),
        gpu=tuple(gpu for _, gpu in rows),
        utilization_gpu_percent=tuple(10 * gpu for _, gpu in rows),
        memory_used_bytes=tuple(moment % 50 for moment, _ in rows),
        power_w=(350.0,) * count,
        sm_clock_mhz=(1980,) * count,
        temperature_c=(60,) * count,
        clock_event_bits=tuple((bits or {}).get(row, 0) for row in rows),
    )


def test_every_point_has_every_gpu_though_each_was_read_at_its_own_instant() -> None:
    points = gpu_series(samples(10, 8), 0, GPUS)
    assert [point["t_s"] for point in points] == [n / 10 for n in range(10)]
    assert all([reading["gpu"] for reading in point["value"]] == [f"GPU {i}" for i in range(8)] for point in points)
    assert points[0]["value"][3] == {
        "gpu": "GPU 3",
        "utilization_gpu_percent": 30,
        "memory_used_bytes": 0,
        "memory_total_bytes": 100,
        "power_w": 350.0,
        "power_limit_w": 700.0,
        "sm_clock_mhz": 1980,
        "temperature_c": 60,
        "throttled": [],
    }


def test_a_long_run_keeps_every_gpu_every_peak_and_every_throttling() -> None:
    points = gpu_series(samples(4000, 8, bits={(1234, 5): 0x40, (1235, 5): 0x4}), 0, GPUS)
    assert len(points) <= MAX_POINTS
    assert all(len(point["value"]) == 8 for point in points)
    assert max(reading["memory_used_bytes"] for point in points for reading in point["value"]) == 49
    held = [(r["gpu"], r["throttled"]) for point in points for r in point["value"] if r["throttled"]]
    assert held == [("GPU 5", ["sw_power_cap", "hw_thermal_slowdown"])]


def test_what_was_not_told_is_none() -> None:
    (point,) = gpu_series(samples(1, 1, bits={(0, 0): None}), 0)
    (reading,) = point["value"]
    assert (reading["throttled"], reading["memory_total_bytes"], reading["power_limit_w"]) == (None, None, None)
