from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No NVLink is down",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="Reset the GPUs of the node; a link that stays down needs its bridge, baseboard or switch looked at.",
)
def nvlink_down(snapshot: Snapshot) -> Iterator[Judgement]:
    """Tensor parallelism exchanges activations at every layer; over fewer links, or PCIe, tokens come slower.

    Nothing fails when a link is lost: the libraries go another way.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        path = f"nvml.gpus[{gpu.index}].nvlinks"
        if gpu.nvlinks is None:
            silent = not_applicable if gpu.lacks("nvlinks") else unknown
            seen = Evidence(path, None, "every link active")
            yield silent(gpu.subject, f"NVLink: {gpu.why_unknown('nvlinks')}", seen, cause=gpu.silence)
            continue
        down = [link.link for link in gpu.nvlinks if not link.active]
        seen = Evidence(f"{path}.inactive", down, [])
        total = len(gpu.nvlinks)
        if not total:
            yield unknown(gpu.subject, "the driver lists no link", seen)
        elif len(down) == total and gpu.fabric is None:
            yield not_applicable(gpu.subject, f"none of {total} links is connected: no bridge is fitted", seen)
        elif down:
            yield failed(gpu.subject, f"{len(down)} of {total} NVLinks are down", seen)
        else:
            yield passed(gpu.subject, f"all {total} NVLinks are up", seen)
