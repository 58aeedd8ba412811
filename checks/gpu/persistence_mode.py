from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="The driver stays loaded between processes",
    severity=Severity.LOW,
    needs=("nvml.gpus",),
    remediation="Run nvidia-persistenced on the node, or switch persistence mode on with `nvidia-smi -pm 1`.",
    references=("https://docs.nvidia.com/deploy/driver-persistence/index.html",),
)
def persistence_mode(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without persistence the driver tears the GPU down with its last process.

    The next start pays seconds for it, and settings such as power limits and ECC counters are lost.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        field = "persistence_mode"
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", gpu.persistence_mode, True)
        if gpu.persistence_mode is None:
            silent = not_applicable if gpu.lacks(field) else unknown
            yield silent(gpu.subject, f"persistence mode: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif gpu.persistence_mode:
            yield passed(gpu.subject, "persistence mode is on", seen)
        else:
            yield failed(gpu.subject, "persistence mode is off", seen)
