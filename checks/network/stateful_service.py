from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.kube.view import name_of


@check(
    title="The StatefulSet's own Service exists",
    severity=Severity.LOW,
    needs=("workload", "service.services"),
    remediation=(
        "Set `spec.serviceName` to the headless Service (`clusterIP: None`) over the pods, or create that Service."
    ),
    references=("https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-network-id",),
)
def stateful_service(snapshot: Snapshot) -> Iterator[Judgement]:
    """The pods of a StatefulSet get host names, ``chat-0.peers``, from the Service that `serviceName` names. Nothing
    refuses a name that is not there: the pods run, and whoever calls one by its name finds nobody.

    Judged where some Service over the pods is in view; one alone that is missing has its own finding.
    """
    workload = snapshot.fact("workload")
    if workload.kind != "StatefulSet":
        return
    named = (workload.object.get("spec") or {}).get("serviceName")
    services = [name_of(service) for service in snapshot.fact("service.services")]
    seen = Evidence("spec.serviceName", named, f"a Service over the pods: {', '.join(services) or 'none is in view'}")
    if not named:
        yield not_applicable(workload.subject, "asks for no names of its pods", seen)
    elif named in services:
        yield passed(workload.subject, f"{named} gives its pods their names", seen)
    elif services:
        cause = ("network-group-traffic", workload.subject)
        yield failed(workload.subject, f"no Service {named} selects its pods: they have no names", seen, cause=cause)
