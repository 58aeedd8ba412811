from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.placement import limit_range_defaults


@check(
    title="Serving containers have a memory limit",
    severity=Severity.HIGH,
    needs=("workload.containers",),
    optional=("service.quotas",),
    remediation="Set `resources.limits.memory` (and the same `requests.memory`) above the peak that was measured.",
    references=("https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",),
)
def memory_limit(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without a limit a server that leaks takes its node down with it.

    The kernel then kills by size, and the largest process on a GPU node is another team's model.
    """
    default = None
    if snapshot.error("service.quotas") is None:
        default = limit_range_defaults(snapshot.fact("service.quotas"), "default").get("memory")
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        own = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        seen = Evidence("resources.limits.memory", own or default, "set")
        if own:
            yield passed(container["subject"], f"memory is limited to {own}", seen)
        elif default:
            yield passed(container["subject"], f"memory is limited to {default} by the namespace's LimitRange", seen)
        else:
            snapshot.require_read("service.quotas")  # a LimitRange may set it
            yield failed(container["subject"], "has no memory limit: a leak takes the whole node down", seen)
