from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.pod_state import REFUSED, condition, is_current, is_ready, pod_name, waiting


@check(
    title="As many pods are ready as are asked for",
    severity=Severity.HIGH,
    needs=("workload", "workload.pods"),
    optional=("workload.events",),
    remediation="Find out why the pods that are listed are not ready: their events and the last lines of their logs.",
    references=("https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions",),
)
def ready(snapshot: Snapshot) -> Iterator[Judgement]:
    """The service is as large as the number of its ready pods, not as the number in its manifest.

    Where another finding tells why a pod is not ready, this one stands under it.
    """
    workload = snapshot.fact("workload")
    pods = [pod for pod in snapshot.fact("workload.pods") if is_current(pod)]
    wanted = workload.replicas
    ready = [pod for pod in pods if is_ready(pod)]
    lost = [pod_name(pod) for pod in pods if not is_ready(pod)]
    if wanted is None:
        wanted = len(pods)
    wanted *= workload.pods_per_replica
    seen = Evidence("ready pods", len(ready), wanted)
    missing = Evidence("pods that are not ready", lost[:10], "none")
    if wanted == 0:
        yield not_applicable(workload.subject, "no replica is asked for", seen)
    elif len(ready) >= wanted:
        yield passed(workload.subject, f"{len(ready)} of {wanted} pods are ready", seen)
    else:
        text = f"{len(ready)} of {wanted} pods are ready"
        cause = _cause(workload.subject, pods)
        if cause is None and len(pods) < wanted and snapshot.error("workload.events") is None:
            refused = any(e.get("reason") in REFUSED for e in snapshot.fact("workload.events"))
            cause = ("state-creation", workload.subject) if refused else None
        yield failed(workload.subject, text, seen, missing, cause=cause)


_CAUSES = (
    ("state-config-error", ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")),
    ("state-image-pull", ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")),
    ("state-crash-loop", ("CrashLoopBackOff",)),
)


def _cause(subject: str, pods: list[Mapping[str, Any]]) -> tuple[str, str | None] | None:
    """The finding that tells why."""
    for check_id, reasons in _CAUSES:
        if stuck := waiting(pods, *reasons):
            return (check_id, f"{subject}/{stuck[0].container}")
    unplaced = [pod for pod in pods if (condition(pod, "PodScheduled") or {}).get("status") == "False"]
    return ("state-pending", subject) if unplaced else None
