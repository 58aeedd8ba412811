from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.pod_state import pod_name

_REASONS = frozenset(
    {"Evicted", "Preempting", "NodeLost", "NodeShutdown", "Terminated", "UnexpectedAdmissionError", "OutOfcpu"}
)


@check(
    title="No pod was evicted",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.pods"),
    remediation=(
        "Ask for the memory and disk that the pods use, and give them a priority; then delete the evicted pods."
    ),
    references=("https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/",),
)
def evicted(snapshot: Snapshot) -> Iterator[Judgement]:
    """The kubelet evicts pods when its node runs out of memory or disk, first those that use more than they asked for.

    An eviction during the audit is the forecast of one during the launch.
    """
    workload = snapshot.fact("workload")
    pods = snapshot.fact("workload.pods")
    gone = [p for p in pods if (p.get("status") or {}).get("reason") in _REASONS]
    shown = [f"{pod_name(p)}: {p['status'].get('reason')}: {p['status'].get('message', '')[:120]}" for p in gone]
    seen = Evidence("status.reason", shown[:5], "none evicted")
    if gone:
        yield failed(workload.subject, f"{len(gone)} pods were evicted or lost", seen)
    elif pods:
        yield passed(workload.subject, f"none of {len(pods)} pods was evicted", seen)
