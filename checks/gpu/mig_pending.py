from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No change of MIG mode is pending",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="Drain the node and reset its GPUs, so that what was tested is what serves.",
    references=("https://docs.nvidia.com/datacenter/tesla/mig-user-guide/index.html",),
)
def mig_pending(snapshot: Snapshot) -> Iterator[Judgement]:
    """A pending change takes effect at the next reset: the GPU then has other devices than the workload asks for."""
    for gpu in snapshot.fact("nvml.gpus"):
        now, later = gpu.mig_enabled, gpu.mig_enabled_pending
        seen = Evidence(f"nvml.gpus[{gpu.index}].mig_enabled_pending", later, now)
        if now is None or later is None:
            silent = not_applicable if gpu.lacks("mig_enabled") else unknown
            yield silent(gpu.subject, f"MIG: {gpu.why_unknown('mig_enabled')}", seen, cause=gpu.silence)
        elif now != later:
            yield failed(gpu.subject, f"MIG is {'on' if now else 'off'} and changes at the next reset", seen)
        else:
            yield passed(gpu.subject, f"MIG is {'on' if now else 'off'} and stays so", seen)
