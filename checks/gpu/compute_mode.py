from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="GPUs accept the processes that will use them",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="Set the compute mode back with `nvidia-smi -c DEFAULT`.",
)
def compute_mode(snapshot: Snapshot) -> Iterator[Judgement]:
    """A GPU in prohibited mode refuses every CUDA context, and one in exclusive mode the second.

    Servers that start one process for each model or worker then fail at load time.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        field = "compute_mode"
        mode = gpu.compute_mode
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", mode, "default")
        if mode is None:
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"compute mode: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif mode == "prohibited":
            yield failed(gpu.subject, "compute mode is prohibited: no process can use this GPU", seen)
        elif mode in ("exclusive_process", "exclusive_thread"):
            yield passed(gpu.subject, f"compute mode is {mode}: one process at a time", seen)
        else:
            yield passed(gpu.subject, f"compute mode is {mode}", seen)
