from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="The driver reports no hardware fault while it is watched",
    severity=Severity.CRITICAL,
    needs=("nvml.xid_events", "nvml.gpus"),
    remediation="Cordon the node, drain its replicas, and do what NVIDIA's catalogue says for this XID.",
    references=("https://docs.nvidia.com/deploy/xid-errors/index.html",),
)
def xid_hardware(snapshot: Snapshot, *, min_window_s: float = 1.0) -> Iterator[Judgement]:
    """XIDs of the hardware class mean a reset, a reboot or a new board, and the replica is lost until then.

    Only what is announced during the watch is seen; of the time before, an exporter tells the last one.
    """
    watch, gpus = snapshot.fact("nvml.xid_events"), snapshot.fact("nvml.gpus")
    nodes = sorted({gpu.node for gpu in gpus})
    known = {gpu.uuid: gpu.subject for gpu in gpus}
    faults = [event for event in watch.events if event.kind == "hardware"]
    for gpu in sorted({event.gpu or "unknown" for event in faults}):
        words = sorted({event.words for event in faults if (event.gpu or "unknown") == gpu})
        yield failed(
            known.get(gpu, f"gpu/{nodes[0]}/{gpu}"),
            f"hardware fault: {', '.join(words)}",
            Evidence("nvml.xid_events", words, []),
        )
    if not faults:
        long = watch.window_s is None or watch.window_s >= min_window_s
        judge = passed if long and not watch.truncated else unknown
        more = "; there were more events than were kept" if watch.truncated else ""
        said = f"no hardware fault {watch.period}{more}"
        for node in nodes:
            yield judge(f"node/{node}", said, Evidence("nvml.xid_events", [event.xid for event in watch.events], []))
