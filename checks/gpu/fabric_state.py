from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="GPUs behind NVSwitch are registered with the fabric",
    severity=Severity.CRITICAL,
    needs=("nvml.gpus",),
    remediation="Start nvidia-fabricmanager on the node in the driver's own version, then reset the GPUs or reboot.",
    references=("https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/index.html",),
)
def fabric_state(snapshot: Snapshot) -> Iterator[Judgement]:
    """On NVSwitch systems CUDA does not start before the fabric manager has registered the GPU.

    The node is Ready, the GPU is listed, and every process on it dies with "system not yet initialized".
    """
    for gpu in snapshot.fact("nvml.gpus"):
        path = f"nvml.gpus[{gpu.index}].fabric"
        if gpu.fabric is None:
            silent = not_applicable if gpu.lacks("fabric") else unknown
            seen = Evidence(path, None, "completed, status 0")
            yield silent(gpu.subject, f"NVSwitch fabric: {gpu.why_unknown('fabric')}", seen, cause=gpu.silence)
            continue
        seen = Evidence(path, f"{gpu.fabric.state}, status {gpu.fabric.status}", "completed, status 0")
        if gpu.fabric.state != "completed":
            yield failed(gpu.subject, f"registration with the fabric is {gpu.fabric.state.replace('_', ' ')}", seen)
        elif gpu.fabric.status is None:
            yield unknown(gpu.subject, "the status of the registration with the fabric is not told", seen)
        elif gpu.fabric.status:
            yield failed(gpu.subject, f"registration with the fabric ended with error {gpu.fabric.status}", seen)
        else:
            yield passed(gpu.subject, "registered with the fabric", seen)
