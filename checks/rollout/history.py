from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed

_REVISIONS = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")


@check(
    title="The previous version is kept",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("workload.replicasets",),
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
        snapshot.require_read("workload.replicasets")
        there = snapshot.fact_or("workload.replicasets", [])
        yield _judge(workload.subject, kept, seen, sorted(there, key=_revision))


def _judge(subject: str, kept: int, seen: Evidence, there: list[Mapping[str, Any]]) -> Judgement:
    latest = _revision(there[-1]) if there else 0
    shown = Evidence("revisions", {_revision(obj): _images(obj) for obj in there[-3:]}, "the one before, too")
    if len(there) == 1 and latest > 1:
        return failed(subject, f"runs revision {latest}, and no earlier one is there any more", shown, seen)
    if len(there) > 1:
        images = ", ".join(_images(there[-2])) or "of the same kind"
        return passed(subject, f"the version before, revision {_revision(there[-2])} ({images}), is kept", shown, seen)
    return passed(subject, f"keeps up to {kept} earlier revisions", seen)


def _revision(obj: Mapping[str, Any]) -> int:
    """The number of a ReplicaSet's revision, or of a ControllerRevision; 0 where it has none."""
    notes = (obj.get("metadata") or {}).get("annotations") or {}
    told = obj.get("revision") or next((notes[name] for name in _REVISIONS if name in notes), 0)
    return int(told) if str(told).isdecimal() else 0


def _images(obj: Mapping[str, Any]) -> list[str]:
    template = (obj.get("spec") or (obj.get("data") or {}).get("spec") or {}).get("template") or {}
    return [str(each.get("image")) for each in (template.get("spec") or {}).get("containers") or ()]
