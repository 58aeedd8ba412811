from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="GPUs run at their default power limit",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus",),
    remediation="Restore the limit with `nvidia-smi -pl`, or state the lower limit and measure the load under it.",
)
def power_limit(snapshot: Snapshot, *, min_share: float = 0.95) -> Iterator[Judgement]:
    """A lowered power limit costs prefill speed first, and a benchmark of another node does not show it."""
    for gpu in snapshot.fact("nvml.gpus"):
        limit, usual = gpu.power_limit_w, gpu.power_default_limit_w
        seen = Evidence(f"nvml.gpus[{gpu.index}].power_limit_w", limit, usual)
        if limit is None or not usual:
            field = "power_limit_w" if limit is None else "power_default_limit_w"
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"power limit: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif limit < min_share * usual:
            yield failed(gpu.subject, f"limited to {limit:g} W of {usual:g} W", seen)
        else:
            yield passed(gpu.subject, f"power limit {limit:g} W", seen)
