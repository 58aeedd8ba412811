from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.subjects import object_subject


@check(
    title="A PodDisruptionBudget keeps a replica in service",
    severity=Severity.MEDIUM,
    needs=("workload", "service.pdbs"),
    remediation="Add a PodDisruptionBudget with `maxUnavailable: 1` over the pods' labels.",
    references=("https://kubernetes.io/docs/tasks/run-application/configure-pdb/",),
)
def disruption_budget(snapshot: Snapshot) -> Iterator[Judgement]:
    """Upgrading a cluster drains node after node; without a budget both replicas may be drained at once.

    With one replica a budget only blocks the drain, so that replicas come first.
    """
    workload = snapshot.fact("workload")
    pdbs = snapshot.fact("service.pdbs")
    names = [object_subject(pdb) for pdb in pdbs]
    seen = Evidence("PodDisruptionBudgets over the pods", names, "exactly one")
    if workload.kind == "DaemonSet" or workload.replicas == 0:
        yield not_applicable(workload.subject, "drains do not move its pods", seen)
    elif (workload.replicas or 0) < 2 and not pdbs:
        yield not_applicable(workload.subject, "one replica: a budget would only block the drain", seen)
    elif not pdbs:
        yield failed(workload.subject, "a drain may take all replicas at once", seen)
    elif len(pdbs) > 1:
        yield failed(workload.subject, f"{len(pdbs)} budgets select its pods: none of them can be drained", seen)
    else:
        yield passed(workload.subject, f"{names[0]} limits how many may be drained", seen)
