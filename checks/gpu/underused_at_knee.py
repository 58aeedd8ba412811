from collections.abc import Iterator
from statistics import fmean

from inferaudit.api import (
    Evidence,
    Judgement,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    review,
    unknown,
)
from inferaudit.benchmark import judged_stage
from inferaudit.facts.gpu import GpuSamples
from inferaudit.gpu_load import SampledGpu, idle_share, sampled_gpus
from inferaudit.load_readings import client_limits
from inferaudit.load_stages import knee_stage
from inferaudit.roofline import OPTIONAL, NoRoofline, Roofline, roofline


@check(
    title="The GPUs work when the load is at its knee",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records", "load.gpu_samples", "nvml.gpus"),
    optional=OPTIONAL,
    remediation=(
        "The limit is elsewhere: look at tokenisation and CPU requests, the engine's batch and queue limits, the "
        "gateway, and replicas that no traffic reaches; then raise the rate again, or take fewer or smaller GPUs."
    ),
    references=("https://docs.nvidia.com/deeplearning/performance/dl-performance-gpu-background/index.html",),
)
def underused_at_knee(
    snapshot: Snapshot, *, max_idle: float = 0.25, min_share: float = 0.1, min_samples: int = 10
) -> Iterator[Judgement]:
    """A service that can take no more while its GPUs wait is held up by something that is cheaper than a GPU.

    Utilisation says that something ran, not how much was done. So a GPU counts as used only if it is seldom idle and
    tokens/s come to `min_share` of what its bandwidth or its arithmetic allow. Judged is the probe at the knee; where
    the load was not taken to its knee, an idle GPU may only lack work, which is unknown.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    samples: GpuSamples = snapshot.fact("load.gpu_samples")
    knee = knee_stage(result)
    stage = knee or judged_stage(result)
    if stage is None:
        yield unknown(None, "no stage stands for the whole load", Evidence("load.result.stages", None))
        return
    where = f"at the knee, {stage.rate:g} requests/s" if knee else f"in stage {stage.name}, below the knee or not"
    limits, advice = client_limits(result, records, stage, "latency_ms", "request_rate")
    reached = roofline(snapshot, stage)
    for each in sampled_gpus(samples, snapshot.fact("nvml.gpus"), [stage]):
        if each.rows is None:
            yield unknown(each.subject, each.why, Evidence(each.path, None), cause=each.gpu.silence)
            continue
        idle = idle_share(samples, each.rows)
        if idle is None and each.gpu.mig_enabled:
            yield not_applicable(
                each.subject, "a GPU in MIG mode does not tell how busy it is", Evidence(each.path, None)
            )
            continue
        if idle is None or idle[1] < min_samples:
            few = idle[1] if idle else 0
            said = f"{few} readings in stage {stage.name} are too few: {min_samples} are needed"
            yield unknown(each.subject, said, Evidence(each.path, few, f">= {min_samples}"))
            continue
        seen = (
            Evidence(f"{each.path}.idle", round(idle[0], 3), f"<= {max_idle:g} {where}"),
            Evidence(f"{each.path}.at_work", _at_work(samples, each)),
            _tokens(reached, min_share),
        )
        said = f"idle in {idle[0]:.0%} of {idle[1]} moments {where}; {_done(reached)}"
        if limits:
            yield unknown(each.subject, f"{said}; the client was the limit ({limits[0]}): {advice}", *seen)
        elif idle[0] > max_idle:
            judge = failed if knee else unknown
            yield judge(each.subject, said if knee else f"{said}; --load full searches the knee", *seen)
        elif isinstance(reached, NoRoofline):
            yield unknown(each.subject, f"{said}, so that being busy is all that is known", *seen)
        elif reached.share < min_share:
            yield (failed if knee else review)(each.subject, f"{said}: busy, and little is done", *seen)
        else:
            yield passed(each.subject, said, *seen)


def _at_work(samples: GpuSamples, each: SampledGpu) -> dict[str, float | None]:
    """Means over the stage of what the GPU told: evidence, not judged."""

    def mean(column: tuple[float | None, ...]) -> float | None:
        known = [value for row in each.rows or () if (value := column[row]) is not None]
        return round(fmean(known), 1) if known else None

    return {
        "utilization_gpu_percent": mean(samples.utilization_gpu_percent),
        "power_w": mean(samples.power_w),
        "power_limit_w": each.gpu.power_limit_w,
        "sm_clock_mhz": mean(samples.sm_clock_mhz),
    }


def _tokens(reached: Roofline | NoRoofline, min_share: float) -> Evidence:
    if isinstance(reached, NoRoofline):
        return reached.evidence
    figures = {
        "tokens_per_s_per_gpu": round(reached.produced / reached.gpus, 1),
        "share_of_bandwidth": round(reached.decode_share, 3),
        "share_of_arithmetic": None if reached.arithmetic_share is None else round(reached.arithmetic_share, 3),
    }
    return Evidence("load.records", figures, f"one share >= {min_share:g}")


def _done(reached: Roofline | NoRoofline) -> str:
    if isinstance(reached, NoRoofline):
        return reached.why
    return (
        f"{reached.produced / reached.gpus:,.0f} tokens/s a GPU, {reached.share:.0%} of the roofline ({reached.what})"
    )
