from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No GPU failed to replace a broken memory row",
    severity=Severity.CRITICAL,
    needs=("nvml.gpus",),
    remediation="Take the GPU out of service and have it replaced: no spare row is left where one is needed.",
    references=("https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/index.html",),
)
def row_remap_failure(snapshot: Snapshot) -> Iterator[Judgement]:
    """From Ampere on a GPU replaces broken memory rows by spare ones; when that fails the broken row stays in use.

    The vendor names this a reason to replace the board.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        field = "remapped_rows_failure"
        failure = gpu.remapped_rows_failure
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", failure, False)
        if failure is None:
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"row remapping: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif failure:
            yield failed(gpu.subject, "a memory row could not be remapped", seen)
        else:
            yield passed(gpu.subject, "no row remapping failed", seen)
