from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.xid_table import site_xids, xid_entry


@check(
    title="The driver reports no hardware fault while it is watched",
    severity=Severity.CRITICAL,
    needs=("nvml.xid_events", "nvml.gpus"),
    remediation="Cordon the node, drain its replicas, and do what NVIDIA's catalogue says for this XID.",
    references=("https://docs.nvidia.com/deploy/xid-errors/index.html",),
)
def xid_hardware(
    snapshot: Snapshot, *, min_window_s: float = 1.0, ignore: tuple[int, ...] = (), fatal: tuple[int, ...] = ()
) -> Iterator[Judgement]:
    """XIDs of the hardware class mean a reset, a reboot or a new board, and the replica is lost until then.

    Only what is announced during the watch is seen; of the time before, an exporter tells the last one. `ignore` and
    `fatal` are the site's own lists, against the table's classes; the other checks of XIDs follow them.
    """
    site = site_xids(ignore, fatal)
    if site.fault:
        yield unknown(None, site.fault, key="policy")
        return
    watch, gpus = snapshot.fact("nvml.xid_events"), snapshot.fact("nvml.gpus")
    looked = Evidence("nvml.xid_events.window_s", watch.window_s, f"at least {min_window_s:g}")
    nodes = sorted({gpu.node for gpu in gpus})
    known = {gpu.uuid: gpu.subject for gpu in gpus}
    faults = [event for event in watch.events if site.kind(event.xid) == "hardware"]
    for gpu in sorted({event.gpu or "unknown" for event in faults}):
        here = {event.xid: event.words for event in faults if (event.gpu or "unknown") == gpu}
        words = sorted(here.values())
        actions = list(dict.fromkeys(xid_entry(xid).action for xid in sorted(here)))
        yield failed(
            known.get(gpu, f"gpu/{nodes[0]}/{gpu}"),
            f"hardware fault {watch.period}: {', '.join(words)}; what it takes: {', '.join(actions)}",
            Evidence("nvml.xid_events", words, []),
            Evidence("sources", [site.why(xid) for xid in sorted(here)], None),
            looked,
        )
    if not faults:
        long = watch.window_s is None or watch.window_s >= min_window_s
        judge = passed if long and not watch.truncated else unknown
        more = "; there were more events than were kept" if watch.truncated else ""
        seen = [event.xid for event in watch.events]
        said = f"no hardware fault {watch.period}{more}{site.besides(seen)}"
        for node in nodes:
            yield judge(f"node/{node}", said, Evidence("nvml.xid_events", seen, []), looked)
