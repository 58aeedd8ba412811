"""Readings of the service's GPUs under load, for the checks that judge them: whose they are, and when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inferaudit.facts.gpu import Gpu, GpuSamples
from inferaudit.facts.load import LoadStage

GPU_IDLE = 0x1
"""The driver's own word for "nothing to do", among the reasons for lower clocks."""


@dataclass(frozen=True, slots=True)
class SampledGpu:
    """A GPU of the service. `rows` are its places in the samples' columns; None = it was not sampled, as `why` says."""

    gpu: Gpu
    rows: tuple[int, ...] | None
    why: str = ""

    @property
    def subject(self) -> str:
        """How findings name it."""
        return self.gpu.subject

    @property
    def path(self) -> str:
        """Where its samples lie, for evidence."""
        return f"load.gpu_samples[{self.gpu.uuid}]"


def sampled_gpus(
    samples: GpuSamples, gpus: Sequence[Gpu], stages: Sequence[LoadStage] | None = None
) -> list[SampledGpu]:
    """Every GPU of the service, with its rows in the time of `stages` (all rows without). Strangers' are left out."""
    places: dict[str | None, int] = {uuid: place for place, uuid in enumerate(samples.uuids)}
    spans = None if stages is None else [(stage.start_ns, stage.end_ns) for stage in stages]
    rows: dict[int, list[int]] = {}
    for row, (index, at) in enumerate(zip(samples.gpu, samples.t_ns, strict=True)):
        if spans is None or any(start <= at <= end for start, end in spans):
            rows.setdefault(index, []).append(row)
    found = []
    for gpu in gpus:
        place = places.get(gpu.uuid)
        if place is None:
            found.append(SampledGpu(gpu, None, _why_not(gpu)))
        else:
            found.append(SampledGpu(gpu, tuple(rows.get(place, ()))))
    return found


def measured_stages(stages: Sequence[LoadStage]) -> list[LoadStage]:
    """The stages that count: a warm-up is none of them."""
    return [stage for stage in stages if stage.measured]


def told(column: Sequence[int | None], rows: Sequence[int]) -> list[int]:
    """The readings of a column in these rows that were given."""
    return [value for row in rows if (value := column[row]) is not None]


def answered(samples: GpuSamples, row: int) -> bool:
    """Whether the GPU gave any reading at that moment."""
    columns = (
        samples.utilization_gpu_percent,
        samples.memory_used_bytes,
        samples.power_w,
        samples.sm_clock_mhz,
        samples.temperature_c,
        samples.clock_event_bits,
    )
    return any(column[row] is not None for column in columns)


def idle_share(samples: GpuSamples, rows: Sequence[int], max_percent: int = 5) -> tuple[float, int] | None:
    """(share of the moments in which the GPU had nothing to do, how many told it); None where none did.

    Idle is what the driver calls idle, or a utilisation of at most `max_percent`: a busy GPU is not thereby well used.
    """
    idle = known = 0
    for row in rows:
        bits, busy = samples.clock_event_bits[row], samples.utilization_gpu_percent[row]
        if bits is None and busy is None:
            continue
        known += 1
        idle += bool(bits and bits & GPU_IDLE) or (busy is not None and busy <= max_percent)
    return (idle / known, known) if known else None


def _why_not(gpu: Gpu) -> str:
    if gpu.lost or gpu.error:
        return gpu.error or "it was lost before the load began"
    if "NVML" not in gpu.sources:
        return "it was not sampled: an exporter showed it, and only this host's driver is asked while load is on"
    return "it was not sampled while load was on"
