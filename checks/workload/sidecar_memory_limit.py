from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.placement import limit_range_defaults


@check(
    title="Side-cars and init containers have a memory limit",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    optional=("service.quotas",),
    remediation="Set `resources.limits.memory` on every side-car and init container.",
    references=("https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/",),
)
def sidecar_memory_limit(snapshot: Snapshot) -> Iterator[Judgement]:
    """A proxy or log shipper without a limit competes with the model server for the node's memory.

    It also keeps the pod out of the class of pods that the kernel kills last.
    """
    default = None
    if snapshot.error("service.quotas") is None:
        default = limit_range_defaults(snapshot.fact("service.quotas"), "default").get("memory")
    for container in snapshot.fact("workload.containers"):
        if container["serving"]:
            continue
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory") or default
        seen = Evidence("resources.limits.memory", limit, "set")
        if limit:
            yield passed(container["subject"], f"memory is limited to {limit}", seen)
        else:
            snapshot.require_read("service.quotas")  # a LimitRange may set it
            yield failed(container["subject"], f"the {container['role']} container has no memory limit", seen)
