from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="The pods have a priority",
    severity=Severity.LOW,
    needs=("workload",),
    optional=("service.priorityclass",),
    remediation="Name a PriorityClass above that of batch work in `priorityClassName`.",
    references=("https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/",),
)
def priority(snapshot: Snapshot) -> Iterator[Judgement]:
    """When GPUs run short, what has no priority waits behind, or is evicted for, whatever has one.

    A user-facing service should displace batch work, and not the other way round.
    """
    workload = snapshot.fact("workload")
    name = (workload.template.get("spec") or {}).get("priorityClassName")
    found = snapshot.fact_or("service.priorityclass", None)
    seen = Evidence("spec.template.spec.priorityClassName", name, "a class above 0")
    value = (found or {}).get("value")
    if not name:
        yield failed(workload.subject, "no priority: batch work may displace it", seen)
    elif isinstance(value, int) and value <= 0:
        yield failed(workload.subject, f"{name} is worth {value}, no more than none", seen)
    else:
        snapshot.require_read("service.priorityclass")
        yield passed(workload.subject, f"priority {name}{f' ({value})' if value is not None else ''}", seen)
