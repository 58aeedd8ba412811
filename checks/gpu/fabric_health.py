from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="The NVLink fabric reports no fault",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="See the fabric manager's log for the fault, and take the node out of service until it is mended.",
    references=("https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/index.html",),
)
def fabric_health(snapshot: Snapshot) -> Iterator[Judgement]:
    """A fabric with degraded bandwidth or an unhealthy route works, slowly, for every group that crosses it."""
    for gpu in snapshot.fact("nvml.gpus"):
        path = f"nvml.gpus[{gpu.index}].fabric.faults"
        if gpu.fabric is None or gpu.fabric.health_mask is None:
            lacking = gpu.fabric is None and gpu.lacks("fabric")
            why = gpu.why_unknown("fabric") if gpu.fabric is None else "this driver gives no health mask"
            silent = not_applicable if lacking else unknown
            yield silent(gpu.subject, f"fabric health: {why}", Evidence(path, None, []), cause=gpu.silence)
        elif gpu.fabric.faults:
            named = ", ".join(fault.replace("_", " ") for fault in gpu.fabric.faults)
            yield failed(gpu.subject, f"the fabric reports: {named}", Evidence(path, list(gpu.fabric.faults), []))
        else:
            yield passed(gpu.subject, "the fabric reports no fault", Evidence(path, [], []))
