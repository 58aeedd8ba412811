from collections.abc import Iterator

from inferaudit.api import (
    Evidence,
    FactErrorKind,
    Judgement,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    unknown,
)
from inferaudit.queue_fed import queue_feeding
from inferaudit.subjects import object_subject

_MAKERS = {"InferenceService": "KServe", "RayService": "KubeRay"}  # what they make stands in no file


@check(
    title="A Service leads to the pods",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers", "service.services"),
    optional=("service.inferencepools", "service.autoscalers", "service.configmaps", "workload.pods"),
    remediation="Create a Service whose selector are labels of the pod template.",
    references=("https://kubernetes.io/docs/concepts/services-networking/service/",),
)
def service(snapshot: Snapshot) -> Iterator[Judgement]:
    """Without a Service, or an InferencePool, nothing finds the pods: no gateway, no monitor, no client.

    A service that only a queue feeds has none on purpose; that cannot be told from outside.
    """
    workload = snapshot.fact("workload")
    services = snapshot.fact("service.services")
    pools = snapshot.fact_or("service.inferencepools", [])
    ports = [p for c in snapshot.fact("workload.containers") if c["serving"] for p in c.get("ports") or ()]
    files = snapshot.error("workload.pods")
    names = [object_subject(each) for each in (*services, *pools)]
    seen = Evidence("Services that select the pods", names, "at least one")
    if names:
        yield passed(workload.subject, f"{', '.join(names)} select{'s' * (len(names) == 1)} the pods", seen)
    elif workload.kind in _MAKERS and files and files.kind is FactErrorKind.NO_TARGET:
        yield not_applicable(workload.subject, f"{_MAKERS[workload.kind]} makes its Service", seen)
    elif queue := queue_feeding(snapshot.facts):
        yield unknown(workload.subject, queue, seen)
    elif ports:
        snapshot.require_read("service.inferencepools")
        yield failed(workload.subject, "it opens a port, and no Service selects its pods", seen)
    else:
        yield unknown(workload.subject, "no Service and no port: is it fed by a queue alone?", seen)
