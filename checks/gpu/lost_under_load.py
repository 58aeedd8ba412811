from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="No GPU is lost while load is on",
    severity=Severity.CRITICAL,
    needs=("load.result", "load.gpu_samples", "nvml.driver"),
    remediation="Cordon the node and look at power and cooling: a GPU that is lost under load is lost in production.",
)
def lost_under_load(snapshot: Snapshot) -> Iterator[Judgement]:
    """A GPU that is sound at rest may still fall off the bus when it draws its full power."""
    samples, driver = snapshot.fact("load.gpu_samples"), snapshot.fact("nvml.driver")
    node = driver.node or driver.host
    for index, uuid in enumerate(samples.uuids):
        rows = samples.gpu.count(index)
        path = f"load.gpu_samples[{uuid}]"
        if uuid in samples.ended:
            why = samples.ended[uuid]
            yield failed(f"gpu/{node}/{uuid}", f"answered {rows} times and then no more: {why}", Evidence(path, rows))
        else:
            yield passed(f"gpu/{node}/{uuid}", f"answered all {rows} times it was asked", Evidence(path, rows))
