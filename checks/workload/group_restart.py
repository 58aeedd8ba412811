from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="A group of pods that share a model restarts as one",
    severity=Severity.MEDIUM,
    needs=("workload",),
    remediation="Set `leaderWorkerTemplate.restartPolicy: RecreateGroupOnPodRestart`.",
    references=("https://lws.sigs.k8s.io/docs/concepts/",),
)
def group_restart(snapshot: Snapshot) -> Iterator[Judgement]:
    """Ranks of one model wait for each other. When one of them restarts alone, the rest hang in a collective operation
    until a timeout of half an hour, and the leader's probe may answer all the while.
    """
    workload = snapshot.fact("workload")
    if workload.kind != "LeaderWorkerSet" or workload.pods_per_replica < 2:
        return
    both = (workload.object.get("spec") or {}).get("leaderWorkerTemplate") or {}
    policy = both.get("restartPolicy") or "RecreateGroupOnPodRestart"
    seen = Evidence("spec.leaderWorkerTemplate.restartPolicy", policy, "RecreateGroupOnPodRestart")
    if policy == "None":
        yield failed(workload.subject, "a pod that restarts alone leaves its group hanging", seen)
    else:
        yield passed(workload.subject, f"{workload.pods_per_replica} pods of a group restart together", seen)
