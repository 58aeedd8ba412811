from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No GPU has a history of uncorrected memory errors",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus",),
    remediation="Run the vendor's field diagnostics on this GPU before it takes traffic; replace it when they fail.",
    references=("https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/index.html",),
)
def ecc_history(snapshot: Snapshot, *, max_errors: int = 0) -> Iterator[Judgement]:
    """Uncorrected errors over the board's life outlast a reboot, which clears the counters that most dashboards show.

    A GPU that failed before is the likeliest to fail again.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        field = "ecc_aggregate_uncorrected"
        errors = gpu.ecc_aggregate_uncorrected
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", errors, f"<= {max_errors}")
        if errors is None:
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"lifetime ECC counters: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif errors > max_errors:
            yield failed(gpu.subject, f"{errors} uncorrected ECC errors over the board's life", seen)
        else:
            yield passed(gpu.subject, f"{errors} uncorrected ECC errors over the board's life", seen)
