from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="The GPU driver is of a maintained branch",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus",),
    remediation="Plan an update of the node's driver to a production or long-term branch that still gets fixes.",
    references=("https://docs.nvidia.com/datacenter/tesla/drivers/index.html",),
)
def driver_branch(snapshot: Snapshot, *, oldest_major: int = 535) -> Iterator[Judgement]:
    """Old branches get no security fixes, lack metrics that alerts rely on, and limit which CUDA an image may use."""
    versions = {gpu.node: gpu.driver_version for gpu in snapshot.fact("nvml.gpus")}
    for node, version in sorted(versions.items()):
        subject = f"node/{node}"
        seen = Evidence("nvml.gpus.driver_version", version, f">= {oldest_major}")
        major = (version or "").partition(".")[0]
        if not major.isdecimal():
            yield unknown(subject, "the driver's version is not told", seen)
        elif int(major) < oldest_major:
            yield failed(subject, f"driver {version} is older than branch {oldest_major}", seen)
        else:
            yield passed(subject, f"driver {version}", seen)
