from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.pod_state import ended, is_current


@check(
    title="No container was killed for its memory",
    severity=Severity.HIGH,
    needs=("workload", "workload.pods", "workload.containers"),
    remediation=(
        "Raise `resources.limits.memory` above the measured peak, or find the leak; weights are read through host "
        "memory."
    ),
    references=("https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",),
)
def oom_killed(snapshot: Snapshot) -> Iterator[Judgement]:
    """The kernel kills a container at its limit without a word in its log, and every request in it is lost.

    This is host memory; a GPU that runs out has a check of its own.
    """
    workload = snapshot.fact("workload")
    pods = [pod for pod in snapshot.fact("workload.pods") if is_current(pod)]
    killed = [e for e in ended(pods) if e.reason == "OOMKilled"]
    limits = {
        c["name"]: ((c.get("resources") or {}).get("limits") or {}).get("memory")
        for c in snapshot.fact("workload.containers")
    }
    for name in sorted({e.container for e in killed}):
        mine = [e for e in killed if e.container == name]
        seen = Evidence(
            "lastState.terminated.reason", [f"{e.pod} at {e.finished_at}" for e in mine[:5]], "never OOMKilled"
        )
        limit = Evidence("resources.limits.memory", limits.get(name))
        yield failed(
            f"{workload.subject}/{name}", f"{len(mine)} times OOMKilled at a limit of {limits.get(name)}", seen, limit
        )
    if not killed and pods:
        yield passed(
            workload.subject, f"no container of {len(pods)} pods was killed for its memory", Evidence("OOMKilled", 0, 0)
        )
