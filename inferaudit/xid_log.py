"""XIDs of the kernel logs as the checks of XIDs judge them: those of the service's GPUs, within the look-back. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inferaudit.facts.gpu import Gpu, XidWatch
from inferaudit.facts.kernel_log import KernelLog, LoggedXid
from inferaudit.model import Snapshot


def kernel_logs(snapshot: Snapshot) -> dict[str, KernelLog]:
    """The log of each node that was asked, by its name; empty where none was."""
    if snapshot.error("gpu.kernel_log"):
        return {}
    return {log.node: log for log in snapshot.fact("gpu.kernel_log")}


def logged_xids(snapshot: Snapshot, gpus: Sequence[Gpu], lookback_h: float) -> Iterator[tuple[str, LoggedXid]]:
    """(subject, XID) of every line of the last `lookback_h` hours about a GPU of the service's nodes, newest first.

    A GPU that the driver no longer lists has no UUID: its bus address names it, for it is the one that fell off.
    """
    logs = kernel_logs(snapshot)
    known: dict[str | None, str] = {gpu.uuid: gpu.subject for gpu in gpus if gpu.uuid}
    for node in sorted({gpu.node for gpu in gpus}):
        log = logs.get(node)
        for event in reversed(log.events if log is not None and log.error is None else ()):
            if event.age_s <= lookback_h * 3600:
                name = event.gpu or event.pci_bus_id or "unknown"
                yield known.get(event.gpu, f"gpu/{node}/{name}"), event


def unwatched(watch: XidWatch, gpus: Sequence[Gpu]) -> dict[str, str]:
    """For each node with GPUs that nobody watched: the end of a sentence that says so. They may not pass for sound."""
    covered = [gpu for gpu in gpus if watch.source in gpu.sources]
    said = {
        gpu.node: f"; its GPUs were not watched, {watch.source} is not asked there"
        for gpu in gpus
        if gpu not in covered
    }
    short = len(covered) - watch.gpus
    if short > 0:
        said |= {gpu.node: f"; {short} of {len(covered)} GPUs were not watched" for gpu in covered}
    return said
