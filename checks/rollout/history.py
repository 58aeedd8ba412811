from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed


@check(
    title="The previous version is kept",
    severity=Severity.MEDIUM,
    needs=("workload",),
    remediation="Set `revisionHistoryLimit` to 2 or more.",
    references=("https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#revision-history-limit",),
)
def history(snapshot: Snapshot, *, minimum: int = 1) -> Iterator[Judgement]:
    """With a history of zero there is nothing to roll back to but a file that somebody must find.

    Where pods run, the version before must really be there; a first deployment has none.
    """
    workload = snapshot.fact("workload")
    limit = (workload.object.get("spec") or {}).get("revisionHistoryLimit")
    kept = limit if isinstance(limit, int) else 10
    seen = Evidence("spec.revisionHistoryLimit", limit, f">= {minimum} (10 by default)")
    if workload.kind not in ("Deployment", "StatefulSet", "DaemonSet", "Rollout"):
        yield not_applicable(workload.subject, f"a {workload.kind} keeps no revisions of its own", seen)
    elif kept < minimum:
        yield failed(workload.subject, f"keeps {kept} earlier revisions", seen)
    else:
        yield passed(workload.subject, f"keeps up to {kept} earlier revisions", seen)
