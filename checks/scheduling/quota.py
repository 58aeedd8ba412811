from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.placement import gpu_quota


@check(
    title="The namespace may use the GPUs that the service needs",
    severity=Severity.HIGH,
    needs=("workload", "service.quotas"),
    remediation="Raise the ResourceQuota to replicas × GPUs and what a rollout adds, or ask for fewer.",
    references=("https://kubernetes.io/docs/concepts/policy/resource-quotas/",),
)
def quota(snapshot: Snapshot) -> Iterator[Judgement]:
    """A quota that is too small shows as pods that are never made: no pending pod, only an event of the ReplicaSet.

    Checked against the replicas that are asked for; what an autoscaler may add has a check of its own.
    """
    workload = snapshot.fact("workload")
    limits = gpu_quota(snapshot.fact("service.quotas"))
    replicas = workload.replicas
    for resource, per_pod in workload.gpu_resources.items():
        if resource not in limits or replicas is None:
            continue
        hard, name = limits[resource]
        needed = per_pod * replicas * workload.pods_per_replica
        seen = Evidence(f"resourcequota/{name} spec.hard", hard, f">= {needed} ({replicas} replicas × {per_pod})")
        if hard < needed:
            yield failed(workload.subject, f"{needed} GPUs are needed and {hard} allowed", seen, key=resource)
        else:
            yield passed(workload.subject, f"{needed} of {hard} GPUs are needed", seen, key=resource)
