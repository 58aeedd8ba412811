from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.probe_timing import grace_s, pre_stop_s


@check(
    title="A pod that ends waits until no traffic comes any more",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    remediation="Add `lifecycle.preStop: {sleep: {seconds: 15}}` to the serving container.",
    references=("https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-flow",),
)
def pre_stop(snapshot: Snapshot) -> Iterator[Judgement]:
    """SIGTERM and the removal from the Service come at the same time, and gateways learn of it seconds later.

    A server that stops at once refuses what still arrives; a pause of a few seconds lets the news travel.
    """
    grace = grace_s(snapshot.fact("workload").template.get("spec") or {})
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        pause = pre_stop_s(container)
        hook = (container.get("lifecycle") or {}).get("preStop")
        seen = Evidence("lifecycle.preStop", hook, "a pause of some seconds")
        if pause is None:
            yield failed(container["subject"], "no preStop pause: requests that still arrive are refused", seen)
        elif pause >= grace:
            yield failed(container["subject"], f"the pause of {pause:g} s uses up the grace period of {grace} s", seen)
        else:
            yield passed(container["subject"], f"preStop pauses {pause:g} s" if pause else "a preStop hook runs", seen)
