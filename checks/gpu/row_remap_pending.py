from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No GPU waits for a reset to replace a memory row",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="Drain the node and reset the GPU (`nvidia-smi --gpu-reset`), so that the remapping takes effect.",
    references=("https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/index.html",),
)
def row_remap_pending(snapshot: Snapshot) -> Iterator[Judgement]:
    """A pending row remapping means the broken row is still in use: the next touch kills the process again."""
    for gpu in snapshot.fact("nvml.gpus"):
        field = "remapped_rows_pending"
        pending = gpu.remapped_rows_pending
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", pending, False)
        if pending is None:
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"row remapping: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif pending:
            yield failed(gpu.subject, "a row remapping takes effect at the next reset only", seen)
        else:
            yield passed(gpu.subject, "no row remapping is pending", seen)
