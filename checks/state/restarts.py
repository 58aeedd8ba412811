from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.pod_state import ended, is_current, killed_by_probe, seconds_between, waiting


@check(
    title="Containers do not restart",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.pods"),
    optional=("workload.events",),
    remediation="Look at `kubectl logs --previous` and at the exit code; a restart of a model server costs minutes.",
    references=("https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/",),
)
def restarts(snapshot: Snapshot, *, window_h: float = 24, maximum: int = 5) -> Iterator[Judgement]:
    """Each restart is an outage of one replica for as long as the model loads.

    Restarts of the last day count, and many of them whenever they were.
    """
    workload = snapshot.fact("workload")
    pods = [pod for pod in snapshot.fact("workload.pods") if is_current(pod)]
    now = snapshot.collected_at
    looping = {w.container for w in waiting(pods, "CrashLoopBackOff")}
    ends = ended(pods)
    killed = killed_by_probe(snapshot.fact_or("workload.events", []))
    counts: dict[str, int] = {}
    for pod in pods:
        for status in (pod.get("status") or {}).get("containerStatuses") or ():
            counts[status["name"]] = counts.get(status["name"], 0) + int(status.get("restartCount") or 0)
    for name, total in sorted(counts.items()):
        mine = [e for e in ends if e.container == name and e.restarts]
        recent = [
            e for e in mine if (age := seconds_between(e.finished_at, now)) is not None and age <= window_h * 3600
        ]
        last = max((e.finished_at for e in mine), default=None)
        seen = Evidence("restartCount", total, f"none within {window_h:g} h, at most {maximum} ever")
        subject = f"{workload.subject}/{name}"
        reasons = ", ".join(sorted({e.reason or f"exit code {e.exit_code}" for e in mine}))
        cause = None
        if name in looping:
            cause = ("state-crash-loop", subject)
        elif mine and all(e.reason == "OOMKilled" for e in mine):
            cause = ("state-oom-killed", subject)
        elif mine and any(container == name for container, _ in killed):
            cause = ("state-probe-kills", subject)
        if recent or total > maximum:
            yield failed(subject, f"{total} restarts, the last at {last} ({reasons or 'no reason'})", seen, cause=cause)
        elif total:
            yield passed(subject, f"{total} restarts, none within {window_h:g} h", seen)
        else:
            yield passed(subject, "never restarted", seen)
