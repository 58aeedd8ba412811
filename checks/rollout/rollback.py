from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.kube.types import Workload
from inferaudit.pod_state import measured_start_s
from inferaudit.probe_timing import startup_budget


@check(
    title="The previous version is back within a minute",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers", "workload.pods", "service.rollouts"),
    optional=("service.workloads",),
    remediation=(
        "Keep the previous version loaded until the new one has proven itself: blue-green, or a canary that is "
        "not yet promoted."
    ),
    references=(
        "https://argo-rollouts.readthedocs.io/en/stable/features/bluegreen/",
        "https://kserve.github.io/website/",
    ),
)
def rollback(snapshot: Snapshot, *, limit_s: float = 60) -> Iterator[Judgement]:
    """A rollback that pulls and loads the weights again takes as long as a start: for a large model many minutes of
    errors.

    It is feasible in a minute when the previous version is still loaded, or when its measured start is that short
    and a GPU is free for it.
    """
    workload = snapshot.fact("workload")
    rollouts = snapshot.fact("service.rollouts")
    strategies = [(r.get("spec") or {}).get("strategy") or {} for r in rollouts]
    loaded = any("blueGreen" in s for s in strategies)
    mine = workload.object.get("spec") or {}
    loaded = loaded or "blueGreen" in (mine.get("strategy") or {})
    neighbours = snapshot.fact_or("service.workloads", [])
    standby = [n.subject for n in neighbours if (n.ready or 0) > 0 and _same_service(n.labels, workload)]
    starts = []
    for container in snapshot.fact("workload.containers"):
        if container["serving"]:
            budget = startup_budget(container)
            pods = snapshot.fact("workload.pods")
            start = measured_start_s(pods, container["name"], budget[1] if budget else None)
            starts += [start] if start else []
    took = max(starts, default=None)
    seen = Evidence("previous version", standby or ("blue-green" if loaded else None), "still loaded")
    timed = Evidence("slowest start, s", took, f"<= {limit_s:g}")
    if loaded or standby:
        what = ", ".join(standby) if standby else "blue-green"
        yield passed(workload.subject, f"the previous version stays loaded ({what})", seen)
    elif took is None:
        snapshot.require_read("service.workloads")
        yield unknown(workload.subject, "the previous version is not loaded, and no start was measured", seen, timed)
    elif took[0] > limit_s:
        snapshot.require_read("service.workloads")
        yield failed(workload.subject, f"the previous version must be loaded again: {took[0]:g} s", timed, seen)
    else:
        yield passed(workload.subject, f"a start takes {took[0]:g} s", timed, seen)


def _same_service(labels: dict[str, str], workload: Workload) -> bool:
    """True for a workload of the same application, which is how an older version stands by."""
    own = (workload.template.get("metadata") or {}).get("labels") or {}
    return any(labels.get(key) and labels.get(key) == own.get(key) for key in ("app.kubernetes.io/name", "app"))
