from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.xid_log import logged_xids, unwatched
from inferaudit.xid_table import site_xids, xid_entry


@check(
    title="Driver and kernel log report no hardware fault",
    severity=Severity.CRITICAL,
    needs=("nvml.xid_events", "nvml.gpus"),
    optional=("gpu.kernel_log",),
    remediation="Cordon the node, drain its replicas, and do what NVIDIA's catalogue says for this XID.",
    references=("https://docs.nvidia.com/deploy/xid-errors/index.html",),
)
def xid_hardware(
    snapshot: Snapshot,
    *,
    min_window_s: float = 1.0,
    lookback_h: float = 24.0,
    ignore: tuple[int, ...] = (),
    fatal: tuple[int, ...] = (),
) -> Iterator[Judgement]:
    """XIDs of the hardware class mean a reset, a reboot or a new board, and the replica is lost until then.

    Judged are what the driver announces during the watch and what the kernel log of this boot holds of the last
    `lookback_h` hours; one fault told by both is one. gpu-xid-log says whether there was a log.

    `ignore` and `fatal` are the site's own lists, against the table's classes; the other checks of XIDs follow them.
    """
    site = site_xids(ignore, fatal)
    if site.fault:
        yield unknown(None, site.fault, key="policy")
        return
    watch, gpus = snapshot.fact("nvml.xid_events"), snapshot.fact("nvml.gpus")
    looked = Evidence("nvml.xid_events.window_s", watch.window_s, f"at least {min_window_s:g}")
    nodes = sorted({gpu.node for gpu in gpus})
    known = {gpu.uuid: gpu.subject for gpu in gpus}
    logged = [
        (subject, event)
        for subject, event in logged_xids(snapshot, gpus, lookback_h)
        if site.kind(event.xid) == "hardware"
    ]
    faults = [event for event in watch.events if site.kind(event.xid) == "hardware"]
    found: dict[str, tuple[dict[int, str], dict[int, str]]] = {}
    for event in faults:
        # A GPU that is gone does not tell its name; the log does.
        named = next((subject for subject, each in logged if event.gpu is None and each.xid == event.xid), None)
        subject = known.get(event.gpu) or named or f"gpu/{nodes[0]}/{event.gpu or 'unknown'}"
        found.setdefault(subject, ({}, {}))[0][event.xid] = event.words
    for subject, each in logged:
        watched, earlier = found.setdefault(subject, ({}, {}))
        if each.xid not in watched:
            earlier.setdefault(each.xid, each.words)
    for subject, (watched, earlier) in sorted(found.items()):
        told = [f"{watch.period}: {', '.join(sorted(watched.values()))}"] if watched else []
        told += [f"in the kernel log: {', '.join(sorted(earlier.values()))}"] if earlier else []
        xids = sorted(watched.keys() | earlier.keys())
        actions = list(dict.fromkeys(xid_entry(xid).action for xid in xids))
        yield failed(
            subject,
            f"hardware fault {'; '.join(told)}; what it takes: {', '.join(actions)}",
            Evidence("nvml.xid_events", sorted(watched.values()), []),
            *([Evidence("gpu.kernel_log", sorted(earlier.values()), [])] if earlier else []),
            Evidence("sources", [site.why(xid) for xid in xids], None),
            looked,
        )
    if not found:
        long = watch.window_s is None or watch.window_s >= min_window_s
        seen = [event.xid for event in watch.events]
        blind = unwatched(watch, gpus)
        for node in nodes:
            judge = passed if long and not watch.truncated and node not in blind else unknown
            more = "; there were more events than were kept" if watch.truncated else blind.get(node, "")
            said = f"no hardware fault {watch.period}{more}{site.besides(seen)}"
            yield judge(f"node/{node}", said, Evidence("nvml.xid_events", seen, []), looked)
