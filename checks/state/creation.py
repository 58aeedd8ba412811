from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.kube.types import Workload
from inferaudit.placement import gpu_quota
from inferaudit.pod_state import REFUSED, is_current


@check(
    title="Pods can be created",
    severity=Severity.HIGH,
    needs=("workload", "workload.pods", "workload.events"),
    optional=("service.quotas",),
    remediation="Mend what the message names: a quota, an admission policy, or a webhook that does not answer.",
    references=(
        "https://kubernetes.io/docs/concepts/policy/resource-quotas/",
        "https://kubernetes.io/docs/concepts/security/pod-security-admission/",
    ),
)
def creation(snapshot: Snapshot) -> Iterator[Judgement]:
    """When a quota or an admission policy refuses a pod there is no pod to look at, only an event of its controller.

    The service then runs with fewer replicas than it says.
    """
    workload = snapshot.fact("workload")
    pods = [pod for pod in snapshot.fact("workload.pods") if is_current(pod)]
    wanted = (workload.replicas or 0) * workload.pods_per_replica
    refused = [
        str(e.get("message") or e.get("note") or "")
        for e in snapshot.fact("workload.events")
        if e.get("reason") in REFUSED
    ]
    seen = Evidence("events[FailedCreate]", refused[:3], f"none, or {wanted} pods in spite of them")
    if refused and len(pods) < wanted:
        message = refused[-1]
        quota = "exceeded quota" in message
        cause = ("scheduling-quota", workload.subject) if quota and _lacks_gpus(workload, snapshot) else None
        kind = "a quota" if quota else "a security policy" if "violates PodSecurity" in message else "admission"
        text = f"{len(pods)} of {wanted} pods exist: {kind} refuses the others: {message[:300]}"
        yield failed(workload.subject, text, seen, cause=cause)
    elif pods or not wanted:
        yield passed(workload.subject, f"{len(pods)} of {wanted} pods exist", seen)
    else:
        yield unknown(workload.subject, f"none of {wanted} pods exists, and no event tells why", seen)


def _lacks_gpus(workload: Workload, snapshot: Snapshot) -> bool:
    if snapshot.error("service.quotas") is not None or workload.replicas is None:
        return False
    limits = gpu_quota(snapshot.fact("service.quotas"))
    needed = {name: count * (workload.replicas or 0) for name, count in workload.gpu_resources.items()}
    return any(limits[name][0] < count for name, count in needed.items() if name in limits)
