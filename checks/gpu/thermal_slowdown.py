from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No GPU is throttled for its temperature",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus",),
    remediation="Improve the cooling of the node, or lower the power limit of its GPUs so that clocks stay even.",
    references=("https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html",),
)
def thermal_slowdown(snapshot: Snapshot) -> Iterator[Judgement]:
    """The driver lowers clocks before the hardware must: throughput falls in the afternoon and no error is logged."""
    for gpu in snapshot.fact("nvml.gpus"):
        field = "clock_event_reasons"
        reasons = gpu.clock_event_reasons
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", reasons, "no sw_thermal_slowdown")
        if reasons is None:
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"reasons for lower clocks: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif "sw_thermal_slowdown" in reasons:
            yield failed(gpu.subject, "the driver lowers the clocks because of heat", seen)
        else:
            yield passed(gpu.subject, "clocks are not lowered because of heat", seen)
