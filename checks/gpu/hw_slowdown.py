from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No GPU is slowed down by its hardware protection",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="Look at the node's cooling, power and cabling; take it out of service until the reason is gone.",
    references=("https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html",),
)
def hw_slowdown(snapshot: Snapshot) -> Iterator[Judgement]:
    """A hardware slowdown halves the clocks or worse: heat, a power brake signal or a failing supply.

    One such GPU sets the pace of a whole tensor-parallel group, and the mean over the fleet hides it.
    """
    hardware = ("hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown")
    for gpu in snapshot.fact("nvml.gpus"):
        field = "clock_event_reasons"
        reasons = gpu.clock_event_reasons
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", reasons, "no hardware slowdown")
        if reasons is None:
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"reasons for lower clocks: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
            continue
        active = [reason for reason in reasons if reason in hardware]
        if active:
            yield failed(gpu.subject, f"the hardware slows the GPU down: {', '.join(active)}", seen)
        else:
            yield passed(gpu.subject, "no hardware slowdown is active", seen)
