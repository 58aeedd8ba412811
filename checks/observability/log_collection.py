from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review, unknown
from inferaudit.kube.images import platform_role


@check(
    title="Logs outlive their pods",
    severity=Severity.MEDIUM,
    needs=("workload", "service.daemonsets"),
    remediation="Run a log collector on every node, or attest how logs are kept for `gpu.centralised-logging`.",
    references=("https://kubernetes.io/docs/concepts/cluster-administration/logging/",),
)
def log_collection(snapshot: Snapshot) -> Iterator[Judgement]:
    """The log of a pod goes with the pod, and it is the pod that failed whose log is wanted.

    A collector that a provider runs out of sight cannot be seen here: a person says so.
    """
    workload = snapshot.fact("workload")
    found = [d for d in snapshot.fact("service.daemonsets") if d.role == "log-collector"]
    sidecars = [
        c["name"]
        for c in (workload.template.get("spec") or {}).get("containers") or ()
        if platform_role(str(c.get("name")), [str(c.get("image"))]) == "log-collector"
    ]
    for each in found:
        subject = f"daemonset/{each.namespace}/{each.name}"
        seen = Evidence("status", {"desired": each.desired, "ready": each.ready}, "ready on every node")
        if each.desired is None or each.ready is None:
            yield unknown(subject, "shows no status", seen)
        elif each.ready < each.desired:
            yield failed(subject, f"ready on {each.ready} of {each.desired} nodes", seen)
        else:
            yield passed(subject, f"collects logs on {each.ready} nodes", seen)
    shown = Evidence("daemonsets, side-cars", sidecars or None, "a log collector")
    if not found and sidecars:
        yield passed(workload.subject, f"the side-car {sidecars[0]} ships its logs", shown)
    elif not found:
        yield review(workload.subject, "no log collector is in view: where do the logs of a dead pod go?", shown)
