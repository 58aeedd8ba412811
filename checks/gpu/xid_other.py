from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.xid_log import unwatched
from inferaudit.xid_table import CLEANED_UP, site_policy


@check(
    title="The driver reports no other fault while it is watched",
    severity=Severity.MEDIUM,
    needs=("nvml.xid_events", "nvml.gpus"),
    optional=("policy",),
    remediation="Look the XID up in NVIDIA's catalogue; the application class points at the server, not at the GPU.",
    references=("https://docs.nvidia.com/deploy/xid-errors/index.html",),
)
def xid_other(snapshot: Snapshot, *, min_window_s: float = 1.0, ignore: tuple[int, ...] = ()) -> Iterator[Judgement]:
    """XIDs outside the hardware class point at a bug in the server, or at a GPU that begins to fail.

    Remapped rows (63), contained memory errors (94) and high rates of corrected errors (92) are of the second kind.
    XID 45 beside another of the same GPU is that one's echo and is left out. What gpu-xid-hardware's parameters call
    fatal or ignore is not judged here; `ignore` adds to that.
    """
    site = site_policy(snapshot.fact("policy"), ignore, "gpu-xid-other")
    if site.fault:
        yield unknown(None, site.fault, key="policy")
        return
    watch, gpus = snapshot.fact("nvml.xid_events"), snapshot.fact("nvml.gpus")
    looked = Evidence("nvml.xid_events.window_s", watch.window_s, f"at least {min_window_s:g}")
    nodes = sorted({gpu.node for gpu in gpus})
    known = {gpu.uuid: gpu.subject for gpu in gpus}
    struck = {event.gpu for event in watch.events if event.xid != CLEANED_UP}
    faults = [
        event
        for event in watch.events
        if site.kind(event.xid) in ("application", "investigate")
        and not (event.xid == CLEANED_UP and event.gpu in struck)
    ]
    for gpu in sorted({event.gpu or "unknown" for event in faults}):
        here = [event for event in faults if (event.gpu or "unknown") == gpu]
        words = sorted({event.words for event in here})
        kind = "of the application" if all(event.kind == "application" for event in here) else "to be investigated"
        yield failed(
            known.get(gpu, f"gpu/{nodes[0]}/{gpu}"),
            f"faults {watch.period}, {kind}: {', '.join(words)}",
            Evidence("nvml.xid_events", words, []),
            Evidence("sources", [site.why(xid) for xid in sorted({event.xid for event in here})], None),
            looked,
        )
    if not faults:
        long, blind = watch.window_s is None or watch.window_s >= min_window_s, unwatched(watch, gpus)
        for node in nodes:
            judge = passed if long and not watch.truncated and node not in blind else unknown
            more = "; there were more events than were kept" if watch.truncated else blind.get(node, "")
            said = f"none {watch.period}{more}{site.besides(event.xid for event in watch.events)}"
            yield judge(f"node/{node}", said, Evidence("nvml.xid_events", [], []), looked)
