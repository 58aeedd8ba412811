from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Every GPU of the node answers",
    severity=Severity.CRITICAL,
    needs=("nvml.gpus",),
    remediation="Cordon the node and reset or reboot it; replace a GPU that falls off the bus again.",
    references=("https://docs.nvidia.com/deploy/xid-errors/index.html",),
)
def lost(snapshot: Snapshot) -> Iterator[Judgement]:
    """A GPU that fell off the bus takes its replica with it and does not come back by itself.

    The node goes on advertising it until the device plug-in notices, so new pods are still sent there.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        seen = Evidence(f"nvml.gpus[{gpu.index}].lost", gpu.lost, False)
        if gpu.lost:
            yield failed(gpu.subject, "the GPU is lost: it stopped answering the driver", seen)
        elif gpu.error:
            yield failed(gpu.subject, f"the GPU could not be opened: {gpu.error}", seen)
        else:
            yield passed(gpu.subject, f"answers as {gpu.product or 'a GPU without a name'}", seen)
