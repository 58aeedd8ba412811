from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.scaling import pod_count, scalers_of
from inferaudit.subjects import object_subject


@check(
    title="The budget lets a node be drained",
    severity=Severity.MEDIUM,
    needs=("workload", "service.pdbs"),
    optional=("service.autoscalers",),
    remediation="Use `maxUnavailable: 1` instead of a minAvailable as large as the replicas.",
    references=("https://kubernetes.io/docs/tasks/run-application/configure-pdb/",),
)
def disruption_allowed(snapshot: Snapshot) -> Iterator[Judgement]:
    """A budget that never allows a disruption stops every node upgrade, until somebody deletes it in a hurry.

    `unhealthyPodEvictionPolicy: AlwaysAllow` also lets go of pods that serve nobody.
    """
    workload = snapshot.fact("workload")
    scalers = scalers_of(snapshot.fact_or("service.autoscalers", []))
    replicas = max([workload.replicas or 0, *(s.minimum for s in scalers)])
    for pdb in snapshot.fact("service.pdbs"):
        subject, spec, status = object_subject(pdb), pdb.get("spec") or {}, pdb.get("status") or {}
        if "minAvailable" in spec:
            allowed = replicas - pod_count(spec["minAvailable"], replicas, up=True)
        else:
            allowed = pod_count(spec.get("maxUnavailable", 0), replicas, up=True)
        if spec.get("maxUnavailable") not in (0, "0%") and spec.get("minAvailable") != "100%":
            snapshot.require_read("service.autoscalers")  # how many replicas there are is theirs to say
        stated = {name: spec[name] for name in ("minAvailable", "maxUnavailable") if name in spec}
        seen = Evidence("spec", stated, f"room for one of {replicas}")
        now = status.get("disruptionsAllowed")
        healthy = (status.get("currentHealthy") or 0) >= (status.get("expectedPods") or 0)
        if replicas < 1:
            yield not_applicable(subject, "there are no replicas to protect", seen)
        elif allowed < 1:
            yield failed(subject, f"none of {replicas} replicas may ever be drained", seen)
        elif now == 0 and status.get("expectedPods") and healthy:
            yield failed(subject, "allows no disruption at present", Evidence("status.disruptionsAllowed", now, ">= 1"))
        else:
            yield passed(subject, f"{allowed} of {replicas} may be drained", seen)
