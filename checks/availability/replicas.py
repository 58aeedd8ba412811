from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.scaling import scalers_of


@check(
    title="There are at least two replicas",
    severity=Severity.HIGH,
    needs=("workload",),
    optional=("service.autoscalers",),
    remediation="Set `replicas` (or the autoscaler's minimum) to 2 or more.",
    references=("https://kubernetes.io/docs/concepts/workloads/controllers/deployment/",),
)
def replicas(snapshot: Snapshot, *, minimum: int = 2) -> Iterator[Judgement]:
    """One replica is an outage of minutes at every crash, drained node and update, for as long as the model loads.

    The autoscaler's minimum counts where there is one.
    """
    workload = snapshot.fact("workload")
    scalers = scalers_of(snapshot.fact_or("service.autoscalers", []))
    count, source, subject = workload.replicas, "spec.replicas", workload.subject
    if scalers:
        highest = max(scalers, key=lambda scaler: scaler.minimum)
        count, source, subject = highest.minimum, f"the minimum of {highest.subject}", highest.subject
    seen = Evidence(source, count, f">= {minimum}")
    if workload.kind == "Pod":
        yield failed(workload.subject, "is a bare pod: nothing makes it anew", seen)
        return
    snapshot.require_read("service.autoscalers")
    if count is None:
        yield not_applicable(workload.subject, f"a {workload.kind} has no number of replicas", seen)
    elif count < minimum:
        yield failed(subject, f"{count} replica{'s' * (count != 1)} by {source}", seen)
    else:
        yield passed(workload.subject, f"{count} replicas by {source}", seen)
