import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review, unknown
from inferaudit.facts.kernel_log import duration
from inferaudit.kube.types import NodeCondition
from inferaudit.xid_log import kernel_logs, logged_xids
from inferaudit.xid_table import site_policy

# AKS XIDErrors, NVSentinel SysLogsXIDError, rules of node-problem-detector, EKS AcceleratedHardwareReady: an agent on
# the node reads the log for them.
_OF_XIDS = re.compile(r"xid|^AcceleratedHardwareReady$", re.IGNORECASE)


@check(
    title="The kernel log of the GPU nodes tells of no XID before the audit",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus",),
    optional=("gpu.kernel_log", "cluster.nodes", "nvml.xid_events", "policy"),
    remediation=(
        "Run `inferaudit run --gpus local` on the node as a user that may read /dev/kmsg or the journal, or have an "
        "agent turn XIDs into node conditions; look up what was found in NVIDIA's catalogue."
    ),
    references=("https://docs.nvidia.com/deploy/xid-errors/index.html",),
)
def xid_log(
    snapshot: Snapshot, *, lookback_h: float = 24.0, min_reach_h: float = 1.0, ignore: tuple[int, ...] = ()
) -> Iterator[Judgement]:
    """The driver tells XIDs to those who watch, and an audit watches for seconds; the kernel log keeps them.

    Hardware faults in it are judged by gpu-xid-hardware. Where no log may be read (a pod has none), a node condition
    about XIDs stands for it. What gpu-xid-hardware's parameters call fatal or ignore counts here as well.
    """
    site = site_policy(snapshot.fact("policy"), ignore, "gpu-xid-log")
    if site.fault:
        yield unknown(None, site.fault, key="policy")
        return
    gpus, logs = snapshot.fact("nvml.gpus"), kernel_logs(snapshot)
    conditions = _conditions(snapshot)
    by_node: dict[str, list[tuple[str, int, str]]] = {}
    for subject, event in logged_xids(snapshot, gpus, lookback_h):
        by_node.setdefault(subject.split("/")[1], []).append((subject, event.xid, event.words))
    watched = snapshot.error("nvml.xid_events") is None
    for node in sorted({gpu.node for gpu in gpus}):
        subject, log = f"node/{node}", logs.get(node)
        told = conditions.get(node, ())
        stated = Evidence("cluster.nodes.conditions", [f"{c.type}={c.status}" for c in told])
        bad = [c for c in told if c.status == _bad_status(c)]
        fine = [c for c in told if c.status in ("True", "False") and c.status != _bad_status(c)]
        if bad:
            said = "; ".join(f"{c.type}={c.status} {c.message or c.reason}".strip() for c in bad)
            yield failed(subject, said, stated, cause=("scheduling-node-conditions", subject))
            continue
        if log is None or log.error:
            refused = snapshot.error("gpu.kernel_log")
            why = (log and log.error) or (refused and refused.reason) or "this node's log was not asked for"
            seen = Evidence("gpu.kernel_log", None, f"the last {lookback_h:g} h")
            if fine:
                shown = ", ".join(f"{c.type}={c.status}" for c in fine)
                yield passed(subject, f"an agent on the node reads it: {shown}; the log itself: {why}", stated)
            else:
                yield unknown(subject, f"the kernel log could not be read: {why}", seen)
            continue
        seen = Evidence("gpu.kernel_log.reach_s", log.reach_s, f">= {min_reach_h * 3600:g}, or since the node started")
        events = by_node.get(node, [])
        hardware = [each for each in events if site.kind(each[1]) == "hardware"]
        open_ones = [each for each in events if site.kind(each[1]) == "investigate"]
        others = sorted({xid for _, xid, _ in events if site.kind(xid) == "application"})
        apart = f"; of the application: {', '.join(f'XID {xid}' for xid in others)}" if others else ""
        apart += site.besides(xid for _, xid, _ in events)
        words = Evidence("gpu.kernel_log.events", [w for _, _, w in events][:20], [])
        if hardware:
            said = f"{', '.join(dict.fromkeys(w for _, _, w in hardware))}, in {log.judged(lookback_h * 3600)}"
            yield failed(subject, said, words, seen, cause=("gpu-xid-hardware", hardware[0][0]) if watched else None)
        elif open_ones:
            said = f"to be investigated: {', '.join(dict.fromkeys(w for _, _, w in open_ones))}{apart}"
            yield review(subject, said, words, seen)
        elif log.truncated:
            yield unknown(subject, f"more XIDs than were kept{apart}", words, seen)
        elif not log.whole_boot and (log.reach_s or 0.0) < min_reach_h * 3600:
            said = f"the log goes back {duration(log.reach_s or 0.0)} only: older lines were overwritten{apart}"
            yield unknown(subject, said, words, seen)
        else:
            yield passed(subject, f"no hardware fault in {log.judged(lookback_h * 3600)}{apart}", words, seen)


def _bad_status(condition: NodeCondition) -> str:
    """Conditions of health must be True, problems must not be."""
    return "False" if condition.type.endswith("Ready") else "True"


def _conditions(snapshot: Snapshot) -> dict[str, list[NodeCondition]]:
    """What agents on the nodes say of XIDs, by node."""
    if snapshot.error("cluster.nodes"):
        return {}
    nodes = {
        node.name: [c for c in node.conditions if _OF_XIDS.search(c.type)] for node in snapshot.fact("cluster.nodes")
    }
    return {name: told for name, told in nodes.items() if told}
