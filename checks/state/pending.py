import re
from collections.abc import Iterator
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.selectors import untolerated
from inferaudit.kube.types import Node, Workload
from inferaudit.placement import pod_spec, wanted_nodes
from inferaudit.pod_state import condition, is_current, pod_name


@check(
    title="No pod waits for a place",
    severity=Severity.HIGH,
    needs=("workload", "workload.pods"),
    optional=("cluster.nodes",),
    remediation=(
        "Mend what the scheduler names: labels, taints, GPUs that are taken, a quota, or the size of the node pool."
    ),
    references=("https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/",),
)
def pending(snapshot: Snapshot) -> Iterator[Judgement]:
    """A pending pod is capacity that the service counts on and does not have.

    The scheduler says for each node why not; the reasons are told apart here.
    """
    workload = snapshot.fact("workload")
    pods = [pod for pod in snapshot.fact("workload.pods") if is_current(pod)]
    stuck: dict[str, list[str]] = {}
    for pod in pods:
        scheduled = condition(pod, "PodScheduled")
        if (pod.get("status") or {}).get("phase") == "Pending" and scheduled and scheduled.get("status") == "False":
            gated = scheduled.get("reason") == "SchedulingGated"
            why = "held by a scheduling gate" if gated else _why(str(scheduled.get("message") or ""))
            stuck.setdefault(why, []).append(f"{pod_name(pod)}: {scheduled.get('message') or scheduled.get('reason')}")
    if not stuck:
        if pods:
            yield passed(
                workload.subject, f"all {len(pods)} pods have a node", Evidence("PodScheduled", len(pods), "True")
            )
        return
    nodes = snapshot.fact_or("cluster.nodes", None)
    for why, names in stuck.items():
        seen = Evidence("status.conditions[PodScheduled]", names[:5], "True")
        text = f"{len(names)} pod{'s' * (len(names) > 1)} pending: {why}"
        yield failed(workload.subject, text, seen, key=why, cause=_cause(workload, nodes))


def _why(message: str) -> str:
    """The scheduler's reasons in words; its message counts the nodes for each."""
    found = [
        words
        for pattern, words in (
            (r"didn't match Pod's node affinity/selector|didn't match node selector", "no node has the labels"),
            (r"untolerated taint|had taint", "taints are not tolerated"),
            (r"Insufficient [\w.-]+/(?:gpu|mig|neuron|tpu|gaudi)\S*", "not enough free GPUs"),
            (r"Insufficient (?:cpu|memory|ephemeral-storage|pods)", "not enough CPU, memory or disk"),
            (
                r"unbound immediate PersistentVolumeClaims|volume node affinity|persistentvolumeclaim",
                "a volume is missing",
            ),
            (r"topology spread constraints|anti-affinity", "the spreading rules leave no place"),
            (r"were unschedulable", "nodes are cordoned"),
            (r"cannot allocate all claims|resourceclaim", "a device claim cannot be met"),
            (r"no nodes available", "the cluster has no nodes"),
        )
        if re.search(pattern, message)
    ]
    return ", ".join(found) or "the scheduler gives no reason that is known"


def _cause(workload: Workload, nodes: list[Node] | None) -> Any:
    """The finding that already says what to mend, where the nodes prove it."""
    if not nodes:
        return None
    wanted = wanted_nodes(workload, nodes)
    if not wanted:
        return ("scheduling-nodes-match", workload.subject)
    tolerations = pod_spec(workload).get("tolerations")
    if all(untolerated(tolerations, node.taints) for node in wanted):
        return ("scheduling-tolerations", workload.subject)
    return None
