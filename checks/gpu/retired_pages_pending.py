from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No GPU waits for a reboot to retire a memory page",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="Drain the node and reboot it, so that the bad page is taken out of use.",
    references=("https://docs.nvidia.com/deploy/dynamic-page-retirement/index.html",),
)
def retired_pages_pending(snapshot: Snapshot) -> Iterator[Judgement]:
    """GPUs before Ampere retire bad pages at the next start of the driver; until then the page is handed out again.

    Later boards remap rows instead, those that can be split by MIG among them.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        field = "retired_pages_pending"
        pending = gpu.retired_pages_pending
        seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", pending, False)
        if pending is None:
            silent = not_applicable if field in gpu.unsupported else unknown
            yield silent(gpu.subject, f"page retirement: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
        elif pending:
            yield failed(gpu.subject, "a memory page is retired at the next reboot only", seen)
        else:
            yield passed(gpu.subject, "no page retirement is pending", seen)
