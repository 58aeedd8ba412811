from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.pod_state import condition, is_ready


@check(
    title="No rollout is stuck",
    severity=Severity.HIGH,
    needs=("workload", "workload.pods"),
    remediation="Look at what the new pods wait for, then finish or undo the rollout: `kubectl rollout undo`.",
    references=("https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#failed-deployment",),
)
def rollout(snapshot: Snapshot) -> Iterator[Judgement]:
    """A rollout that stands still leaves two versions in service, one of them half.

    The next change then starts from a state that nobody has tested.
    """
    workload = snapshot.fact("workload")
    status = workload.object.get("status") or {}
    metadata = workload.object.get("metadata") or {}
    progressing = condition(workload.object, "Progressing") or {}
    updated, replicas = status.get("updatedReplicas"), workload.replicas
    observed, generation = status.get("observedGeneration"), metadata.get("generation")
    seen = Evidence(
        "status", {"updatedReplicas": updated, "replicas": status.get("replicas")}, f"{replicas} of the newest"
    )
    stuck = Evidence("status.conditions[Progressing]", progressing.get("reason"), "NewReplicaSetAvailable")
    short = (
        len([p for p in snapshot.fact("workload.pods") if is_ready(p)]) < (replicas or 0) * workload.pods_per_replica
    )
    cause = ("state-ready", workload.subject) if short else None
    if not status:
        yield unknown(workload.subject, "the workload shows no status", seen)
    elif (workload.object.get("spec") or {}).get("paused") is True:
        yield failed(workload.subject, "is paused: no change reaches the pods", Evidence("spec.paused", True, False))
    elif progressing.get("reason") == "ProgressDeadlineExceeded":
        yield failed(workload.subject, "the rollout has exceeded its deadline", stuck, seen, cause=cause)
    elif isinstance(observed, int) and isinstance(generation, int) and observed < generation:
        yield failed(
            workload.subject,
            "its controller has not seen the newest version",
            Evidence("observedGeneration", observed, generation),
        )
    elif status.get("phase") in ("Degraded", "Paused"):
        yield failed(
            workload.subject, f"the rollout is {status['phase']}", Evidence("status.phase", status["phase"], "Healthy")
        )
    elif replicas is not None and isinstance(updated, int) and updated < replicas:
        yield failed(workload.subject, f"{updated} of {replicas} replicas have the newest version", seen, cause=cause)
    else:
        yield passed(workload.subject, "all replicas have the newest version", seen)
