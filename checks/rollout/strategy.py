from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.scaling import fenceposts, neither_fencepost


@check(
    title="An update keeps the service up",
    severity=Severity.HIGH,
    needs=("workload",),
    remediation=(
        "Use RollingUpdate with `maxUnavailable: 0` (or fewer than the replicas) and a `maxSurge` for which GPUs "
        "are free."
    ),
    references=("https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy",),
)
def strategy(snapshot: Snapshot) -> Iterator[Judgement]:
    """Recreate ends every replica before the first new one loads: minutes without a service at each change.

    A StatefulSet replaces one pod at a time, and a Rollout has checks of its own.
    """
    workload = snapshot.fact("workload")
    spec = workload.object.get("spec") or {}
    replicas = workload.replicas or 0
    if workload.kind == "Deployment":
        strategy = spec.get("strategy") or {}
        rolling = strategy.get("rollingUpdate") or {}
        _, unavailable = fenceposts(rolling, replicas)
        seen = Evidence(
            "spec.strategy", strategy or "RollingUpdate by default", "RollingUpdate that leaves replicas in service"
        )
        if strategy.get("type") == "Recreate":
            yield failed(workload.subject, "Recreate: every update is an outage for as long as the model loads", seen)
        elif neither_fencepost(rolling):
            yield failed(workload.subject, "neither maxSurge nor maxUnavailable: no update can begin", seen)
        elif replicas and unavailable >= replicas:
            yield failed(workload.subject, f"{unavailable} of {replicas} replicas may be gone during an update", seen)
        else:
            yield passed(
                workload.subject, f"at least {replicas - unavailable} of {replicas} replicas stay in service", seen
            )
    elif workload.kind in ("StatefulSet", "DaemonSet", "LeaderWorkerSet"):
        strategy = spec.get("updateStrategy") or spec.get("rolloutStrategy") or {}
        seen = Evidence(
            "spec.updateStrategy", strategy or "RollingUpdate by default", "RollingUpdate with several replicas"
        )
        if strategy.get("type") == "OnDelete":
            yield failed(workload.subject, "OnDelete: an update does nothing until somebody deletes pods", seen)
        elif replicas == 1:
            yield failed(workload.subject, "one replica: every update is an outage", seen)
        elif replicas and _held_back(strategy) >= replicas:
            held = _held_back(strategy)
            yield failed(workload.subject, f"partition {held} of {replicas} replicas: an update changes no pod", seen)
        else:
            yield passed(workload.subject, "pods are replaced one after the other", seen)
    else:
        shown = Evidence("kind", workload.kind, "a Deployment or StatefulSet")
        yield not_applicable(workload.subject, f"a {workload.kind} is updated by its own controller", shown)


def _held_back(strategy: Mapping[str, Any]) -> int:
    """Pods that an update leaves as they are: `partition` of a StatefulSet or LeaderWorkerSet."""
    rolling = strategy.get("rollingUpdate") or strategy.get("rollingUpdateConfiguration") or {}
    partition = rolling.get("partition")
    return partition if isinstance(partition, int) else 0
