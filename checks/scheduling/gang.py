from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.workloads import template_labels

_QUEUES = ("kueue.x-k8s.io/queue-name", "kai.scheduler/queue", "runai/queue")
_NOTES = (
    "scheduling.k8s.io/group-name",
    "scheduling.volcano.sh/group-name",
    "leaderworkerset.sigs.k8s.io/exclusive-topology",
)
_GANG_SCHEDULERS = ("volcano", "kai-scheduler", "runai-scheduler", "yunikorn", "scheduler-plugins-scheduler")


@check(
    title="Pods that must start together are placed together",
    severity=Severity.LOW,
    needs=("workload",),
    remediation=(
        "Label the workload with a queue of Kueue (`kueue.x-k8s.io/queue-name`), or give its pods a scheduler that "
        "places groups (Volcano, KAI, YuniKorn)."
    ),
    references=("https://kueue.sigs.k8s.io/docs/tasks/run/leaderworkerset/",),
)
def gang(snapshot: Snapshot) -> Iterator[Judgement]:
    """Two groups that each get half of their GPUs wait for the other half for ever, and hold what the other needs.

    A scheduler that knows groups places all pods of one, or none. Where there are GPUs enough it changes nothing.
    """
    workload = snapshot.fact("workload")
    if workload.pods_per_replica < 2:
        return
    meta, spec = workload.object.get("metadata") or {}, workload.template.get("spec") or {}
    labels = {**template_labels(workload.template), **(meta.get("labels") or {})}
    notes = {**((workload.template.get("metadata") or {}).get("annotations") or {}), **(meta.get("annotations") or {})}
    found = [name for name in _QUEUES if labels.get(name)] + [name for name in _NOTES if notes.get(name)]
    scheduler = str(spec.get("schedulerName") or "")
    found += [scheduler] if scheduler in _GANG_SCHEDULERS else []
    seen = Evidence("labels, annotations, schedulerName", found or None, "a queue or a scheduler of groups")
    if found:
        yield passed(workload.subject, f"{workload.pods_per_replica} pods are placed as one ({found[0]})", seen)
    else:
        yield failed(workload.subject, f"{workload.pods_per_replica} pods of a group are placed one by one", seen)
