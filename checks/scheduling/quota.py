from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.quantity import parse_quantity
from inferaudit.kube.types import Workload
from inferaudit.placement import (
    container_requests,
    gpu_quota,
    limit_range_defaults,
    pod_requests,
    pod_spec,
    unscoped_quotas,
    with_defaults,
)

_COUNTED = {
    "requests.cpu": "cpu",
    "cpu": "cpu",
    "requests.memory": "memory",
    "memory": "memory",
    "limits.cpu": "cpu",
    "limits.memory": "memory",
}


@check(
    title="The namespace may use what the service needs",
    severity=Severity.HIGH,
    needs=("workload", "service.quotas"),
    remediation="Raise the ResourceQuota to replicas × GPUs and what a rollout adds, or ask for fewer.",
    references=("https://kubernetes.io/docs/concepts/policy/resource-quotas/",),
)
def quota(snapshot: Snapshot) -> Iterator[Judgement]:
    """A quota that is too small shows as pods that are never made: no pending pod, only an event of the ReplicaSet.

    Checked against the replicas that are asked for; what an autoscaler may add has a check of its own. GPUs, CPU,
    memory and the number of pods count; quotas with scopes are for some pods only, and left out. A quota of CPU or
    memory also refuses every pod with a container that does not state them and is given no default.
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
    if replicas is None:
        return
    pods = replicas * workload.pods_per_replica
    for quota in unscoped_quotas(snapshot.fact("service.quotas")):
        for key, given in ((quota.get("spec") or {}).get("hard") or {}).items():
            name = (quota.get("metadata") or {}).get("name")
            silent = _silent(workload, key, snapshot.fact("service.quotas"))
            if silent and pods:
                shown = Evidence(f"resourcequota/{name} spec.hard", {key: given}, f"{key} stated by every container")
                text = f"its pods are refused: must specify {key} for: {', '.join(silent)}"
                yield failed(workload.subject, text, shown, key=f"{name} {key}")
                continue
            per_pod, amount = _counted(workload, key, snapshot.fact("service.quotas")), parse_quantity(given)
            if per_pod is None or amount is None:
                continue
            seen = Evidence(f"resourcequota/{name} spec.hard", {key: given}, f">= {pods} pods × {float(per_pod):g}")
            if amount < per_pod * pods:
                text = f"{float(per_pod * pods):g} of {key} are needed and {given} allowed"
                yield failed(workload.subject, text, seen, key=f"{name} {key}")
            else:
                yield passed(workload.subject, f"{key} of {name} is enough", seen, key=f"{name} {key}")


def _silent(workload: Workload, key: str, quotas: list[Mapping[str, Any]]) -> list[str]:
    """Containers that state nothing of what a quota counts, LimitRanges' defaults counted in.

    The quota admission refuses their pod, for CPU and memory only, unless the pod states resources as a whole
    (podEvaluator.Constraints in k8s.io/kubernetes/pkg/quota/v1/evaluator/core).
    """
    spec = pod_spec(workload)
    if key not in _COUNTED or spec.get("resources"):
        return []
    defaults = {field: limit_range_defaults(quotas, field) for field in ("default", "defaultRequest")}
    silent = []
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        limits, requests = with_defaults(container.get("resources") or {}, defaults)
        if _COUNTED[key] not in (limits if key.startswith("limits.") else requests):
            silent.append(str(container.get("name")))
    return silent


def _counted(workload: Workload, key: str, quotas: list[Mapping[str, Any]]) -> Fraction | None:
    """What one pod takes of a quota, in base units; None for what is not of interest here, or of GPUs."""
    if key in ("pods", "count/pods"):
        return Fraction(1)
    requests = {"requests.cpu": "cpu", "cpu": "cpu", "requests.memory": "memory", "memory": "memory"}
    if key in requests:
        own = pod_requests(workload).get(requests[key])
        default = parse_quantity(limit_range_defaults(quotas, "defaultRequest").get(requests[key]))
        return own if own is not None else default
    limits = {"limits.cpu": "cpu", "limits.memory": "memory"}
    if key in limits:
        default_limit = limit_range_defaults(quotas, "default")
        containers = pod_spec(workload).get("containers") or ()
        each = [{**default_limit, **((c.get("resources") or {}).get("limits") or {})} for c in containers]
        amounts = [container_requests({"resources": {"limits": one}}).get(limits[key]) for one in each]
        return sum((a for a in amounts if a is not None), Fraction(0)) or None
    return None
