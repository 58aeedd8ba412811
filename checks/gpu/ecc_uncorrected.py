from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No GPU has uncorrected memory errors",
    severity=Severity.CRITICAL,
    needs=("nvml.gpus",),
    remediation="Cordon the node, drain the replica, then reset the GPU; replace it when the errors come back.",
    references=("https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/index.html",),
)
def ecc_uncorrected(snapshot: Snapshot, *, max_errors: int = 0) -> Iterator[Judgement]:
    """An uncorrected ECC error means memory that held weights or KV cache was lost.

    The driver kills the process that touched it, so one bad GPU turns into restarts under load, long after a smoke
    test was green.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        field = "ecc_volatile_uncorrected"
        errors = gpu.ecc_volatile_uncorrected
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", errors, f"<= {max_errors}")
        if errors is None:
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"ECC counters: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif errors > max_errors:
            yield failed(gpu.subject, f"{errors} uncorrected ECC errors since the driver was loaded", seen)
        else:
            yield passed(gpu.subject, f"{errors} uncorrected ECC errors since the driver was loaded", seen)
