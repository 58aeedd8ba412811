from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="GPU clocks are not held down by a setting",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus",),
    remediation="Reset the clocks with `nvidia-smi -rgc` and `nvidia-smi -rac`, or state them and measure under them.",
    references=("https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html",),
)
def application_clocks(snapshot: Snapshot) -> Iterator[Judgement]:
    """Clocks locked for an earlier experiment stay locked until a reboot, and slow one node of many."""
    for gpu in snapshot.fact("nvml.gpus"):
        field = "clock_event_reasons"
        reasons = gpu.clock_event_reasons
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", reasons, "no applications_clocks_setting")
        if reasons is None:
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"reasons for lower clocks: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif "applications_clocks_setting" in reasons:
            yield failed(gpu.subject, "a setting holds the clocks down", seen)
        else:
            yield passed(gpu.subject, "no setting holds the clocks down", seen)
