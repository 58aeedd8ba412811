from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="GPUs stay clear of their slowdown temperature",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus",),
    remediation="Improve the cooling of the node before load raises the temperature further.",
)
def temperature_margin(snapshot: Snapshot, *, min_margin_c: int = 8) -> Iterator[Judgement]:
    """A GPU that is nearly too hot at rest will throttle under the first sustained load."""
    for gpu in snapshot.fact("nvml.gpus"):
        margin = gpu.temperature_margin_c
        path = f"nvml.gpus[{gpu.index}].temperature_margin_c"
        if margin is None and gpu.temperature_c is not None and gpu.temperature_slowdown_c is not None:
            margin = gpu.temperature_slowdown_c - gpu.temperature_c
            path = f"nvml.gpus[{gpu.index}].temperature_slowdown_c - temperature_c"
        seen = Evidence(path, margin, f">= {min_margin_c}")
        if margin is None:
            field = "temperature_c" if gpu.temperature_c is None else "temperature_slowdown_c"
            yield unknown(gpu.subject, f"temperature: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif margin < min_margin_c:
            yield failed(gpu.subject, f"{margin} °C below the temperature at which it slows down", seen)
        else:
            yield passed(gpu.subject, f"{margin} °C below the temperature at which it slows down", seen)
