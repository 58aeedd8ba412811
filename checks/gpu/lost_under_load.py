from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="No GPU is lost while load is on",
    severity=Severity.CRITICAL,
    needs=("load.result", "load.gpu_samples", "nvml.gpus"),
    remediation="Cordon the node and look at power and cooling: a GPU that is lost under load is lost in production.",
)
def lost_under_load(snapshot: Snapshot) -> Iterator[Judgement]:
    """A GPU that is sound at rest may still fall off the bus when it draws its full power."""
    samples = snapshot.fact("load.gpu_samples")
    known = {gpu.uuid: gpu.subject for gpu in snapshot.fact("nvml.gpus")}
    if not known.keys() & set(samples.uuids):
        yield unknown(None, "the GPUs that were sampled are not the service's", Evidence("load.gpu_samples", None))
    for index, uuid in enumerate(samples.uuids):
        if uuid not in known:
            continue  # this host's own, beside those that serve
        rows = samples.gpu.count(index)
        path = f"load.gpu_samples[{uuid}]"
        if uuid in samples.ended:
            why = samples.ended[uuid]
            yield failed(known[uuid], f"answered {rows} times and then no more: {why}", Evidence(path, rows))
        else:
            yield passed(known[uuid], f"answered all {rows} times it was asked", Evidence(path, rows))
